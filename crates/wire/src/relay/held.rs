//! Which statements a server has, as far as that is known: a Parse may fail or be passed over, and
//! a statement may be taken away by what nobody sees through.

use std::collections::BTreeMap;

use super::Cuts;
use super::server_half::ServerHalf;
use super::statements::{ServerName, Statement};
use crate::replies::{Asked, Question, Whose};

/// Which statements a server has, and when each was used.
#[derive(Debug, Default)]
pub struct Held {
    held: BTreeMap<u32, Use>,
    clock: u64,
    /// The transaction under way has changed what texts mean, and may take that back.
    altered: bool,
}

#[derive(Debug)]
struct Use {
    name: ServerName,
    at: u64,
    /// Its Parse has succeeded.
    proven: bool,
    /// In which batch it was asked for, see [`super::ServerHalf::batch`].
    batch: u32,
    /// Parses that have not been answered: only what comes of the last one counts.
    open: u32,
    /// Its text may mean something else by now.
    stale: bool,
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

    /// The same for a client that prepares it anew: it must get what the text means now. Who goes on
    /// with what it has prepared before is to hear from the server that its rows are others.
    pub fn has_anew(&mut self, number: u32, batch: u32) -> Has {
        let stale = self.held.get(&number).is_some_and(|held| held.stale);
        match self.has(number, batch) {
            Has::Yes if stale => Has::Perhaps,
            has => has,
        }
    }

    /// It is asked for.
    pub fn add(&mut self, statement: &Statement, batch: u32) {
        self.clock += 1;
        let open = self.held.get(&statement.number).map_or(0, |held| held.open) + 1;
        let (name, at) = (statement.name, self.clock);
        let held = Use { name, at, proven: false, batch, open, stale: false };
        self.held.insert(statement.number, held);
    }

    /// Its Parse has succeeded.
    pub fn prove(&mut self, number: u32) {
        if let Some(held) = self.held.get_mut(&number) {
            held.open = held.open.saturating_sub(1);
            held.proven = held.open == 0;
        }
    }

    /// Its Parse has failed. An older one may be there.
    pub fn fail(&mut self, number: u32) {
        if let Some(held) = self.held.get_mut(&number) {
            held.open = held.open.saturating_sub(1);
            held.doubt();
        }
    }

    /// Its plan is out of date: it is closed before it is prepared again.
    pub fn doubt(&mut self, number: u32) {
        if let Some(held) = self.held.get_mut(&number) {
            held.doubt();
        }
    }

    /// One that it was sure to have it has not: so may it be with the others.
    pub fn doubt_all(&mut self) {
        self.held.values_mut().for_each(Use::doubt);
    }

    /// What texts mean has changed in its own session.
    pub fn alter(&mut self) {
        self.altered = true;
        self.held.values_mut().for_each(|held| held.stale = true);
    }

    /// The transaction has ended, and its changes may have been taken back.
    pub fn end_transaction(&mut self) {
        if std::mem::take(&mut self.altered) {
            self.held.values_mut().for_each(|held| held.stale = true);
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
    pub fn pop_beyond(&mut self, max: usize) -> Option<(u32, ServerName)> {
        if self.held.len() <= max {
            return None;
        }
        let number = *self.held.iter().min_by_key(|(_, held)| held.at)?.0;
        self.held.remove(&number).map(|held| (number, held.name))
    }
}

impl ServerHalf {
    /// Has the server forget the statements that were used longest ago, as long as it has more than
    /// `max`. Only between two clients.
    pub fn close_beyond(&mut self, held: &mut Held, max: usize, to_server: &mut Cuts) {
        // The answers come with the next client's: a Sync of our own would cost a round trip.
        while let Some((number, name)) = held.pop_beyond(max) {
            let question = |asked| Question { asked, whose: Whose::Nobodys, tag: number };
            self.ask(question(Asked::Close));
            to_server.make(|out| name.write_close(out));
        }
    }

    /// The same, answered at once: until then it is not clean.
    pub fn tidy(&mut self, held: &mut Held, max: usize, to_server: &mut Cuts) {
        self.close_beyond(held, max, to_server);
        self.sync(to_server);
    }
}

impl Use {
    fn doubt(&mut self) {
        (self.proven, self.batch) = (false, NO_BATCH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::statements::{Known, Sense};

    fn statements(count: u32) -> Vec<std::rc::Rc<Statement>> {
        let mut known = Known::new(100_000, [7; 32]);
        let sense = |n: u32| Sense {
            text: n.to_string().into_bytes().into(),
            types: [0, 0].into(),
            settings: 0,
        };
        (1..=count).map(|n| known.of(sense(n))).collect()
    }

    #[test]
    fn a_server_gives_up_what_was_used_longest_ago() {
        let (mut held, statements) = (Held::default(), statements(3));
        statements.iter().for_each(|statement| held.add(statement, 0));
        assert_eq!(
            (held.has(1, 0), held.has(1, 1), held.has(4, 0)),
            (Has::Yes, Has::Perhaps, Has::No)
        );
        held.prove(1);
        assert_eq!(held.has(1, 1), Has::Yes);
        let popped = held.pop_beyond(2);
        assert_eq!((popped, held.pop_beyond(2)), (Some((2, statements[1].name)), None));
    }

    #[test]
    fn what_was_prepared_while_a_text_meant_something_else_is_prepared_anew() {
        let (mut held, statements) = (Held::default(), statements(2));
        held.add(&statements[0], 0);
        held.prove(1);
        held.alter();
        assert_eq!((held.has_anew(1, 1), held.has(1, 1)), (Has::Perhaps, Has::Yes));
        held.add(&statements[1], 1);
        held.prove(2);
        assert_eq!(held.has_anew(2, 2), Has::Yes, "until the transaction is rolled back");
        held.end_transaction();
        assert_eq!(held.has_anew(2, 2), Has::Perhaps);
        held.add(&statements[1], 2);
        held.prove(2);
        held.end_transaction();
        assert_eq!(held.has_anew(2, 3), Has::Yes);
    }

    #[test]
    fn only_the_last_parse_of_a_statement_proves_it() {
        let (mut held, statements) = (Held::default(), statements(1));
        held.add(&statements[0], 0);
        held.add(&statements[0], 1);
        held.prove(1);
        assert_eq!(held.has(1, 2), Has::Perhaps, "the second closes it first, and may fail");
        held.prove(1);
        assert_eq!(held.has(1, 2), Has::Yes);
        held.add(&statements[0], 2);
        held.fail(1);
        assert_eq!(held.has(1, 3), Has::Perhaps);
    }
}
