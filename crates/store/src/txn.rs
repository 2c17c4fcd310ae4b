//! What goes into the store and comes out of it: transactions, their outcome, snapshots.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// One lease. Numbers are never used twice while a machine is up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseId(pub u64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// One key's value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// JSON.
    pub value: String,
    /// The store's revision at the last change of this key.
    pub revision: u64,
    /// The lease with which this key vanishes.
    pub lease: Option<LeaseId>,
}

/// Everything in the store, at one revision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Rises with every transaction that changes something, expiry included: by one, where
    /// nobody else uses the store.
    pub revision: u64,
    pub entries: BTreeMap<String, Entry>,
}

impl Snapshot {
    /// The typed value under `key` and its revision.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<(T, u64)>, StoreError> {
        let Some(entry) = self.entries.get(key) else { return Ok(None) };
        Ok(Some((parse(key, &entry.value)?, entry.revision)))
    }

    /// The typed values whose keys start with `prefix`, by the rest of their key.
    pub fn below<T: DeserializeOwned>(
        &self,
        prefix: &str,
    ) -> Result<BTreeMap<String, (T, u64)>, StoreError> {
        let range = self.entries.range(prefix.to_owned()..);
        range
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, entry)| {
                let rest = key[prefix.len()..].to_owned();
                Ok((rest, (parse(key, &entry.value)?, entry.revision)))
            })
            .collect()
    }

    /// As [`Snapshot::below`], where `known` holds what an earlier snapshot of the same store
    /// said: a key that has not changed since is not parsed again.
    pub fn below_known<T: DeserializeOwned>(
        &self,
        prefix: &str,
        mut known: BTreeMap<String, (T, u64)>,
    ) -> Result<BTreeMap<String, (T, u64)>, StoreError> {
        let range = self.entries.range(prefix.to_owned()..);
        range
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, entry)| {
                let rest = &key[prefix.len()..];
                if let Some(same) = known.remove_entry(rest)
                    && same.1.1 == entry.revision
                {
                    return Ok(same);
                }
                Ok((rest.to_owned(), (parse(key, &entry.value)?, entry.revision)))
            })
            .collect()
    }

    /// The lease on which `key` hangs.
    pub fn lease(&self, key: &str) -> Option<LeaseId> {
        self.entries.get(key)?.lease
    }
}

fn parse<T: DeserializeOwned>(key: &str, value: &str) -> Result<T, StoreError> {
    serde_json::from_str(value)
        .map_err(|e| StoreError::Damaged { key: key.to_owned(), why: e.to_string() })
}

/// What a renewal asks for besides that the lease lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Held {
    /// This key stands as it was changed at `revision`, and hangs on the lease.
    pub key: String,
    pub revision: u64,
    /// A key and its value, on no lease: put at each renewal that succeeds, in the same
    /// transaction, so that others see it.
    pub mark: Option<(String, String)>,
}

impl From<(String, u64)> for Held {
    fn from((key, revision): (String, u64)) -> Held {
        Held { key, revision, mark: None }
    }
}

impl Held {
    /// With `mark`, a key and the value that it gets.
    #[must_use]
    pub fn marking(mut self, mark: impl Into<String>, value: &impl Serialize) -> Held {
        self.mark = Some((mark.into(), to_json(value)));
        self
    }
}

/// What must hold for a transaction to be applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Compare {
    /// There is no such key.
    Absent(String),
    /// The key stands as it was last changed at this revision.
    Revision(String, u64),
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Replaces the value and the lease of the key.
    Put { key: String, value: String, lease: Option<LeaseId> },
    /// No change when the key is absent.
    Delete { key: String },
}

/// Changes that are applied together, if all comparisons hold. A key is changed at most once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub ops: Vec<Op>,
}

impl Txn {
    pub fn new() -> Txn {
        Txn::default()
    }

    /// Only if there is no `key`.
    #[must_use]
    pub fn absent(mut self, key: impl Into<String>) -> Txn {
        self.compares.push(Compare::Absent(key.into()));
        self
    }

    /// Only if `key` still stands as it was changed at `revision`.
    #[must_use]
    pub fn at(mut self, key: impl Into<String>, revision: u64) -> Txn {
        self.compares.push(Compare::Revision(key.into(), revision));
        self
    }

    /// Only if `key` is as it was seen: absent, or changed last at that revision.
    #[must_use]
    pub fn as_seen(self, key: impl Into<String>, seen: Option<u64>) -> Txn {
        match seen {
            Some(revision) => self.at(key, revision),
            None => self.absent(key),
        }
    }

    #[must_use]
    pub fn put<T: Serialize>(self, key: impl Into<String>, value: &T) -> Txn {
        self.put_json(key.into(), to_json(value), None)
    }

    /// Puts a key that vanishes with `lease`.
    #[must_use]
    pub fn put_leased<T: Serialize>(
        self,
        key: impl Into<String>,
        value: &T,
        lease: LeaseId,
    ) -> Txn {
        self.put_json(key.into(), to_json(value), Some(lease))
    }

    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Txn {
        self.ops.push(Op::Delete { key: key.into() });
        self
    }

    fn put_json(mut self, key: String, value: String, lease: Option<LeaseId>) -> Txn {
        self.ops.push(Op::Put { key, value, lease });
        self
    }
}

/// Records are plain structs; one that JSON cannot hold is a mistake in its type, found by the
/// first test that writes it, and never a matter of data.
fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("a record is a plain struct")
}

/// What became of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TxnOutcome {
    /// Applied; the store is at `revision` now, which is also the revision of the keys put.
    Applied { revision: u64 },
    /// Nothing was changed: a comparison failed or a lease has ended. `snapshot` is the state
    /// that it was judged by.
    Refused { snapshot: Snapshot },
}

/// What became of a renewal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Renewal {
    /// The lease lives for its whole length again.
    Kept,
    /// The lease has ended, or the key is no longer held by it. It was not prolonged.
    Lost,
}
