//! The right to write: what a renewal gives, and what the store takes away before its time.

use std::sync::Arc;

use howdah_base::Tick;
use howdah_store::{LeaseId, Renewal, Snapshot, StoreError};

use crate::agent::Agent;
use crate::event::Event;

impl Agent {
    pub fn renewed(&mut self, result: Result<Renewal, StoreError>, held: bool, sent_at: Tick) {
        match result {
            Ok(renewal) => {
                self.lease.renewed(renewal, sent_at);
                match renewal {
                    Renewal::Kept if held => self.extend_deadline(),
                    Renewal::Kept => {}
                    Renewal::Lost => tracing::warn!("the lease was lost"),
                }
            }
            Err(error) => {
                self.lease.failed();
                self.store_failed(&error.to_string());
            }
        }
    }

    /// Success of a renewal that compared the leader key moves the guard's deadline, for as long
    /// as a deadline applies. Nothing else does: a lease alone is no right.
    fn extend_deadline(&mut self) {
        let Some(deadline) = self.lease.deadline(&self.shared) else { return };
        if self.alive.is_alive() && self.leads() {
            self.extend_to(deadline);
        }
    }

    /// Never to an earlier moment: what others have promised may reach further than the lease.
    pub fn extend_to(&mut self, deadline: Tick) {
        if self.held_until.is_none_or(|held| held < deadline) {
            self.held_until = Some(deadline);
            let (shared, events) = (Arc::clone(&self.shared), self.events.clone());
            tokio::spawn(async move {
                let Err(error) = shared.guard.extend(deadline).await else { return };
                tracing::warn!("the guard did not take the new deadline: {error}");
                if matches!(error, howdah_guard::GuardError::NoAnswer { .. }) {
                    // Frozen: it can no longer fence, so the agent does.
                    let _ = events.send(Event::Guard(howdah_guard::Event::Gone)).await;
                }
            });
        }
    }

    pub fn leads(&self) -> bool {
        let key = howdah_base::record::key::LEADER;
        self.snapshot
            .as_ref()
            .is_some_and(|s| s.lease(key).is_some() && s.lease(key) == self.lease.id())
    }

    /// The leader key is gone and nothing else hangs on this lease: the store has ended it.
    /// Called before `next` takes the last picture's place.
    pub fn note_lost_lease(&mut self, next: &Snapshot) {
        let led = self.lease.id().filter(|_| self.leads());
        if let Some(lease) = led.filter(|lease| !hangs(next, *lease)) {
            self.lease.lost(lease);
        }
    }
}

/// Whether anything in the store hangs on `lease`: a leader has its key and its member record there.
fn hangs(snapshot: &Snapshot, lease: LeaseId) -> bool {
    snapshot.entries.values().any(|entry| entry.lease == Some(lease))
}
