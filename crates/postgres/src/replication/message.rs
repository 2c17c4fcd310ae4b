//! Messages of the replication protocol, bytes to values and back. No I/O.

use howdah_base::{Lsn, Timeline};
use howdah_wire::message;

use super::stream::Event;
use crate::PgError;

/// One row of an answer; `None` is NULL.
pub(super) type Row = Vec<Option<Vec<u8>>>;

/// What a status update tells (`XLogWalRcvSendReply`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Report {
    pub written: Lsn,
    pub flushed: Lsn,
}

/// StartupMessage, protocol 3.0.
pub(super) fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for (name, value) in parameters {
        for text in [name, value] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
    }
    body.push(0);
    // Some names and settings; never near four gigabytes.
    let len = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
    [&len.to_be_bytes()[..], &body].concat()
}

/// Query.
pub(super) fn query(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 6);
    message(&mut out, b'Q', &[text.as_bytes(), &[0]]);
    out
}

/// Our side of COPY is over.
pub(super) fn copy_done() -> Vec<u8> {
    b"c\0\0\0\x04".to_vec()
}

/// Standby status update. Nothing is ever said to be applied: commits with `remote_apply` would
/// count on it.
pub(super) fn status(report: Report, now: i64, ask: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(39);
    let [written, flushed] = [report.written, report.flushed].map(|lsn| lsn.0.to_be_bytes());
    let applied = [0; 8];
    let parts = [b"r", &written[..], &flushed, &applied, &now.to_be_bytes(), &[u8::from(ask)]];
    message(&mut out, b'd', &parts);
    out
}

/// The body of a CopyData message of a stream.
pub(super) fn copied(mut body: Vec<u8>) -> Result<Event, PgError> {
    match body.first() {
        Some(b'w') if body.len() >= WAL_HEAD => {
            let (start, end) = (lsn_at(&body, 1), lsn_at(&body, 9));
            body.drain(..WAL_HEAD);
            Ok(Event::Wal { start, end, bytes: body })
        }
        Some(b'k') if body.len() == KEEPALIVE => {
            Ok(Event::KeepAlive { end: lsn_at(&body, 1), reply: body[KEEPALIVE - 1] == 1 })
        }
        _ => Err(unexpected("a message in the stream")),
    }
}

/// Which timeline follows, and where it left this one.
pub(super) fn next_timeline(rows: &[Row]) -> Result<Event, PgError> {
    let [row] = rows else { return Err(unexpected("an end of a timeline")) };
    let next = Timeline(number(row, 0)?);
    Ok(Event::TimelineEnds { next, switchpoint: number(row, 1)? })
}

/// DataRow.
pub(super) fn row(body: &[u8]) -> Result<Row, PgError> {
    let bad = || unexpected("a row");
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(bad)?;
    let mut row = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let (len, after) = rest.split_first_chunk::<4>().ok_or_else(bad)?;
        let len = i32::from_be_bytes(*len);
        if len == -1 {
            (rest, _) = (after, row.push(None));
            continue;
        }
        let len = usize::try_from(len).map_err(|_| bad())?;
        let (value, after) = after.split_at_checked(len).ok_or_else(bad)?;
        row.push(Some(value.to_vec()));
        rest = after;
    }
    if rest.is_empty() { Ok(row) } else { Err(bad()) }
}

/// A value that is there.
pub(super) fn text(row: &Row, column: usize) -> Result<String, PgError> {
    let value = row.get(column).and_then(Option::as_ref);
    let value = value.ok_or_else(|| unexpected("a row without a value"))?;
    Ok(String::from_utf8_lossy(value).into_owned())
}

/// The same as what it says.
pub(super) fn number<T: std::str::FromStr>(row: &Row, column: usize) -> Result<T, PgError> {
    let text = text(row, column)?;
    text.parse().map_err(|_| PgError::Unexpected(format!("the server answered with `{text}`")))
}

/// ErrorResponse.
pub(super) fn refusal(body: &[u8]) -> PgError {
    let field = |wanted: u8| {
        let fields = body.split(|byte| *byte == 0).filter_map(<[u8]>::split_first);
        let found = fields.into_iter().find(|(name, _)| **name == wanted);
        found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    PgError::Refused { sqlstate: field(b'C'), message: field(b'M') }
}

/// ParameterStatus: its name and value.
pub(super) fn parameter(body: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = std::str::from_utf8(body).ok()?.strip_suffix('\0')?.split_once('\0')?;
    Some((name, value))
}

pub(super) fn unexpected(what: &str) -> PgError {
    PgError::Unexpected(format!("the server sent what was not expected: {what}"))
}

fn lsn_at(body: &[u8], at: usize) -> Lsn {
    let bytes = body[at..].first_chunk::<8>().copied().unwrap_or_default();
    Lsn(u64::from_be_bytes(bytes))
}

const PROTOCOL: u32 = 0x0003_0000;
/// Kind, start, end, the server's clock.
const WAL_HEAD: usize = 1 + 8 + 8 + 8;
/// Kind, end, the server's clock, whether it wants a reply.
const KEEPALIVE: usize = 1 + 8 + 8 + 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn wal(kind: u8, rest: &[u8]) -> Vec<u8> {
        [&[kind][..], &[0, 0, 0, 0x16, 0xB3, 0x74, 0xD8, 0x48], rest].concat()
    }

    #[test]
    fn what_comes_in_a_stream_is_read() {
        let body = wal(b'w', b"\0\0\0\x16\xB3\x74\xD8\x4A\0\0\0\0\0\0\0\0ab");
        let Event::Wal { start, end, bytes } = copied(body).expect("WAL") else { panic!() };
        let (start, end) = (start.to_string(), end.to_string());
        assert_eq!((&*start, &*end, &*bytes), ("16/B374D848", "16/B374D84A", &b"ab"[..]));
        let body = wal(b'k', b"\0\0\0\0\0\0\0\0\x01");
        let Event::KeepAlive { end, reply } = copied(body).expect("a sign") else { panic!() };
        assert_eq!((end.to_string().as_str(), reply), ("16/B374D848", true));
    }

    #[test]
    fn what_is_cut_is_refused() {
        for bad in
            [vec![], b"x".to_vec(), wal(b'w', b"\0"), wal(b'k', &[0; 8]), wal(b'k', &[0; 10])]
        {
            assert!(copied(bad.clone()).is_err(), "{}", bad.escape_ascii());
        }
        for bad in
            [&b""[..], b"\0", b"\0\x01", b"\0\x01\0\0\0\x02a", b"\0\x01\xff\xff\xff\xfe", b"\0\0a"]
        {
            assert!(row(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_row_has_values_and_nulls() {
        let row = row(b"\0\x02\0\0\0\x012\xff\xff\xff\xff").expect("a row");
        assert_eq!(row, [Some(b"2".to_vec()), None]);
        assert_eq!(number::<u32>(&row, 0).expect("a number"), 2);
        assert!(number::<u32>(&row, 1).is_err() && number::<u32>(&row, 2).is_err());
        let end = vec![Some(b"3".to_vec()), Some(b"0/3000060".to_vec())];
        let Ok(Event::TimelineEnds { next, switchpoint }) = next_timeline(&[end]) else { panic!() };
        assert_eq!((next, switchpoint), (Timeline(3), Lsn(0x300_0060)));
    }

    #[test]
    fn a_status_is_the_34_bytes_that_the_server_reads_and_says_nothing_of_applying() {
        let report = Report { written: Lsn(2), flushed: Lsn(1) };
        let bytes = status(report, 7, true);
        let want = b"d\0\0\0\x26r\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\x01";
        assert_eq!(bytes, want, "{}", bytes.escape_ascii());
    }

    #[test]
    fn a_refusal_tells_its_sqlstate() {
        let refused = refusal(b"SERROR\0VERROR\0C58P01\0Mrequested WAL segment is gone\0\0");
        assert!(refused.is_refused("58P01"), "{refused}");
        let said = "the server refused: requested WAL segment is gone (SQLSTATE 58P01)";
        assert_eq!(refused.to_string(), said);
    }
}
