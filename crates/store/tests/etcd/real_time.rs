//! A store whose leases end by etcd's clock, which nobody can move: the contract's ten seconds
//! are five here, and time passes by waiting.
//!
//! A check moves the clock to the very moment at which a lease ends; etcd ends it up to a second
//! later. So that moment is reached when the lease is gone, and it must be gone in time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use howdah_store::etcd::Etcd;
use howdah_store::{Held, LeaseId, Renewal, Snapshot, Store, StoreError, Txn, TxnOutcome};
use howdah_testkit::{EtcdCluster, wait};
use tokio::task::block_in_place;

use crate::contract::Subject;

#[derive(Debug)]
pub struct RealTime {
    store: Etcd,
    etcd: Arc<EtcdCluster>,
    clock: Mutex<Clock>,
}

#[derive(Debug, Default)]
struct Clock {
    /// As the check counts.
    now: Duration,
    leases: BTreeMap<LeaseId, Lease>,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    ttl: Duration,
    /// As the check counts.
    ends: Duration,
    /// As etcd counts, at the latest.
    really_ends: Instant,
}

impl RealTime {
    pub fn subject(etcd: Arc<EtcdCluster>, store: Etcd) -> Subject {
        let store = Arc::new(RealTime { store, etcd, clock: Mutex::default() });
        let clock = Arc::clone(&store);
        let pass = Box::new(move |span| block_in_place(|| clock.pass(span)));
        Subject { store, pass, alone: false, _keep: Box::new(()) }
    }

    fn pass(&self, span: Duration) {
        let over: Vec<_> = self.with(|clock| {
            clock.now += span;
            let over = clock.leases.iter().filter(|(_, lease)| lease.ends <= clock.now);
            let over = over.map(|(id, lease)| (*id, *lease)).collect();
            clock.leases.retain(|_, lease| lease.ends > clock.now);
            over
        });
        wait::stays(span * WAITED / 10, || true);
        for (id, lease) in over {
            let left = lease.really_ends.saturating_duration_since(Instant::now());
            wait::until(
                "an ended lease is gone",
                left + LATE_MAX,
                || self.is_gone(id).then_some(()),
                || format!("{id}: {lease:?}\n{}", self.etcd.logs()),
            );
        }
    }

    fn is_gone(&self, lease: LeaseId) -> bool {
        let found = self.etcd.try_ctl(&["lease", "timetolive", &lease.to_string()]);
        found.is_ok_and(|text| text.contains("already expired"))
    }

    fn note(&self, id: LeaseId, ttl: Duration) {
        let really_ends = Instant::now() + real(ttl);
        self.with(|clock| {
            let lease = Lease { ttl, ends: clock.now + ttl, really_ends };
            clock.leases.insert(id, lease);
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Clock) -> T) -> T {
        act(&mut self.clock.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A lease of the contract in whole seconds of etcd.
fn real(ttl: Duration) -> Duration {
    Duration::from_secs((ttl / 2).as_secs_f64().ceil() as u64)
}

/// So much of a contract's second is waited, in tenths: enough for a lease that was not renewed
/// to end at the second check of it, and long before the end of one at the first.
const WAITED: u32 = 3;
/// How much later than its time etcd may end a lease: less than the wait before a renewal that
/// must not have prolonged it.
const LATE_MAX: Duration = Duration::from_millis(2_000);

#[async_trait]
impl Store for RealTime {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.store.snapshot().await
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        self.store.txn(txn).await
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let lease = self.store.grant(real(ttl)).await?;
        self.note(lease, ttl);
        Ok(lease)
    }

    async fn renew(&self, lease: LeaseId, while_held: Option<Held>) -> Result<Renewal, StoreError> {
        let renewal = self.store.renew(lease, while_held).await?;
        let known = self.with(|clock| clock.leases.get(&lease).copied());
        if let (Renewal::Kept, Some(Lease { ttl, .. })) = (renewal, known) {
            self.note(lease, ttl);
        }
        Ok(renewal)
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.with(|clock| clock.leases.remove(&lease));
        self.store.revoke(lease).await
    }

    async fn changed(&self, since: u64) -> Result<(), StoreError> {
        self.store.changed(since).await
    }
}
