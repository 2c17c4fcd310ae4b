//! Between the store's words and etcd's: keys below the prefix, transactions, snapshots.
//!
//! A transaction means what [`memory::State`](crate::memory::State) says:
//!
//! | here | in etcd |
//! |---|---|
//! | absent | `version = 0` |
//! | last changed at a revision | `mod_revision =` |
//! | a put on a dead lease is refused | etcd answers "requested lease not found", applies nothing |
//! | refused, with the state it was judged by | the other branch reads the whole prefix |

use std::collections::BTreeMap;

use etcd_client::{
    Compare as EtcdCompare, CompareOp, GetOptions, GetResponse, KeyValue, PutOptions,
    Txn as EtcdTxn, TxnOp, TxnOpResponse, TxnResponse,
};

use crate::{Compare, Entry, Held, LeaseId, Op, Snapshot, StoreError, Txn, TxnOutcome};

/// The names of this cluster's keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub(super) fn below(prefix: &str) -> Keys {
        Keys { prefix: prefix.to_owned() }
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// `txn` for etcd.
    pub(super) fn txn(&self, txn: &Txn) -> EtcdTxn {
        let compares: Vec<EtcdCompare> = txn.compares.iter().map(|c| self.compare(c)).collect();
        // etcd knows no two changes of one key in a transaction; the last one counts.
        let last: BTreeMap<&str, &Op> = txn.ops.iter().map(|op| (name(op), op)).collect();
        let ops: Vec<TxnOp> = last.into_values().map(|op| self.op(op)).collect();
        EtcdTxn::new().when(compares).and_then(ops).or_else([self.read_all()])
    }

    /// Whether the key that is `held` stands and hangs on `lease`, leaving its mark if so; without
    /// a key, whether etcd answers at all. Where it puts nothing it reads in both branches: etcd answers a transaction that
    /// has nothing to do from the member's own memory, however old that is.
    pub(super) fn held(&self, lease: LeaseId, held: Option<&Held>) -> EtcdTxn {
        let compares = held.map_or_else(Vec::new, |held| {
            let (key, revision) = (self.full(&held.key), held.revision.cast_signed());
            vec![
                EtcdCompare::mod_revision(key.clone(), CompareOp::Equal, revision),
                EtcdCompare::lease(key, CompareOp::Equal, lease.0.cast_signed()),
            ]
        });
        let look = || TxnOp::get(self.prefix(), Some(count()));
        let mark = held.and_then(|held| held.mark.as_ref());
        let put = mark.map(|(key, value)| TxnOp::put(self.full(key), value.as_str(), None));
        EtcdTxn::new().when(compares).and_then([put.unwrap_or_else(look)]).or_else([look()])
    }

    pub(super) fn outcome(&self, answer: &TxnResponse) -> Result<TxnOutcome, StoreError> {
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        if answer.succeeded() {
            return Ok(TxnOutcome::Applied { revision: revision.cast_unsigned() });
        }
        let found = answer.op_responses().into_iter().find_map(|op| match op {
            TxnOpResponse::Get(found) => Some(found),
            _ => None,
        });
        let entries = found.map_or_else(|| Ok(BTreeMap::new()), |f| self.entries(f.kvs()))?;
        let snapshot = Snapshot { revision: revision.cast_unsigned(), entries };
        Ok(TxnOutcome::Refused { snapshot })
    }

    pub(super) fn snapshot(&self, answer: &GetResponse) -> Result<Snapshot, StoreError> {
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        Ok(Snapshot { revision: revision.cast_unsigned(), entries: self.entries(answer.kvs())? })
    }

    fn entries(&self, found: &[KeyValue]) -> Result<BTreeMap<String, Entry>, StoreError> {
        found.iter().map(|pair| self.entry(pair)).collect()
    }

    fn entry(&self, pair: &KeyValue) -> Result<(String, Entry), StoreError> {
        let key = String::from_utf8_lossy(pair.key());
        let key = key.strip_prefix(&self.prefix).unwrap_or(&key).to_owned();
        let value = pair.value_str().map_err(|_| StoreError::Damaged {
            key: key.clone(),
            why: "its value is not text".to_owned(),
        })?;
        let entry = Entry {
            value: value.to_owned(),
            revision: pair.mod_revision().cast_unsigned(),
            lease: (pair.lease() != 0).then(|| LeaseId(pair.lease().cast_unsigned())),
        };
        Ok((key, entry))
    }

    fn compare(&self, compare: &Compare) -> EtcdCompare {
        match compare {
            Compare::Absent(key) => EtcdCompare::version(self.full(key), CompareOp::Equal, 0),
            Compare::Revision(key, revision) => {
                let revision = revision.cast_signed();
                EtcdCompare::mod_revision(self.full(key), CompareOp::Equal, revision)
            }
        }
    }

    fn op(&self, op: &Op) -> TxnOp {
        match op {
            Op::Put { key, value, lease } => {
                let lease = lease.map(|lease| PutOptions::new().with_lease(lease.0.cast_signed()));
                TxnOp::put(self.full(key), value.as_str(), lease)
            }
            Op::Delete { key } => TxnOp::delete(self.full(key), None),
        }
    }

    fn read_all(&self) -> TxnOp {
        TxnOp::get(self.prefix(), Some(GetOptions::new().with_prefix()))
    }

    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

/// A look that brings nothing but the revision: no key has the prefix for its whole name.
pub(super) fn count() -> GetOptions {
    GetOptions::new().with_count_only()
}

/// A lease's life in etcd: whole seconds, rounded up, so that it never ends before its holder
/// thinks so. etcd raises what is shorter than one and a half of its election time-outs.
pub(super) fn seconds(ttl: std::time::Duration) -> i64 {
    let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// Whether etcd is to be asked at all. To etcd a key that is absent was changed at revision 0,
/// and lease 0 is none; here neither exists.
pub(super) fn can_hold(txn: &Txn) -> bool {
    let never = |compare: &Compare| matches!(compare, Compare::Revision(_, 0));
    let dead = |op: &Op| matches!(op, Op::Put { lease: Some(LeaseId(0)), .. });
    !txn.compares.iter().any(never) && !txn.ops.iter().any(dead)
}

fn name(op: &Op) -> &str {
    match op {
        Op::Put { key, .. } | Op::Delete { key } => key,
    }
}
