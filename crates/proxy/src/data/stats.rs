//! What is counted of a pool. Only its thread counts, in plain numbers, by the clock that it has
//! read once for the turn of its loop: no lock, no allocation, no question of the time.
//!
//! A query is, as PgBouncer has it, what a client says until its server is ready and owes nothing;
//! a transaction is what it says until its server is ready and in none.

use std::time::{Duration, Instant};

use howdah_wire::relay::{Event, ServerHalf, Status};
use howdah_wire::replies::Whose;

use crate::pool::Histogram;

/// PgBouncer's counters; times in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Counts {
    pub assignments: u64,
    pub xacts: u64,
    pub queries: u64,
    /// Bytes of clients.
    pub received: u64,
    /// Bytes of servers.
    pub sent: u64,
    pub xact_us: u64,
    pub query_us: u64,
    pub wait_us: u64,
    pub client_parses: u64,
    pub server_parses: u64,
    pub binds: u64,
    pub logins: u64,
}

impl Counts {
    /// In the order of PgBouncer's columns.
    pub fn all(&self) -> [u64; 12] {
        [
            self.assignments,
            self.xacts,
            self.queries,
            self.received,
            self.sent,
            self.xact_us,
            self.query_us,
            self.wait_us,
            self.client_parses,
            self.server_parses,
            self.binds,
            self.logins,
        ]
    }

    pub fn add(&mut self, other: &Counts) {
        self.assignments += other.assignments;
        self.xacts += other.xacts;
        self.queries += other.queries;
        self.received += other.received;
        self.sent += other.sent;
        self.xact_us += other.xact_us;
        self.query_us += other.query_us;
        self.wait_us += other.wait_us;
        self.client_parses += other.client_parses;
        self.server_parses += other.server_parses;
        self.binds += other.binds;
        self.logins += other.logins;
    }
}

/// One pool's.
#[derive(Clone, Default, Debug)]
pub(crate) struct Stats {
    pub counts: Counts,
    /// From a client's request for a server until it has one.
    pub wait: Histogram,
    /// From a query's way to its server until it is answered.
    pub server: Histogram,
    /// From a query's first byte until it is answered.
    pub total: Histogram,
}

/// When a client did what is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks {
    /// Its number among all of the thread's: its place may be another's later.
    pub id: u64,
    pub came: Instant,
    /// It asked for a server.
    pub wanted: Instant,
    /// Its query has begun.
    pub asked: Option<Instant>,
    /// Its transaction has.
    pub begun: Option<Instant>,
}

impl Marks {
    pub fn new(id: u64, now: Instant) -> Marks {
        Marks { id, came: now, wanted: now, asked: None, begun: None }
    }
}

impl Stats {
    /// A client has said something.
    pub fn said(&mut self, marks: &mut Marks, now: Instant) {
        if marks.asked.is_some() {
            return;
        }
        marks.asked = Some(now);
        self.counts.queries += 1;
        if marks.begun.is_none() {
            marks.begun = Some(now);
            self.counts.xacts += 1;
        }
    }

    /// A client has begun a transaction, and has been answered without a server.
    pub fn begun(&mut self, marks: &mut Marks, now: Instant) {
        self.said(marks, now);
        if let Some(asked) = marks.asked.take() {
            let total = us(now.saturating_duration_since(asked));
            self.counts.query_us += total;
            self.total.record(total);
        }
    }

    /// A client that is in has got a server.
    pub fn linked(&mut self, marks: &Marks, now: Instant) {
        let waited = us(now.saturating_duration_since(marks.wanted));
        self.counts.assignments += 1;
        self.counts.wait_us += waited;
        self.wait.record(waited);
    }

    /// Nothing is owed to a client any more. `linked`: since when it has its server.
    pub fn answered(&mut self, marks: &mut Marks, linked: Instant, idle: bool, now: Instant) {
        if let Some(asked) = marks.asked.take() {
            let total = us(now.saturating_duration_since(asked));
            self.counts.query_us += total;
            self.total.record(total);
            self.server.record(us(now.saturating_duration_since(asked.max(linked))));
        }
        if idle && let Some(begun) = marks.begun.take() {
            self.counts.xact_us += us(now.saturating_duration_since(begun));
        }
    }

    /// A server has been heard that is its client's since `linked`.
    pub(super) fn heard(
        &mut self,
        turn: Turn,
        half: &mut ServerHalf,
        marks: Option<&mut Marks>,
        linked: Instant,
        now: Instant,
    ) {
        let tally = half.take_tally();
        if let (Some(status), Some(marks)) = (turn.ready, marks)
            && half.replies().is_settled()
        {
            self.answered(marks, linked, status == Status::Idle, now);
        }
        self.counts.client_parses += u64::from(tally.client_parses);
        self.counts.server_parses += u64::from(tally.server_parses);
        self.counts.binds += u64::from(tally.binds);
    }
}

/// What is to be known of what a server has said at once.
#[derive(Default)]
pub(super) struct Turn {
    /// What was done last, the client had asked.
    clients: bool,
    ready: Option<Status>,
}

impl Turn {
    pub fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::Done(question) => self.clients = question.whose == Whose::Clients,
            // What was done last is what it is ready after.
            Event::Ready(status) if self.clients => self.ready = Some(*status),
            _ => {}
        }
    }
}

pub(crate) fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_lasts_from_its_first_word_to_its_answer_and_a_transaction_to_its_end() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let (mut stats, mut marks) = (Stats::default(), Marks::new(1, start));
        // BEGIN waits 5 ms for its server; a second statement follows; then COMMIT.
        marks.wanted = at(0);
        stats.said(&mut marks, at(0));
        stats.linked(&marks, at(5));
        stats.said(&mut marks, at(6));
        stats.answered(&mut marks, at(5), false, at(8));
        stats.said(&mut marks, at(10));
        stats.answered(&mut marks, at(5), false, at(11));
        stats.said(&mut marks, at(12));
        stats.answered(&mut marks, at(5), true, at(14));
        let Counts { assignments, xacts, queries, xact_us, query_us, wait_us, .. } = stats.counts;
        assert_eq!((assignments, xacts, queries), (1, 1, 3));
        assert_eq!((xact_us, query_us, wait_us), (14_000, 11_000, 5_000));
        assert_eq!((stats.server.count(), stats.server.sum()), (3, 6_000));
        assert_eq!((stats.total.sum(), stats.wait.sum()), (11_000, 5_000));
    }
}
