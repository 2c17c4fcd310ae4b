//! Prepared statements of clients that share servers: what a client calls a statement, what a
//! statement is, and which servers have it.
//!
//! ```text
//! client's name ─► Statement (text, types; a number) ─► `howdah_3f9a…` on each server that has it
//! ```
//! Two clients that prepare the same text with the same types share the statement. Settings that
//! change what a text means (`search_path`) are part of what is the same: [`Sense::settings`].
//! A name on servers cannot be guessed: whoever could would close another client's statement.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::resets::{Resets, resets};
use super::session::{Leaves, left_by};
use crate::authentication::message;
use crate::scram::hmac;

pub use super::held::{Has, Held};
pub use super::names::Names;

/// Bytes of a statement's name on servers: a Bind keeps its length where the client's is as long.
pub const NAME_LEN: usize = PREFIX.len() + 16;
pub(super) const PREFIX: &str = "howdah_";

/// What servers call a statement.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ServerName([u8; NAME_LEN]);

impl ServerName {
    /// Who does not know the secret cannot tell one name from others.
    fn of(number: u32, secret: &[u8; 32]) -> ServerName {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let drawn = hmac(secret, &[&number.to_be_bytes()]);
        let mut name = [0; NAME_LEN];
        name[..PREFIX.len()].copy_from_slice(PREFIX.as_bytes());
        for (pair, byte) in name[PREFIX.len()..].chunks_mut(2).zip(drawn) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        ServerName(name)
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Appends a Close of the statement, which is no error where it does not exist.
    pub fn write_close(&self, out: &mut Vec<u8>) {
        message(out, b'C', &[b"S", &self.0, &[0]]);
    }
}

/// Who knows it may close the statement.
impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What makes two statements the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sense {
    pub text: Box<[u8]>,
    /// As Parse has them: their count and their numbers.
    pub types: Box<[u8]>,
    /// A number for the values of settings on which a plan depends.
    pub settings: u32,
}

/// A text may hold a password.
impl fmt::Debug for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sense({} bytes)", self.text.len())
    }
}

/// One statement, whatever it is called.
#[derive(Debug)]
pub struct Statement {
    pub number: u32,
    /// What servers call it.
    pub name: ServerName,
    pub sense: Sense,
    /// Carried out, it may leave something in its session that its tag does not tell.
    pub leaves: Option<Leaves>,
    /// Carried out, it may take statements away.
    pub resets: Option<Resets>,
}

impl Statement {
    /// Appends a Parse of it.
    pub fn write_parse(&self, out: &mut Vec<u8>) {
        let Statement { name, sense, .. } = self;
        message(out, b'P', &[&name.0, &[0], &sense.text, &[0], &sense.types]);
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Statement>() + self.sense.text.len() + self.sense.types.len()
    }
}

/// All statements that a thread's clients have prepared, up to a bound in bytes.
pub struct Known {
    by_sense: BTreeMap<Sense, Rc<Statement>>,
    bytes: usize,
    bytes_max: usize,
    /// What nobody uses is looked for when there are more.
    sweep_at: usize,
    last: u32,
    step: u32,
    secret: [u8; 32],
}

/// The secret is one.
impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Known({} in {} bytes)", self.by_sense.len(), self.bytes)
    }
}

impl Known {
    /// `secret`: drawn anew at each start.
    pub fn new(bytes_max: usize, secret: [u8; 32]) -> Known {
        Known::of_thread(bytes_max, secret, 0, 1)
    }

    /// The statements of one of several threads. No two of them have the same numbers, so that a
    /// server may go from one to the other with what it has.
    pub fn of_thread(bytes_max: usize, secret: [u8; 32], thread: u32, threads: u32) -> Known {
        // As 2^32 is a multiple of it, that holds for numbers that begin anew, too.
        let step = threads.next_power_of_two();
        let by_sense = BTreeMap::new();
        Known { by_sense, bytes: 0, bytes_max, sweep_at: bytes_max, last: thread, step, secret }
    }

    /// The statement of that sense.
    pub fn of(&mut self, sense: Sense) -> Rc<Statement> {
        if let Some(known) = self.by_sense.get(&sense) {
            return known.clone();
        }
        self.last = self.last.wrapping_add(self.step);
        if self.last == 0 {
            // None has that.
            self.last = self.step;
        }
        let statement = Rc::new(Statement {
            number: self.last,
            name: ServerName::of(self.last, &self.secret),
            leaves: left_by(&sense.text),
            resets: resets(&sense.text),
            sense: sense.clone(),
        });
        self.bytes += statement.bytes();
        if self.bytes > self.sweep_at {
            self.forget_unused();
        }
        self.by_sense.insert(sense, statement.clone());
        statement
    }

    /// What no client has a name for any more. What clients do have is bounded by what each may
    /// have; where that is much, the next look is as much later.
    fn forget_unused(&mut self) {
        let bytes = &mut self.bytes;
        self.by_sense.retain(|_, statement| {
            let used = Rc::strong_count(statement) > 1;
            *bytes -= if used { 0 } else { statement.bytes() };
            used
        });
        self.sweep_at = self.bytes_max.max(2 * self.bytes);
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sense(text: &str) -> Sense {
        Sense { text: text.as_bytes().into(), types: [0, 0].into(), settings: 0 }
    }

    #[test]
    fn the_same_text_is_the_same_statement_with_the_same_settings() {
        let mut known = Known::new(10_000, [7; 32]);
        let one = known.of(sense("SELECT 1"));
        assert_eq!(known.of(sense("SELECT 1")).number, one.number);
        let elsewhere = known.of(Sense { settings: 1, ..sense("SELECT 1") });
        assert_ne!(elsewhere.number, one.number);
    }

    #[test]
    fn threads_share_no_numbers_however_often_they_begin_anew() {
        for thread in 0..3 {
            let mut known = Known::of_thread(10_000, [7; 32], thread, 3);
            known.last = u32::MAX - 11 + thread;
            for text in ["a", "b", "c", "d", "e", "f"] {
                let number = known.of(sense(text)).number;
                assert!(number != 0 && number % 4 == thread, "{number} of {thread}");
            }
        }
    }

    #[test]
    fn a_name_on_servers_tells_nothing_of_another() {
        let name = |secret: u8, number| ServerName::of(number, &[secret; 32]);
        assert!(name(1, 1).as_bytes().starts_with(b"howdah_"));
        assert_eq!(name(1, 1), name(1, 1));
        assert!(name(1, 1) != name(1, 2) && name(1, 1) != name(2, 1));
        let same = |one: ServerName, two: ServerName| {
            let pairs = one.0.iter().zip(&two.0).skip(PREFIX.len());
            pairs.filter(|(one, two)| one == two).count()
        };
        let alike: usize = (1..100).map(|n| same(name(1, n), name(1, n + 1))).sum();
        assert!(alike < 200, "about 99 of 1584 digits by chance: {alike}");
    }

    #[test]
    fn what_nobody_calls_by_a_name_is_forgotten_when_room_is_short() {
        let mut known = Known::new(1_000, [7; 32]);
        let mut names = Names::default();
        let tag = names.change(b"kept", Some(known.of(sense("SELECT 0"))), 0);
        assert_eq!(names.done(tag), Some(1));
        for number in 1..100 {
            known.of(sense(&format!("SELECT {number}")));
        }
        assert!(known.bytes() < 1_500, "{}", known.bytes());
        assert_eq!(known.of(sense("SELECT 0")).number, 1);
        let tag = names.change(b"kept", None, 0);
        assert!(names.done(tag).is_none() && names.bytes() == 0);
    }

    #[test]
    fn what_is_used_is_not_looked_through_at_each_new_one() {
        let mut known = Known::new(1_000, [7; 32]);
        let (mut kept, mut sweeps) = (Vec::new(), 0);
        for number in 0..1_000 {
            let before = known.sweep_at;
            kept.push(known.of(sense(&format!("SELECT {number}"))));
            sweeps += u32::from(known.sweep_at != before);
        }
        assert!((1..12).contains(&sweeps), "{sweeps}");
    }
}
