//! One conversation after the other, each at every split.

use super::*;

/// Everything that a client hears and the pool is told when `said` answers `asked`, however the
/// bytes are cut.
#[track_caller]
fn hears(asked: &[(Asked, Whose)], said: &[u8]) -> (Vec<u8>, Vec<String>) {
    let whole = hears_in(asked, said, said.len().max(1));
    for size in 1..said.len() {
        assert_eq!(hears_in(asked, said, size), whole, "in pieces of {size}");
    }
    whole
}

fn hears_in(asked: &[(Asked, Whose)], said: &[u8], size: usize) -> (Vec<u8>, Vec<String>) {
    let (mut half, mut heard, mut told) = (ServerHalf::default(), Vec::new(), Vec::new());
    for (tag, (asked, whose)) in (0..).zip(asked) {
        half.ask(Question { asked: *asked, whose: *whose, tag });
    }
    let mut there = Vec::new();
    for piece in said.chunks(size) {
        there.extend_from_slice(piece);
        let mut cuts = Cuts::default();
        let used = half.hear(&there, &mut cuts, |event| told.push(tell(event)));
        heard.extend(cuts.to_vec(&there));
        match used {
            Ok(used) => drop(there.drain(..used)),
            Err(lost) => {
                told.push(format!("lost: {lost}"));
                return (heard, told);
            }
        }
    }
    told.extend(half.is_clean().then(|| "clean".to_owned()));
    (heard, told)
}

fn tell(event: Event<'_>) -> String {
    match event {
        Event::Done(question) => format!("done {:?} {}", question.asked, question.tag),
        Event::Failed(question, state) => {
            format!("failed {:?} {}", question.asked, state.escape_ascii())
        }
        Event::Ready(status) => format!("{status:?}"),
        Event::Parameter(text) => format!("parameter {}", text.escape_ascii()),
        Event::Command(tag, whole) => format!("command {} {whole}", tag.escape_ascii()),
        Event::Emptied { clients } => format!("emptied {clients}"),
        Event::Row(row, whole) => format!("row {} {whole}", row.escape_ascii()),
        Event::NotAhead(ahead, _) => format!("not {ahead:?}"),
        Event::Misnamed(number, _) => format!("misnamed {number}"),
        Event::LastWords(state) => format!("last words {}", state.escape_ascii()),
    }
}

const READY: &[u8] = b"Z\0\0\0\x05I";
const ROW: &[u8] = b"D\0\0\0\x0b\0\x01\0\0\0\x01Z";
const COMPLETE: &[u8] = b"C\0\0\0\x0dSELECT 1\0";
const ERROR: &[u8] = b"E\0\0\0\x13SERROR\0C42601\0\0";

#[test]
fn rows_pass_and_the_end_is_told() {
    let said = [b"T\0\0\0\x06\0\0", ROW, ROW, COMPLETE, READY].concat();
    let (heard, told) = hears(&[(Asked::Query, Whose::Clients)], &said);
    assert_eq!(heard, said);
    assert_eq!(told, ["command SELECT 1\\x00 true", "done Query 0", "Idle", "clean"]);
}

#[test]
fn a_statement_that_the_pooler_prepares_is_not_heard_of_and_one_that_it_closes_is() {
    let asked = [
        (Asked::Parse, Whose::Nobodys),
        (Asked::Bind, Whose::Clients),
        (Asked::Execute, Whose::Clients),
        (Asked::Close, Whose::Made),
        (Asked::Sync, Whose::Clients),
    ];
    let said = [b"1\0\0\0\x04", &b"2\0\0\0\x04"[..], ROW, COMPLETE, READY].concat();
    let (heard, told) = hears(&asked, &said);
    assert_eq!(heard, [b"2\0\0\0\x04", ROW, COMPLETE, b"3\0\0\0\x04", READY].concat());
    assert_eq!(
        told,
        [
            "done Parse 0",
            "done Bind 1",
            "command SELECT 1\\x00 true",
            "done Execute 2",
            "done Close 3",
            "done Sync 4",
            "Idle",
            "clean"
        ]
    );
}

#[test]
fn a_setting_that_the_pooler_replays_is_not_heard_of() {
    let asked = [(Asked::Query, Whose::Nobodys), (Asked::Query, Whose::Clients)];
    let set = b"N\0\0\0\x05\0S\0\0\0\x0eTimeZone\0\0C\0\0\0\x08SET\0";
    let said = [&set[..], READY, COMPLETE, READY].concat();
    let (heard, told) = hears(&asked, &said);
    assert_eq!(heard, [COMPLETE, READY].concat());
    assert_eq!(told[0], "parameter TimeZone\\x00\\x00");
    assert_eq!(told.last().map(String::as_str), Some("clean"));
}

#[test]
fn an_error_is_heard_whoever_asked() {
    let asked = [
        (Asked::Parse, Whose::Nobodys),
        (Asked::Bind, Whose::Clients),
        (Asked::Sync, Whose::Clients),
    ];
    let said = [ERROR, READY].concat();
    let (heard, told) = hears(&asked, &said);
    assert_eq!(heard, said);
    assert_eq!(told, ["failed Parse 42601", "done Sync 2", "Idle", "clean"]);
}

#[test]
fn an_open_transaction_is_not_clean_and_last_words_are_told() {
    let said = [COMPLETE, b"Z\0\0\0\x05T"].concat();
    let (_, told) = hears(&[(Asked::Query, Whose::Clients)], &said);
    assert_eq!(told.last().map(String::as_str), Some("Open"));
    let last = b"E\0\0\0\x18VFATAL\0C57P01\0Mend\0\0";
    for asked in [&[][..], &[(Asked::Query, Whose::Clients)]] {
        let (heard, told) = hears(asked, last);
        let words = "last words VFATAL\\x00C57P01\\x00Mend\\x00\\x00";
        assert_eq!((heard, told[0].as_str()), (Vec::new(), words));
    }
}

#[test]
fn a_server_that_says_what_nobody_asked_is_lost() {
    let (heard, told) = hears_in(&[], READY, READY.len());
    assert_eq!(heard, b"");
    assert!(told[0].starts_with("lost: the server sent message"), "{told:?}");
    let asked = [(Asked::Query, Whose::Clients)];
    let (_, told) = hears_in(&asked, b"Z\0\0\0\x05X", 6);
    assert_eq!(
        told.last().map(String::as_str),
        Some("lost: the server names no status of its transaction")
    );
}
