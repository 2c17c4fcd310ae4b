//! The store in memory, under a clock that a test moves by hand.
//!
//! [`State`] is what the simulation drives; [`Memory`] wraps it as a [`Store`], so that the
//! contract is checked on the very state machine that the simulation trusts.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use howdah_base::Tick;
use tokio::sync::watch;

pub use crate::state::State;
use crate::{Held, LeaseId, Renewal, Snapshot, Store, StoreError, Txn, TxnOutcome};

/// A [`State`] with a clock of its own.
#[derive(Debug)]
pub struct Memory {
    inner: Mutex<(State, Tick)>,
    revision: watch::Sender<u64>,
}

impl Memory {
    pub fn new() -> Memory {
        Memory { inner: Mutex::default(), revision: watch::Sender::new(0) }
    }

    /// Lets time pass; leases whose time has come end, and watchers learn of it.
    pub fn advance(&self, span: Duration) {
        self.call(|_, now| *now = *now + span);
        self.call(|state, now| state.expire(*now));
    }

    fn call<T>(&self, act: impl FnOnce(&mut State, &mut Tick) -> T) -> T {
        let mut inner = self.lock();
        let (state, now) = &mut *inner;
        let answer = act(state, now);
        self.revision.send_if_modified(|seen| {
            let changed = *seen != state.revision();
            *seen = state.revision();
            changed
        });
        answer
    }

    /// A panic in another test thread leaves a state that was complete between two calls.
    fn lock(&self) -> MutexGuard<'_, (State, Tick)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory::new()
    }
}

#[async_trait]
impl Store for Memory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.call(|state, _| state.snapshot()))
    }

    async fn txn(&self, txn: Txn) -> Result<TxnOutcome, StoreError> {
        Ok(self.call(|state, now| state.txn(txn, *now)))
    }

    async fn grant(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        Ok(self.call(|state, now| state.grant(ttl, *now)))
    }

    async fn renew(&self, lease: LeaseId, while_held: Option<Held>) -> Result<Renewal, StoreError> {
        Ok(self.call(|state, now| state.renew(lease, while_held.as_ref(), *now)))
    }

    async fn revoke(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.call(|state, now| state.revoke(lease, *now));
        Ok(())
    }

    async fn changed(&self, since: u64) -> Result<(), StoreError> {
        let mut revision = self.revision.subscribe();
        // The sender lives as long as `self`, so the wait ends only by a change.
        let _ = revision.wait_for(|now| *now > since).await;
        Ok(())
    }
}
