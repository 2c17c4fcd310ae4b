//! The meaning of the store as a pure state machine: what every driver keeps and obeys.
//!
//! The simulation drives it directly; `embedded` loads it from SQLite, applies one call and
//! saves what changed. Time is an argument, so an expiry happens exactly when a call says that
//! it is time.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_base::Tick;

use crate::{Compare, Entry, Held, LeaseId, Op, Renewal, Snapshot, Txn, TxnOutcome};

/// Keys, leases and the revision.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    pub(crate) revision: u64,
    pub(crate) leases_granted: u64,
    pub(crate) leases: BTreeMap<LeaseId, Lease>,
    pub(crate) entries: BTreeMap<String, Entry>,
}

/// A living lease: it ends at `ends`, and lives for `ttl` again when it is renewed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    pub(crate) ttl: Duration,
    pub(crate) ends: Tick,
}

impl State {
    pub fn new() -> State {
        State::default()
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Everything as it stands. Whoever asks for the state of a moment calls
    /// [`State::expire`] first.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { revision: self.revision, entries: self.entries.clone() }
    }

    /// Applies `txn` as a whole, or refuses it as a whole.
    pub fn txn(&mut self, txn: Txn, now: Tick) -> TxnOutcome {
        self.expire(now);
        let allowed = txn.compares.iter().all(|compare| self.holds(compare))
            && txn.ops.iter().all(|op| self.leased_or_free(op));
        if !allowed {
            return TxnOutcome::Refused { snapshot: self.snapshot() };
        }
        let revision = self.revision + 1;
        for op in txn.ops {
            self.apply(op, revision);
        }
        TxnOutcome::Applied { revision: self.revision }
    }

    /// A new lease that ends `ttl` after `now`.
    pub fn grant(&mut self, ttl: Duration, now: Tick) -> LeaseId {
        self.expire(now);
        self.leases_granted += 1;
        let lease = LeaseId(self.leases_granted);
        self.leases.insert(lease, Lease { ttl, ends: now + ttl });
        lease
    }

    /// Prolongs `lease` if it lives and `while_held` stands unchanged and hangs on it.
    pub fn renew(&mut self, lease: LeaseId, while_held: Option<&Held>, now: Tick) -> Renewal {
        self.expire(now);
        let stands = while_held.is_none_or(|held| {
            let entry = self.entries.get(&held.key);
            entry.is_some_and(|e| e.revision == held.revision && e.lease == Some(lease))
        });
        match self.leases.get_mut(&lease) {
            Some(living) if stands => living.ends = now + living.ttl,
            _ => return Renewal::Lost,
        }
        if let Some((key, value)) = while_held.and_then(|held| held.mark.clone()) {
            self.apply(Op::Put { key, value, lease: None }, self.revision + 1);
        }
        Renewal::Kept
    }

    /// Ends `lease`; its keys vanish.
    pub fn revoke(&mut self, lease: LeaseId, now: Tick) {
        self.expire(now);
        self.end(|id, _| id == lease);
    }

    /// Ends the leases whose time has come. Says whether keys vanished with them.
    pub fn expire(&mut self, now: Tick) -> bool {
        self.end(|_, lease| lease.ends <= now)
    }

    /// Ends every lease: the machine on which they were counted has been restarted.
    pub fn end_all_leases(&mut self) -> bool {
        self.end(|_, _| true)
    }

    /// When the next lease ends, if none is renewed.
    pub fn next_expiry(&self) -> Option<Tick> {
        self.leases.values().map(|lease| lease.ends).min()
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::Absent(key) => !self.entries.contains_key(key),
            Compare::Revision(key, revision) => {
                self.entries.get(key).is_some_and(|entry| entry.revision == *revision)
            }
        }
    }

    fn leased_or_free(&self, op: &Op) -> bool {
        match op {
            Op::Put { lease: Some(lease), .. } => self.leases.contains_key(lease),
            Op::Put { lease: None, .. } | Op::Delete { .. } => true,
        }
    }

    fn apply(&mut self, op: Op, revision: u64) {
        match op {
            Op::Put { key, value, lease } => {
                self.entries.insert(key, Entry { value, revision, lease });
                self.revision = revision;
            }
            Op::Delete { key } => {
                if self.entries.remove(&key).is_some() {
                    self.revision = revision;
                }
            }
        }
    }

    /// Ends the leases that `over` names, and what hangs on them, as one change.
    fn end(&mut self, over: impl Fn(LeaseId, &Lease) -> bool) -> bool {
        if !self.leases.iter().any(|(id, lease)| over(*id, lease)) {
            return false;
        }
        self.leases.retain(|id, lease| !over(*id, lease));
        let before = self.entries.len();
        let leases = &self.leases;
        self.entries.retain(|_, entry| entry.lease.is_none_or(|id| leases.contains_key(&id)));
        let vanished = self.entries.len() < before;
        self.revision += u64::from(vanished);
        vanished
    }
}
