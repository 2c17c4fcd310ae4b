//! What a client has heard, without what may differ: processes, tables' numbers, and lines of the
//! server's own source where the pooler made the error in the server's place.

use std::fmt::Write;

pub type Message = (u8, Vec<u8>);

/// The same for two sessions that were told the same.
pub fn comparable((kind, mut body): Message) -> Message {
    match kind {
        b'K' => body.clear(),
        b'A' => body[..4].fill(0),
        b'T' => forget_tables(&mut body),
        b'E' | b'N' => body = comparable_error(&body),
        _ => {}
    }
    (kind, body)
}

/// A statement may have to be prepared again before it can be bound or described. In an aborted
/// transaction only that is refused, and where its tables are out of sight the error comes before its
/// parameters: which comes first is not compared.
pub fn forget_what_is_prepared_again(heard: &mut Vec<Message>) {
    let batches = heard.split_inclusive(|(kind, _)| *kind == b'Z');
    let compared = batches.flat_map(|batch| match batch.last() {
        Some((b'Z', status)) if status == b"E" && refuses(batch) => &batch[batch.len() - 1..],
        _ if batch.len() == 3 && (batch[0].0, batch[1].0) == (b't', b'E') => &batch[1..],
        _ => batch,
    });
    *heard = compared.cloned().collect();
}

fn refuses(batch: &[Message]) -> bool {
    let begins = |body: &[u8], with: &[u8]| body.windows(with.len()).any(|there| there == with);
    let prepared = |body: &[u8]| begins(body, b"C25P02") || begins(body, b"C08P01");
    batch.iter().any(|(kind, body)| *kind == b'E' && prepared(body))
        || batch.first().is_some_and(|(kind, _)| *kind == b't')
}

/// The parameters of a greeting come in any order.
pub fn comparable_greeting(greeting: &[Message]) -> Vec<Message> {
    let mut all: Vec<_> = greeting.iter().cloned().map(comparable).collect();
    all.sort();
    all
}

/// RowDescription: of each column the number of its table.
fn forget_tables(body: &mut [u8]) {
    let mut at = 2;
    while at < body.len() {
        at += body[at..].iter().position(|byte| *byte == 0).expect("a name") + 1;
        body[at..at + 4].fill(0);
        at += 18;
    }
}

fn comparable_error(body: &[u8]) -> Vec<u8> {
    let fields: Vec<&[u8]> = body.split(|byte| *byte == 0).collect();
    let is = |code: &[u8]| fields.contains(&code);
    let mut out = Vec::new();
    for field in fields.iter().filter(|field| !field.is_empty()) {
        match field[0] {
            // A statement's name is taken, which the pooler says; an aborted transaction refuses what
            // the pooler asks before what the client does.
            b'F' | b'L' | b'R' if is(b"C42P05") || is(b"C25P02") => continue,
            // The server's name of the statement is told.
            b'M' if is(b"C08P01") => {
                out.extend(field.split(|byte| *byte == b'"').next().unwrap_or_default())
            }
            _ => out.extend_from_slice(field),
        }
        out.push(0);
    }
    out
}

/// For eyes.
pub fn shown(messages: &[Message]) -> String {
    let mut out = String::new();
    for (kind, body) in messages {
        let beginning = body[..body.len().min(300)].escape_ascii();
        let _ = writeln!(out, "    {} {beginning} ({})", char::from(*kind), body.len());
    }
    out
}
