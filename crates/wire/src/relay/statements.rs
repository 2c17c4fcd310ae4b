//! Prepared statements of clients that share servers: what a client calls a statement, what a
//! statement is, and which servers have it.
//!
//! ```text
//! client's name ─► Statement (text, types; a number) ─► `howdah_0000002a` on each server that has it
//! ```
//! Two clients that prepare the same text with the same types share the statement. Settings that
//! change what a text means (`search_path`) are part of what is the same: [`Sense::settings`].

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::rc::Rc;

use super::session::{Leaves, left_by};
use crate::authentication::message;

/// Bytes of a statement's name on servers.
pub const NAME_LEN: usize = 15;

/// What makes two statements the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Sense {
    pub text: Box<[u8]>,
    /// As Parse has them: their count and their numbers.
    pub types: Box<[u8]>,
    /// A number for the values of settings on which a plan depends.
    pub settings: u32,
}

/// One statement, whatever it is called.
#[derive(Debug)]
pub struct Statement {
    pub number: u32,
    pub sense: Sense,
    /// Carried out, it may leave something in its session that its tag does not tell.
    pub leaves: Option<Leaves>,
}

impl Statement {
    /// What servers call it.
    pub fn name(number: u32) -> String {
        let mut name = String::with_capacity(NAME_LEN);
        // Writing to a String does not fail.
        let _ = write!(name, "howdah_{number:08x}");
        name
    }

    /// Appends a Close of it, which is no error where it does not exist.
    pub fn write_close(number: u32, out: &mut Vec<u8>) {
        message(out, b'C', &[b"S", Statement::name(number).as_bytes(), &[0]]);
    }

    /// Appends a Parse of it.
    pub fn write_parse(&self, out: &mut Vec<u8>) {
        let (name, sense) = (Statement::name(self.number), &self.sense);
        message(out, b'P', &[name.as_bytes(), &[0], &sense.text, &[0], &sense.types]);
    }

    fn bytes(&self) -> usize {
        size_of::<Statement>() + self.sense.text.len() + self.sense.types.len()
    }
}

/// All statements that a thread's clients have prepared, up to a bound in bytes.
#[derive(Debug)]
pub struct Known {
    by_sense: BTreeMap<Sense, Rc<Statement>>,
    bytes: usize,
    bytes_max: usize,
    last: u32,
}

impl Known {
    /// `first`: what numbers begin after, so that threads do not share any.
    pub fn new(bytes_max: usize, first: u32) -> Known {
        Known { by_sense: BTreeMap::new(), bytes: 0, bytes_max, last: first }
    }

    /// The statement of that sense.
    pub fn of(&mut self, sense: Sense) -> Rc<Statement> {
        if let Some(known) = self.by_sense.get(&sense) {
            return known.clone();
        }
        self.last = self.last.wrapping_add(1);
        let leaves = left_by(&sense.text);
        let statement = Rc::new(Statement { number: self.last, sense: sense.clone(), leaves });
        self.bytes += statement.bytes();
        if self.bytes > self.bytes_max {
            self.forget_unused();
        }
        self.by_sense.insert(sense, statement.clone());
        statement
    }

    /// What no client has a name for any more. What clients do have is bounded by what each may
    /// have.
    fn forget_unused(&mut self) {
        let bytes = &mut self.bytes;
        self.by_sense.retain(|_, statement| {
            let used = Rc::strong_count(statement) > 1;
            *bytes -= if used { 0 } else { statement.bytes() };
            used
        });
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What one client calls its statements. What it says takes effect when the server has heard it,
/// and is known until then: a Close that the server passes over has closed nothing.
#[derive(Debug, Default)]
pub struct Names {
    named: BTreeMap<Box<[u8]>, Rc<Statement>>,
    /// In the order of the questions.
    open: VecDeque<Change>,
    last: u32,
    bytes: usize,
}

#[derive(Debug)]
struct Change {
    /// The question's tag.
    tag: u32,
    /// See [`super::ServerHalf::batch`].
    batch: u32,
    name: Box<[u8]>,
    /// `None`: the name is given up.
    to: Option<Rc<Statement>>,
}

impl Names {
    /// What the name will mean when the server has come so far.
    pub fn get(&self, name: &[u8]) -> Option<&Rc<Statement>> {
        match self.open.iter().rev().find(|change| *change.name == *name) {
            Some(change) => change.to.as_ref(),
            None => self.named.get(name),
        }
    }

    /// By one outcome or another of what is open, it has a meaning.
    pub fn may_have(&self, name: &[u8]) -> bool {
        self.named.contains_key(name) || self.open.iter().any(|change| *change.name == *name)
    }

    /// An earlier batch changes what the name means, and may fail before it comes to that.
    pub fn is_unsure(&self, name: &[u8], batch: u32) -> bool {
        self.open.iter().any(|change| change.batch != batch && *change.name == *name)
    }

    /// Gives a name, or takes it away; answers the tag for the question.
    pub fn change(&mut self, name: &[u8], to: Option<Rc<Statement>>, batch: u32) -> u32 {
        // No question without a change has a tag.
        self.last = self.last.checked_add(1).unwrap_or(1);
        self.open.push_back(Change { tag: self.last, batch, name: name.into(), to });
        self.last
    }

    /// The question with this tag is answered. The statement's number, if it gave one a name.
    pub fn done(&mut self, tag: u32) -> Option<u32> {
        let change = self.take(tag)?;
        let number = change.to.as_ref().map(|statement| statement.number);
        self.put(change.name, change.to);
        number
    }

    /// It has failed. As the server does, the unnamed statement is given up before it is known
    /// whether the new one is any good.
    pub fn failed(&mut self, tag: u32) -> Option<u32> {
        let change = self.take(tag)?;
        if change.name.is_empty() {
            self.put(change.name, None);
        }
        change.to.map(|statement| statement.number)
    }

    /// The server passes over it.
    pub fn passed_over(&mut self, tag: u32) -> Option<u32> {
        self.take(tag)?.to.map(|statement| statement.number)
    }

    fn take(&mut self, tag: u32) -> Option<Change> {
        let at = self.open.iter().position(|change| change.tag == tag)?;
        self.open.remove(at)
    }

    fn put(&mut self, name: Box<[u8]>, to: Option<Rc<Statement>>) {
        let size = |statement: &Rc<Statement>| name.len() + statement.bytes();
        self.bytes += to.as_ref().map_or(0, size);
        let before = match to {
            Some(statement) => self.named.insert(name.clone(), statement),
            None => self.named.remove(&name),
        };
        self.bytes -= before.as_ref().map_or(0, size);
    }

    /// What is open will not be answered.
    pub fn forget_open(&mut self) {
        self.open.clear();
    }

    /// DEALLOCATE ALL.
    pub fn clear(&mut self) {
        self.named.clear();
        self.bytes = 0;
    }

    /// What its statements take, as if it shared none.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Which statements a server has, and when each was used.
#[derive(Debug, Default)]
pub struct Held {
    held: BTreeMap<u32, Use>,
    clock: u64,
}

#[derive(Debug)]
struct Use {
    at: u64,
    /// Its Parse has succeeded.
    proven: bool,
    /// In which batch it was asked for, see [`super::ServerHalf::batch`].
    batch: u32,
}

/// No batch has this number for long.
const NO_BATCH: u32 = u32::MAX;

/// Whether a server has a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Has {
    Yes,
    No,
    /// An earlier batch asks for it and may fail before it comes to that, or has failed.
    Perhaps,
}

impl Held {
    /// Whether the server will have it in this batch; it counts as used.
    pub fn has(&mut self, number: u32, batch: u32) -> Has {
        self.clock += 1;
        let Some(held) = self.held.get_mut(&number) else { return Has::No };
        held.at = self.clock;
        match held.proven || held.batch == batch {
            true => Has::Yes,
            false => Has::Perhaps,
        }
    }

    /// It is asked for.
    pub fn add(&mut self, number: u32, batch: u32) {
        self.clock += 1;
        self.held.insert(number, Use { at: self.clock, proven: false, batch });
    }

    /// Its Parse has succeeded.
    pub fn prove(&mut self, number: u32) {
        let at = self.clock;
        let proven = Use { at, proven: true, batch: 0 };
        self.held.entry(number).and_modify(|held| held.proven = true).or_insert(proven);
    }

    /// Its Parse has failed. An older one may have succeeded, and was to be closed before it.
    pub fn doubt(&mut self, number: u32) {
        if let Some(held) = self.held.get_mut(&number) {
            (held.proven, held.batch) = (false, NO_BATCH);
        }
    }

    pub fn len(&self) -> usize {
        self.held.len()
    }

    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// DEALLOCATE ALL.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// Takes away the one that was used longest ago, as long as there are more than `max`. Only
    /// between transactions: Close ends the portals of a statement too.
    pub fn pop_beyond(&mut self, max: usize) -> Option<u32> {
        if self.held.len() <= max {
            return None;
        }
        let number = *self.held.iter().min_by_key(|(_, held)| held.at)?.0;
        self.held.remove(&number);
        Some(number)
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
        let mut known = Known::new(10_000, 0);
        let one = known.of(sense("SELECT 1"));
        assert_eq!(known.of(sense("SELECT 1")).number, one.number);
        let elsewhere = known.of(Sense { settings: 1, ..sense("SELECT 1") });
        assert_ne!(elsewhere.number, one.number);
        assert_eq!(Statement::name(42), "howdah_0000002a");
        assert_eq!(Statement::name(u32::MAX).len(), NAME_LEN);
    }

    #[test]
    fn what_nobody_calls_by_a_name_is_forgotten_when_room_is_short() {
        let mut known = Known::new(500, 0);
        let mut names = Names::default();
        let tag = names.change(b"kept", Some(known.of(sense("SELECT 0"))), 0);
        assert_eq!(names.done(tag), Some(1));
        for number in 1..100 {
            known.of(sense(&format!("SELECT {number}")));
        }
        assert!(known.bytes() < 1_000, "{}", known.bytes());
        assert_eq!(known.of(sense("SELECT 0")).number, 1);
        let tag = names.change(b"kept", None, 0);
        assert!(names.done(tag).is_none() && names.bytes() == 0);
    }

    #[test]
    fn a_name_means_what_the_server_will_have_heard() {
        let mut known = Known::new(10_000, 0);
        let (one, two) = (known.of(sense("SELECT 1")), known.of(sense("SELECT 2")));
        let mut names = Names::default();
        let number = |names: &Names, name: &[u8]| names.get(name).map(|s| s.number);
        let first = names.change(b"a", Some(one.clone()), 0);
        assert_eq!((number(&names, b"a"), names.done(first)), (Some(1), Some(1)));
        assert!(!names.is_unsure(b"a", 1));
        // Closed and given anew in a batch that fails before it comes to that.
        let (close, give) = (names.change(b"a", None, 0), names.change(b"a", Some(two.clone()), 0));
        assert_eq!(number(&names, b"a"), Some(2));
        assert!(names.is_unsure(b"a", 1) && !names.is_unsure(b"a", 0));
        assert_eq!((names.passed_over(close), names.passed_over(give)), (None, Some(2)));
        assert_eq!(number(&names, b"a"), Some(1));
        // The unnamed one is lost with a Parse that fails, not with one that is passed over.
        let unnamed = names.change(b"", Some(one), 0);
        names.done(unnamed);
        let over = names.change(b"", Some(two.clone()), 0);
        names.passed_over(over);
        assert_eq!(number(&names, b""), Some(1));
        let fails = names.change(b"", Some(two), 0);
        names.failed(fails);
        assert_eq!(number(&names, b""), None);
        names.clear();
        assert_eq!((names.bytes(), number(&names, b"a")), (0, None));
    }

    #[test]
    fn a_server_gives_up_what_was_used_longest_ago() {
        let mut held = Held::default();
        (1..=3).for_each(|number| held.add(number, 0));
        assert_eq!(
            (held.has(1, 0), held.has(1, 1), held.has(4, 0)),
            (Has::Yes, Has::Perhaps, Has::No)
        );
        held.prove(1);
        assert_eq!(held.has(1, 1), Has::Yes);
        assert_eq!((held.pop_beyond(2), held.pop_beyond(2)), (Some(2), None));
    }
}
