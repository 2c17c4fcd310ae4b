//! What the clients did and were told: values only, made by [`crate::clients`] and judged by
//! [`crate::check`].

use std::collections::{BTreeMap, BTreeSet};

/// Microseconds since the run began, by the one clock of all clients.
pub type Micros = u64;

/// One write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A row with a number that is never tried twice.
    Insert { id: i64 },
    /// Moves money between two accounts, and leaves a row with a number of its own.
    Transfer { id: i64, from: i64, to: i64, amount: i64 },
    /// Appends an item, which is never tried twice, to the list of that key.
    Append { key: String, item: i64 },
}

/// What the client knows of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It was told that the write is committed.
    Acknowledged,
    /// The commit was sent, and no clear answer came.
    Indeterminate,
    /// It was told that the write is not committed, or never asked for the commit.
    Failed,
}

/// Where a write was made, as the server itself said within the transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    pub node: String,
    pub timeline: u32,
}

/// One write from its beginning to its answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Op {
    pub client: String,
    pub what: What,
    /// When the commit was sent; with it the whole statement, but for a transfer.
    pub sent: Micros,
    /// When the answer came, or was given up.
    pub done: Micros,
    pub outcome: Outcome,
    pub made: Option<Made>,
}

/// Everything that all clients know at the end of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    pub ops: Vec<Op>,
    /// Rows that a reader saw on a server that was not in recovery: when first, and where.
    pub seen: BTreeMap<i64, (Micros, String)>,
    /// Sums of all accounts that were not the sum at the beginning: when, where, which.
    pub odd_sums: Vec<(Micros, String, i64)>,
}

impl History {
    /// Those of one outcome.
    pub fn with(&self, outcome: Outcome) -> impl Iterator<Item = &Op> {
        self.ops.iter().filter(move |op| op.outcome == outcome)
    }
}

/// What the cluster holds when all faults are healed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Final {
    pub rows: BTreeSet<i64>,
    /// Transfers by number: from, to, amount.
    pub transfers: BTreeMap<i64, (i64, i64, i64)>,
    pub balances: BTreeMap<i64, i64>,
    pub lists: BTreeMap<String, Vec<i64>>,
    /// What every account held at the beginning.
    pub opening: i64,
}
