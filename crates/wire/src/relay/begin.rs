//! A BEGIN that is answered at once: nothing is done by it that a server would have to know of
//! before the next statement.
//!
//! Source: `TransactionStmt` and `transaction_mode_item` in `src/backend/parser/gram.y`.

use crate::authentication::message;
use crate::frontend::{Bind, Parse, executed, queried};
use crate::walk::HEAD_LEN;

use super::client_half::ClientHalf;
use super::statements::{Known, Sense};

/// No longer text only begins a transaction.
const BEGIN_LEN: usize = 128;

/// Messages of a batch that does nothing else.
const BATCH_LEN: usize = 5;

/// A transaction that a client has begun, and of which no server has heard.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Begin {
    /// As the client said it.
    text: Box<str>,
    tag: &'static [u8],
    /// No server refuses it: a standby has no SERIALIZABLE and nothing that writes.
    anywhere: bool,
}

/// How a client has said so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Begun {
    begin: Begin,
    /// `None`: by a Query.
    batch: Option<Batch>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Batch {
    parse: Option<Parsed>,
    describes: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Parsed {
    name: Box<[u8]>,
    text: Box<[u8]>,
}

impl Begun {
    pub fn text(&self) -> &str {
        &self.begin.text
    }

    /// No server refuses it.
    pub fn is_taken_anywhere(&self) -> bool {
        self.begin.anywhere
    }

    /// A portal has been left by it, which its client may describe.
    pub(super) fn leaves_portal(&self) -> bool {
        self.batch.is_some()
    }
}

impl Begin {
    /// `None`: the text is another, or does more.
    fn read(text: &[u8]) -> Option<Begin> {
        // Each statement of a client that has no server comes by here.
        let first = text.trim_ascii_start().get(..b"begin".len())?;
        let begins = first.eq_ignore_ascii_case(b"begin") || first.eq_ignore_ascii_case(b"start");
        if !begins || text.len() > BEGIN_LEN {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let lower = text.trim_matches(is_space).to_ascii_lowercase();
        let statement = lower.strip_suffix(';').unwrap_or(&lower);
        let spaced = statement.replace(',', " , ");
        let words: Vec<&str> = spaced.split(is_space).filter(|word| !word.is_empty()).collect();
        let (tag, modes): (&[u8], _) = match &words[..] {
            ["begin", "work" | "transaction", modes @ ..] | ["begin", modes @ ..] => {
                (b"BEGIN\0", modes)
            }
            ["start", "transaction", modes @ ..] => (b"START TRANSACTION\0", modes),
            _ => return None,
        };
        let anywhere = modes_of(modes)?;
        Some(Begin { text: text.into(), tag, anywhere })
    }
}

/// Whether any server takes them; `None`: they are none.
fn modes_of(mut modes: &[&str]) -> Option<bool> {
    let mut anywhere = true;
    let mut first = true;
    while !modes.is_empty() {
        if !first && let [",", rest @ ..] = modes {
            modes = rest;
        }
        modes = match modes {
            ["isolation", "level", "read", "committed" | "uncommitted", rest @ ..]
            | ["isolation", "level", "repeatable", "read", rest @ ..]
            | ["read", "only", rest @ ..]
            | ["deferrable", rest @ ..]
            | ["not", "deferrable", rest @ ..] => rest,
            ["isolation", "level", "serializable", rest @ ..] | ["read", "write", rest @ ..] => {
                anywhere = false;
                rest
            }
            _ => return None,
        };
        first = false;
    }
    Some(anywhere)
}

/// `space` of `src/backend/parser/scan.l` as every version has it.
fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

impl ClientHalf {
    /// What the client says, if it is a BEGIN and nothing else. It has no server.
    pub fn begin(&self, bytes: &[u8]) -> Option<Begun> {
        let (kind, body, rest) = message_of(bytes).filter(|_| self.walk.is_between())?;
        if kind != b'Q' {
            return self.begin_by_batch(bytes);
        }
        let begin = Begin::read(queried(body).ok().filter(|_| rest.is_empty())?)?;
        Some(Begun { begin, batch: None })
    }

    /// Of the batches that drivers make of it: Parse, or what was prepared, Bind, Describe or none,
    /// Execute, Sync. The portal has no name.
    fn begin_by_batch(&self, bytes: &[u8]) -> Option<Begun> {
        let mut all: [(u8, &[u8]); BATCH_LEN] = [(0, &[]); BATCH_LEN];
        let (mut rest, mut count) = (bytes, 0);
        while !rest.is_empty() {
            let (kind, body, after) = message_of(rest)?;
            *all.get_mut(count)? = (kind, body);
            (rest, count) = (after, count + 1);
        }
        let (parse, rest) = match &all[..count] {
            [(b'P', body), rest @ ..] => (Some(Parse::read(body).ok()?), rest),
            rest => (None, rest),
        };
        let (bind, execute, describes) = match rest {
            [(b'B', bind), (b'E', execute), (b'S', b"")] => (bind, execute, false),
            [(b'B', bind), (b'D', b"P\0"), (b'E', execute), (b'S', b"")] => (bind, execute, true),
            _ => return None,
        };
        let statement = bound(bind).filter(|_| executed(execute) == Ok(b""))?;
        let (text, types) = match (&parse, self.names.get(statement)) {
            (Some(Parse { name, .. }), _) if *name != statement => return None,
            // Its name is taken.
            (Some(_), Some(_)) if !statement.is_empty() => return None,
            (Some(Parse { text, types, .. }), _) => (*text, *types),
            (None, statement) => (&*statement?.sense.text, &*statement?.sense.types),
        };
        let begin = Begin::read(text).filter(|_| types == [0, 0])?;
        let parse =
            parse.map(|Parse { name, text, .. }| Parsed { name: name.into(), text: text.into() });
        Some(Begun { begin, batch: Some(Batch { parse, describes }) })
    }

    /// Appends to `out` the answer of a server that takes it. `settings`: see [`Sense::settings`].
    pub fn answer_begin(
        &mut self,
        begun: &Begun,
        known: &mut Known,
        settings: u32,
        out: &mut Vec<u8>,
    ) {
        let (name, to) = match &begun.batch {
            // As PostgreSQL does at each Query.
            None => (self.names.may_have(b"").then_some(&b""[..]), None),
            Some(Batch { parse: Some(Parsed { name, text }), .. }) => {
                message(out, b'1', &[]);
                let sense = Sense { text: text.clone(), types: [0, 0].into(), settings };
                (Some(&**name), Some(known.of(sense)))
            }
            Some(_) => (None, None),
        };
        if let Some(name) = name {
            let tag = self.names.change(name, to, 0);
            self.names.done(tag);
        }
        if let Some(batch) = &begun.batch {
            message(out, b'2', &[]);
            if batch.describes {
                message(out, b'n', &[]);
            }
        }
        message(out, b'C', &[begun.begin.tag]);
        message(out, b'Z', &[b"T"]);
    }
}

/// Kind and body of a message that is here, and what follows it.
fn message_of(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, len @ ..], rest) = bytes.split_first_chunk::<HEAD_LEN>()?;
    let len = usize::try_from(u32::from_be_bytes(*len)).ok()?.checked_sub(4)?;
    let (body, rest) = rest.split_at_checked(len)?;
    Some((*kind, body, rest))
}

/// The statement that is bound to the portal without a name, without values.
fn bound(body: &[u8]) -> Option<&[u8]> {
    let Bind { portal, statement } = Bind::read(body).ok()?;
    let values = body.get(statement.len() + 2..)?;
    let none = matches!(values, [0, 0, 0, 0, 0, 0] | [0, 0, 0, 0, 0, 1, 0, 0 | 1]);
    (portal.is_empty() && none).then_some(statement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_begins_a_transaction_and_does_nothing_else_is_a_begin() {
        for (text, anywhere) in [
            ("BEGIN", true),
            (" begin ;\n", true),
            ("Begin Work", true),
            ("begin transaction isolation level repeatable read, read only", true),
            ("begin read only deferrable", true),
            ("START TRANSACTION ISOLATION LEVEL READ COMMITTED , NOT DEFERRABLE", true),
            ("begin isolation\tlevel serializable", false),
            ("start transaction read write", false),
        ] {
            let begin = Begin::read(text.as_bytes()).expect(text);
            assert_eq!((&*begin.text, begin.anywhere), (text, anywhere));
            let starts = text.to_ascii_lowercase().starts_with("start");
            assert_eq!(begin.tag == b"START TRANSACTION\0", starts, "{text}");
        }
        for text in [
            "",
            "start",
            "begin;;",
            "begin; select 1",
            "begin/**/",
            "begin -- work",
            "begin work transaction",
            "begin, read only",
            "begin read only,",
            "begin read only,, deferrable",
            "begin isolation level",
            "beginn",
            "begin\u{a0}",
            "begin\x0b",
            "start work",
            "select 1",
        ] {
            assert_eq!(Begin::read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Begin::read(format!("begin{}", " ".repeat(200)).as_bytes()), None);
    }

    fn said(parts: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        parts.iter().for_each(|(kind, body)| message(&mut out, *kind, &[body]));
        out
    }

    #[test]
    fn a_begin_that_has_come_in_part_or_with_more_behind_it_is_not_answered() {
        let half = ClientHalf::new(100);
        let whole = said(&[(b'Q', b"begin\0")]);
        assert_eq!(half.begin(&whole).expect("a begin").text(), "begin");
        let (more, other) = ([&whole[..], b"S\0\0\0\x04"].concat(), said(&[(b'F', b"begin\0")]));
        for bytes in [&whole[..10], &more, &other] {
            assert_eq!(half.begin(bytes), None, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn a_begin_by_messages_of_its_own_is_answered_message_by_message() {
        let (mut half, mut known) = (ClientHalf::new(100), Known::new(10_000, [7; 32]));
        let parse: (u8, &[u8]) = (b'P', b"p\0begin\0\0\0");
        let bind: (u8, &[u8]) = (b'B', b"\0p\0\0\0\0\0\0\0");
        let describe: (u8, &[u8]) = (b'D', b"P\0");
        let execute: (u8, &[u8]) = (b'E', b"\0\0\0\0\x01");
        let sync: (u8, &[u8]) = (b'S', b"");
        let prepared = said(&[bind, execute, sync]);
        assert_eq!(half.begin(&prepared), None, "nobody has prepared it");
        let begun = half.begin(&said(&[parse, bind, describe, execute, sync])).expect("a begin");
        let mut out = Vec::new();
        half.answer_begin(&begun, &mut known, 0, &mut out);
        let answer = [(b'1', &b""[..]), (b'2', b""), (b'n', b""), (b'C', b"BEGIN\0"), (b'Z', b"T")];
        assert_eq!(out, said(&answer));
        let begun = half.begin(&prepared).expect("a begin");
        out.clear();
        half.answer_begin(&begun, &mut known, 0, &mut out);
        assert_eq!(out, said(&[(b'2', b""), (b'C', b"BEGIN\0"), (b'Z', b"T")]));
        for other in [
            &[parse, bind, execute, sync][..],
            &[bind, execute],
            &[bind, execute, sync, sync],
            &[bind, sync],
            &[bind, describe, describe, execute, sync],
            &[(b'B', b"a\0p\0\0\0\0\0\0\0"), execute, sync],
            &[(b'B', b"\0p\0\0\0\0\x01\0\0\0\x01x\0\0"), execute, sync],
            &[bind, (b'E', b"a\0\0\0\0\0"), sync],
            &[(b'P', b"\0begin\0\0\0"), bind, execute, sync],
        ] {
            assert_eq!(half.begin(&said(other)), None, "{other:?}");
        }
    }
}
