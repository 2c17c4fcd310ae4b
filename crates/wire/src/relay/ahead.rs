//! What a server is told ahead of a client's first word, in one write with it: the client's
//! settings, and the BEGIN that was answered already. If any of that fails the client's word must
//! not be carried out, which no answer is waited for to know.
//!
//! ```text
//! settings   Parse BEGIN, Bind, Execute  Query `SELECT set_config(…); COMMIT`  Query or batch
//! BEGIN      Parse BEGIN, Bind, Execute, Close                                 Query or batch
//!            └ fails: all is passed over   └ fails: its transaction is aborted,   of the client
//!              up to a Sync                  and refuses what does not end it
//! ```
//! A Query of `BEGIN; …` would not do: a cancel request that hits it before its BEGIN is carried
//! out leaves no transaction behind that could refuse anything. What the client says behind its
//! first Query or Sync waits until what went ahead is answered; there is no Sync before.
//!
//! A Query it is that sets them, because only ReadyForQuery reports what is set: a report that
//! comes with the client's own answer could not be told from one that the client has caused.
//!
//! Source: `PostgresMain` (`ignore_till_sync`), `exec_simple_query`, `IsTransactionExitStmt` in
//! `src/backend/tcop/postgres.c`.

use crate::authentication::message;
use crate::frontend::{Bind, Parse};
use crate::replies::{Asked, Question, Whose};
use crate::walk::{HEAD_LEN, Step};

use super::Cuts;
use super::begin::Begun;
use super::client_half::ClientHalf;
use super::orphan::Orphan;
use super::server_half::{ServerHalf, Status};

/// The tag of what sets a client's settings.
const SETS: u32 = u32::MAX - 1;
/// Of what begins its transaction.
const BEGINS: u32 = u32::MAX - 2;

/// Questions by which settings are told.
const SETTING_LEN: usize = 4;

/// What has been told ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ahead {
    Settings,
    Begin,
}

impl Ahead {
    pub(super) fn of(question: &Question) -> Option<Ahead> {
        match (question.whose, question.tag) {
            (Whose::Nobodys, SETS) => Some(Ahead::Settings),
            (Whose::Nobodys, BEGINS) => Some(Ahead::Begin),
            _ => None,
        }
    }
}

impl ServerHalf {
    /// Tells it what has to be so when the client's next Query or batch comes; that goes out in the
    /// same write, and nothing of the client's behind it before [`ServerHalf::owes_ahead`] is over.
    pub fn tell_ahead(
        &mut self,
        settings: Option<&str>,
        begun: Option<&Begun>,
        to_server: &mut Cuts,
    ) {
        if let Some(settings) = settings {
            self.carry_out("BEGIN", SETS, to_server);
            self.ask(Question { asked: Asked::Query, whose: Whose::Nobodys, tag: SETS });
            to_server.make(|out| message(out, b'Q', &[settings.as_bytes(), b"; COMMIT\0"]));
        }
        if let Some(begun) = begun {
            self.begin(begun, to_server);
        }
    }

    /// Tells it of a transaction that the client has begun, and nothing behind it until it has
    /// answered.
    pub fn tell_begin(&mut self, begun: &Begun, to_server: &mut Cuts) {
        self.begin(begun, to_server);
        self.sync(to_server);
    }

    /// What clients do not know of is there no longer.
    fn begin(&mut self, begun: &Begun, to_server: &mut Cuts) {
        self.carry_out(begun.text(), BEGINS, to_server);
        let portal: &[&[u8]] = if begun.leaves_portal() { &[] } else { &[b"P\0"] };
        for unnamed in [&b"S\0"[..]].iter().chain(portal) {
            self.ask(Question { asked: Asked::Close, whose: Whose::Nobodys, tag: BEGINS });
            to_server.make(|out| message(out, b'C', &[unnamed]));
        }
    }

    /// By the messages of which none behind them is heard when one fails.
    fn carry_out(&mut self, text: &str, tag: u32, to_server: &mut Cuts) {
        for asked in [Asked::Parse, Asked::Bind, Asked::Execute] {
            self.ask(Question { asked, whose: Whose::Nobodys, tag });
        }
        to_server.make(|out| {
            message(out, b'P', &[&[0], text.as_bytes(), &[0, 0, 0]]);
            message(out, b'B', &[&[0; 8]]);
            message(out, b'E', &[&[0; 5]]);
        });
    }

    /// What it was told ahead, or apart, of its client's word it has not answered.
    pub fn owes_ahead(&self) -> bool {
        let alone = |q: &Question| (q.asked, q.whose, q.tag) == (Asked::Query, Whose::Nobodys, 0);
        self.replies().open().any(|question| Ahead::of(question).is_some() || alone(question))
    }

    /// It has been told of a transaction, and has not answered that.
    pub(super) fn owes_begin(&self) -> bool {
        self.replies().open().any(|question| Ahead::of(question) == Some(Ahead::Begin))
    }

    /// The same of settings.
    pub(super) fn owes_settings(&self) -> bool {
        self.replies().open().take(SETTING_LEN).any(is_setting)
    }

    /// It is not clean by nothing that its client does, and soon will be: it is in the middle of a
    /// message, or owes answers that the pooler has asked for.
    pub fn will_be_clean(&self) -> bool {
        let replies = self.replies();
        let asked = replies.owe_the_client() || self.in_clients_batch;
        let busy = replies.is_copying() || replies.is_passing_over() || replies.is_spent();
        let comes = replies.syncs() > 0 || !self.is_between();
        self.status() == Status::Idle && comes && !asked && !busy && !self.is_waiting_for_again()
    }

    /// Its transaction is aborted, or is by what its client has sent it already: where what was told
    /// ahead fails, what the client says is said again.
    pub(super) fn may_have_failed(&self) -> bool {
        let told = u32::from(self.owes_settings());
        self.status() == Status::Failed || self.replies().syncs() > told
    }

    /// It has been told settings, and nothing else.
    pub(super) fn is_just_told(&self) -> bool {
        self.owes_settings()
            && self.status() == Status::Idle
            && self.replies().open().all(is_setting)
    }
}

impl ClientHalf {
    /// Where what the client says now comes to its first end: of a Query, or of a batch with its
    /// Sync. `None`: not all of that is here, or, if it is `to_be_refused` by a transaction that
    /// has failed, it might end that.
    pub fn first(&self, bytes: &[u8], to_be_refused: bool) -> Option<usize> {
        let (mut at, mut sure) = (0, !to_be_refused);
        loop {
            let Ok(Step::Head { kind, body }) = self.walk.step(&bytes[at..]) else { return None };
            let end = at + HEAD_LEN + body as usize;
            let here = bytes.get(at + HEAD_LEN..end)?;
            match kind {
                b'Q' => return (at == 0 && (sure || is_refused(here))).then_some(end),
                b'S' => return sure.then_some(end),
                b'P' => sure = sure || is_refused(Parse::read(here).ok()?.text),
                b'B' => sure = sure || self.is_refused(Bind::read(here).ok()?.statement),
                b'E' | b'D' | b'C' | b'H' => {}
                _ => return None,
            }
            if !sure && !matches!(kind, b'D' | b'C' | b'H') {
                return None;
            }
            at = end;
        }
    }

    fn is_refused(&self, statement: &[u8]) -> bool {
        self.names.get(statement).is_some_and(|statement| is_refused(&statement.sense.text))
    }

    /// What it has said of its first Query or batch is to be said again, to another server.
    pub fn unsay(&mut self) {
        self.passing = false;
        self.resets = false;
        self.names.forget_open();
    }

    /// The transaction that it has begun could not be: `error`, which it hears when it says
    /// something in it.
    pub fn fail_begin(&mut self, error: &[u8]) {
        self.orphan = Some(Orphan::of_begin(error));
    }
}

fn is_setting(question: &Question) -> bool {
    Ahead::of(question) == Some(Ahead::Settings)
}

/// Whether a transaction that has failed refuses whatever begins with this text.
fn is_refused(text: &[u8]) -> bool {
    const ENDS: [&[u8]; 5] = [b"commit", b"end", b"rollback", b"abort", b"prepare"];
    let text = text.trim_ascii_start();
    let letter = |byte: &u8| byte.is_ascii_alphabetic();
    let (word, rest) = text.split_at(text.iter().take_while(|byte| letter(byte)).count());
    // A word that goes on is none of those that end a transaction, and none that there is.
    let whole =
        !rest.first().is_some_and(|b| b.is_ascii_digit() || matches!(b, b'_' | b'$' | 0x80..));
    let ends = ENDS.iter().any(|end| word.eq_ignore_ascii_case(end));
    !word.is_empty() && whole && !ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(parts: &[(u8, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        parts.iter().for_each(|(kind, body)| message(&mut out, *kind, &[body]));
        out
    }

    fn first(parts: &[(u8, &[u8])], to_be_refused: bool) -> Option<usize> {
        ClientHalf::new(1_000).first(&said(parts), to_be_refused)
    }

    const PARSE: (u8, &[u8]) = (b'P', b"\0select 1\0\0\0");
    const BIND: (u8, &[u8]) = (b'B', &[0; 8]);
    const EXECUTE: (u8, &[u8]) = (b'E', &[0; 5]);
    const SYNC: (u8, &[u8]) = (b'S', b"");

    #[test]
    fn a_failed_transaction_refuses_all_but_what_ends_one() {
        for text in ["select 1", " \n insert into t", "begin", "Truncate t", "select 1; commit"] {
            assert!(is_refused(text.as_bytes()), "{text}");
        }
        for text in [
            "commit",
            " COMMIT;",
            "end work",
            "rollback to a; delete from t",
            "abort",
            "prepare transaction 'a'",
            "prepare a as select 1",
            "",
            ";rollback",
            "-- \nrollback",
            "/**/ rollback",
            "(select 1)",
            "end_1",
        ] {
            assert!(!is_refused(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_goes_out_at_once_is_one_query_or_one_batch() {
        let query: (u8, &[u8]) = (b'Q', b"select 1\0");
        let rollback: (u8, &[u8]) = (b'Q', b"rollback\0");
        assert_eq!(first(&[query, query], true), Some(14));
        assert_eq!((first(&[rollback], true), first(&[rollback], false)), (None, Some(14)));
        let batch = [PARSE, BIND, EXECUTE, SYNC];
        let len = said(&batch).len();
        assert_eq!(first(&[&batch[..], &batch].concat(), true), Some(len));
        assert_eq!(ClientHalf::new(1_000).first(&said(&batch)[..len - 1], false), None);
        assert_eq!(first(&batch[..3], false), None, "its end has not come");
        assert_eq!(first(&[PARSE, query], false), None, "it is no batch");
        let ends: (u8, &[u8]) = (b'P', b"\0rollback\0\0\0");
        assert_eq!(first(&[ends, BIND, EXECUTE, PARSE, BIND, EXECUTE, SYNC], true), None);
        assert_eq!(first(&[BIND, EXECUTE, SYNC], true), None, "of what nobody knows");
        assert_eq!(first(&[SYNC], true), None);
        assert_eq!(first(&[(b'F', &[0; 10]), SYNC], false), None);
        assert_eq!(first(&[], true), None);
    }
}
