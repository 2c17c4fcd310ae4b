//! This node's lease: granted once, renewed every `renew`, counted from before the question.
//!
//! The member record hangs on it, and the leader key while this node leads. A leader's renewals
//! are the core's decision; a follower's are kept up here.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::Tick;
use howdah_ha::StoreView;
use howdah_store::{Held, LeaseId, Renewal};
use tokio::sync::mpsc;

use crate::clock;
use crate::event::Event;
use crate::shared::Shared;

/// Pause after a grant that failed.
const GRANT_RETRY: Duration = Duration::from_millis(500);

/// The state of the lease as this node knows it.
#[derive(Debug, Default)]
pub(crate) struct Lease {
    id: Option<LeaseId>,
    /// Clock before the last successful renewal was sent.
    renewed_at: Option<Tick>,
    /// Clock at which the question under way was sent.
    asked_at: Option<Tick>,
    last_try: Option<Tick>,
}

impl Lease {
    /// Takes over the lease that an earlier agent of this node left: one agent a node is seen to
    /// by a lock. It counts for nothing until it has been renewed.
    pub fn adopted(id: Option<LeaseId>) -> Lease {
        Lease { id, ..Lease::default() }
    }

    pub fn id(&self) -> Option<LeaseId> {
        self.id
    }

    pub fn renewed_at(&self) -> Option<Tick> {
        self.renewed_at
    }

    pub fn renewing(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Until when this node may write: the guard's deadline (PROTOCOL section 2).
    pub fn deadline(&self, shared: &Shared) -> Option<Tick> {
        let ha = &shared.config.spec.ha;
        self.renewed_at.map(|at| at + ha.lease.0 - ha.margin.0)
    }

    /// Grants when there is none; renews as a follower when it is due.
    pub fn keep(
        &mut self,
        now: Tick,
        leads: bool,
        shared: &Arc<Shared>,
        events: &mpsc::Sender<Event>,
    ) {
        if self.asked_at.is_some() {
            return;
        }
        let paused = self.last_try.is_some_and(|at| now.since(at) < GRANT_RETRY);
        match self.id {
            None if !paused => self.grant(now, shared, events),
            Some(id) if !leads && self.due(now, shared) => self.renew(id, None, shared, events),
            _ => {}
        }
    }

    fn due(&self, now: Tick, shared: &Shared) -> bool {
        let renew = shared.config.spec.ha.renew.0;
        [self.renewed_at, self.last_try].iter().flatten().all(|at| now.since(*at) >= renew)
    }

    fn grant(&mut self, now: Tick, shared: &Arc<Shared>, events: &mpsc::Sender<Event>) {
        self.asked_at = Some(now);
        self.last_try = Some(now);
        let (shared, events) = (Arc::clone(shared), events.clone());
        tokio::spawn(async move {
            let ttl = shared.config.spec.ha.lease.0;
            let event = match shared.config.store.grant(ttl).await {
                Ok(lease) => Event::Granted { lease, sent_at: now },
                Err(error) => Event::NotGranted(error),
            };
            let _ = events.send(event).await;
        });
    }

    /// The core's renewal: only while the leader key is still the one seen.
    pub fn renew_as_leader(
        &mut self,
        shared: &Arc<Shared>,
        events: &mpsc::Sender<Event>,
        view: &StoreView,
    ) {
        let Some((id, leader)) = self.id.zip(view.leader.as_ref()) else { return };
        if self.asked_at.is_none() {
            self.renew(id, Some(howdah_ledger::held(leader)), shared, events);
        }
    }

    fn renew(
        &mut self,
        id: LeaseId,
        while_held: Option<Held>,
        shared: &Arc<Shared>,
        events: &mpsc::Sender<Event>,
    ) {
        let sent_at = clock::now();
        self.asked_at = Some(sent_at);
        self.last_try = Some(sent_at);
        let (shared, events) = (Arc::clone(shared), events.clone());
        let (lease, held) = (id, while_held.is_some());
        tokio::spawn(async move {
            let result = shared.config.store.renew(id, while_held).await;
            let _ = events.send(Event::Renewed { lease, held, result, sent_at }).await;
        });
    }

    pub fn granted(&mut self, lease: LeaseId, sent_at: Tick) {
        *self = Lease { id: Some(lease), renewed_at: Some(sent_at), ..Lease::default() };
    }

    pub fn renewed(&mut self, renewal: Renewal, sent_at: Tick) {
        self.asked_at = None;
        match renewal {
            Renewal::Kept => self.renewed_at = Some(sent_at),
            Renewal::Lost => *self = Lease::default(),
        }
    }

    /// The store has ended this lease before its time: the next turn grants another, without a
    /// pause.
    pub fn lost(&mut self, lease: LeaseId) {
        if self.id == Some(lease) {
            tracing::warn!("the store has ended the lease");
            *self = Lease::default();
        }
    }

    pub fn failed(&mut self) {
        self.asked_at = None;
    }
}
