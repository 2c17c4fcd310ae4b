//! What one client calls its statements. What it says takes effect when the server has heard it,
//! and is known until then: a Close that the server passes over has closed nothing.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::rc::Rc;

use super::statements::Statement;

/// What one client calls its statements.
#[derive(Default)]
pub struct Names {
    named: BTreeMap<Box<[u8]>, Rc<Statement>>,
    /// In the order of the questions.
    open: VecDeque<Change>,
    /// What the statements of a Query take away, in their order.
    taken: VecDeque<Box<[u8]>>,
    last: u32,
    bytes: usize,
}

/// Names may tell what nobody is to read, as texts do.
impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (named, open) = (self.named.len(), self.open.len());
        f.debug_struct("Names").field("named", &named).field("open", &open).finish()
    }
}

struct Change {
    /// The question's tag.
    tag: u32,
    /// See [`super::ServerHalf::batch`].
    batch: u32,
    name: Box<[u8]>,
    /// `None`: the name is given up.
    to: Option<Rc<Statement>>,
}

impl Change {
    fn bytes(&self) -> usize {
        size_of::<Change>() + self.name.len() + self.to.as_ref().map_or(0, |to| to.bytes())
    }
}

impl Names {
    /// Statements, without the one that has no name.
    pub fn count(&self) -> usize {
        self.named.len() - usize::from(self.named.contains_key(&b""[..]))
    }

    /// What the name will mean when the server has come so far.
    pub fn get(&self, name: &[u8]) -> Option<&Rc<Statement>> {
        match self.latest(name) {
            Some(change) => change.to.as_ref(),
            None => self.named.get(name),
        }
    }

    /// A name of this statement: where there are several, any of them.
    pub fn called(&self, number: u32) -> Option<&[u8]> {
        let open =
            self.open.iter().rev().filter_map(|change| Some((&change.name, change.to.as_ref()?)));
        let mut all = open.chain(&self.named);
        all.find(|(_, statement)| statement.number == number).map(|(name, _)| &**name)
    }

    /// By one outcome or another of what is open, it has a meaning.
    pub fn may_have(&self, name: &[u8]) -> bool {
        self.named.contains_key(name) || self.latest(name).is_some()
    }

    /// An earlier batch changes what the name means, and may fail before it comes to that. What
    /// this batch has changed itself is sure: if that fails the rest is passed over.
    pub fn is_unsure(&self, name: &[u8], batch: u32) -> bool {
        self.latest(name).is_some_and(|change| change.batch != batch)
    }

    fn latest(&self, name: &[u8]) -> Option<&Change> {
        self.open.iter().rev().find(|change| *change.name == *name)
    }

    /// Gives a name, or takes it away; answers the tag for the question.
    pub fn change(&mut self, name: &[u8], to: Option<Rc<Statement>>, batch: u32) -> u32 {
        // No question without a change has a tag.
        self.last = self.last.checked_add(1).unwrap_or(1);
        let change = Change { tag: self.last, batch, name: name.into(), to };
        self.bytes += change.bytes();
        self.open.push_back(change);
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
        let change = self.open.remove(at);
        self.bytes -= change.as_ref().map_or(0, Change::bytes);
        change
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
        self.bytes -= self.open.iter().map(Change::bytes).sum::<usize>();
        self.open.clear();
        self.taken.clear();
    }

    /// The server is asked to take these away, one after the other ([`Names::taken`]).
    pub(super) fn expect_taken(&mut self, names: Vec<Box<[u8]>>) {
        self.taken = names.into();
    }

    /// It has taken the next of them away.
    pub(super) fn taken(&mut self) {
        if let Some(name) = self.taken.pop_front() {
            self.put(name, None);
        }
    }

    /// DEALLOCATE ALL: what had a name up to there; the unnamed one is not among them
    /// (`DropAllPreparedStatements`). What is open was said after it.
    pub fn clear(&mut self) {
        self.named.retain(|name, _| name.is_empty());
        let kept = self.named.values().map(|statement| statement.bytes()).sum::<usize>();
        self.bytes = kept + self.open.iter().map(Change::bytes).sum::<usize>();
    }

    /// What its statements take, those on their way among them, as if it shared none.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::statements::{Known, Sense};

    fn sense(text: &str) -> Sense {
        Sense { text: text.as_bytes().into(), types: [0, 0].into(), settings: 0 }
    }

    #[test]
    fn a_name_means_what_the_server_will_have_heard() {
        let mut known = Known::new(10_000, [7; 32]);
        let (one, two) = (known.of(sense("SELECT 1")), known.of(sense("SELECT 2")));
        let mut names = Names::default();
        let number = |names: &Names, name: &[u8]| names.get(name).map(|s| s.number);
        let first = names.change(b"a", Some(one.clone()), 0);
        assert!(names.bytes() > 0, "what is on its way counts");
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
    fn what_this_batch_gives_a_name_is_sure_whatever_an_earlier_one_does() {
        let mut known = Known::new(10_000, [7; 32]);
        let mut names = Names::default();
        names.change(b"", Some(known.of(sense("SELECT 1"))), 0);
        assert!(names.is_unsure(b"", 1));
        names.change(b"", Some(known.of(sense("SELECT 2"))), 1);
        assert!(!names.is_unsure(b"", 1));
        names.forget_open();
        assert_eq!(names.bytes(), 0);
    }

    #[test]
    fn nobody_reads_statements_in_a_log() {
        let mut known = Known::new(10_000, [7; 32]);
        let mut names = Names::default();
        let statement = known.of(sense("SELECT 'hush'"));
        let tag = names.change(b"hush", Some(statement.clone()), 0);
        let shown = format!("{names:?} {statement:?} {known:?}");
        assert!(!shown.contains("hush") && !shown.contains("104, 117"), "{shown}");
        assert!(!shown.contains("howdah_"), "{shown}");
        names.done(tag);
        let shown = format!("{names:?}");
        assert!(!shown.contains("hush") && !shown.contains("104, 117"), "{shown}");
    }
}
