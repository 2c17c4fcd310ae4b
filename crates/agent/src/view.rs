//! From what the agent has taken in to the view that the core decides from.

use std::collections::BTreeSet;

use howdah_base::{DirectoryId, NodeName};
use howdah_ha::{Directory, Durability, Local, Server, Settings, StoreView, View};
use howdah_ledger::view_of;
use howdah_spec::backup::StandbysFrom;

use crate::agent::Agent;
use crate::observe::against_record;

/// Probes that fail for this long make a running server unknown, milliseconds.
const SILENT_AFTER_MS: u64 = 4_000;

impl Agent {
    pub fn view(&self) -> View {
        let store = self.store_view();
        let known = store.initialize.as_ref().map(|i| i.system_identifier);
        let recreate = self.recreates();
        View {
            me: self.shared.config.node.clone(),
            settings: self.settings(),
            local: Local {
                directory: self.directory(&store, known),
                announced: Some(self.announced(recreate)),
                server: self.server(),
                observed_at: self.observed_at,
                end: self.left.map(|left| left.end),
                promise: self.promises.revoked,
                held_back_until: self.promises.held_back_until(),
                unheard: self.heartbeat.unheard(self.streams()),
                redo: self.left.map(|left| left.redo),
                consistent: self.left.and_then(|left| left.consistent),
                sync: self.sync.clone(),
                gate_open: self.conf.gate_open,
                slots: self.slots(&store),
                started_unix_ms: self.facts.as_ref().and_then(|f| f.started_unix_ms),
                pending_restart: self.facts.as_ref().is_some_and(|f| !f.pending_restart.is_empty()),
                version: self.facts.as_ref().map(|f| f.version.clone()),
                silent_for: self.silent_for,
                disk: self.shared.disk.disk(crate::clock::now()),
                attempts: self.shared.counts.facts(),
                wal_gone: self.facts.as_ref().is_some_and(|f| f.wal_gone),
            },
            store,
            job: self.job.as_ref().map(|(job, _)| *job),
            failures: self.failures.clone(),
            wall_ms: crate::clock::unix_ms(),
        }
    }

    /// A node that had a database before must not begin an empty cluster because the store has
    /// forgotten the one that there was.
    fn directory(&self, store: &StoreView, known: Option<u64>) -> Directory {
        let missing = self.disk.directory == Directory::Missing;
        if missing && self.had_server && store.reachable && known.is_none() {
            return Directory::Refused(
                "the store knows no cluster, but this node had a database and its directory is \
                 gone: put the store's directory back"
                    .to_owned(),
            );
        }
        against_record(&self.disk, known)
    }

    fn streams(&self) -> bool {
        self.facts.as_ref().is_some_and(|facts| facts.running.streaming)
    }

    /// Slots of this term: as leader for all, as a standby for those that stream from it. Those
    /// of older terms are none.
    fn slots(&self, store: &StoreView) -> BTreeSet<DirectoryId> {
        let term = store.leader.as_ref().map(|l| l.value.term);
        let there = self.facts.iter().flat_map(|facts| &facts.slots);
        there.filter(|(_, of)| Some(*of) == term).map(|(id, _)| id.clone()).collect()
    }

    fn store_view(&self) -> StoreView {
        let away = StoreView::default();
        let Some(snapshot) = self.snapshot.as_ref().filter(|_| self.store_error.is_none()) else {
            // The last picture still tells whose the lease was; nothing is decided from it.
            return self
                .snapshot
                .as_ref()
                .and_then(|s| view_of(s, self.lease.id(), self.lease.renewed_at(), false).ok())
                .map_or(away, |view| StoreView { reachable: false, ..view });
        };
        let (at, renewing) = (self.lease.renewed_at(), self.lease.renewing());
        let view = view_of(snapshot, self.lease.id(), at, renewing).unwrap_or_else(|error| {
            tracing::error!("{error}");
            away
        });
        StoreView { held_until: self.held_until, ..view }
    }

    fn settings(&self) -> Settings {
        let spec = self.shared.spec();
        let tags = &self.shared.config.own().tags;
        let ha = &self.shared.config.spec.ha;
        Settings {
            durability: match spec.durability {
                howdah_spec::Durability::Quorum => Durability::Quorum,
                howdah_spec::Durability::Async => Durability::Async,
            },
            strict: spec.strict,
            lease: ha.lease.0,
            renew: ha.renew.0,
            margin: ha.margin.0,
            hung_after: spec.ha.hung_after.0,
            disk_stalled_after: spec.ha.disk_stalled_after.0,
            max_lag_on_failover: spec.ha.max_lag_on_failover.0,
            no_failover: tags.no_failover || self.publisher.barred(),
            no_sync: tags.no_sync,
            failover_priority: tags.failover_priority,
            replicate_from: tags.replicate_from.clone(),
            standbys_from_repository: spec
                .backup
                .as_ref()
                .is_some_and(|backup| backup.standbys == StandbysFrom::Repository),
            first_node: self.shared.config.spec.first_node.clone(),
            witness: self.shared.config.is_witness(),
            others: others(&spec, &self.shared.config.node),
        }
    }

    fn server(&self) -> Server {
        let as_primary = !self.conf.standby;
        if !self.alive.is_alive() {
            return Server::Down;
        }
        if self.stopping {
            return Server::Stopping;
        }
        let silent = self.silent_since.map(|since| crate::clock::now().0.saturating_sub(since.0));
        match &self.facts {
            Some(facts) if silent.is_none_or(|ms| ms < SILENT_AFTER_MS) => {
                let mut running = facts.running.clone();
                running.upstream = self.conf.upstream.clone().filter(|_| !running.primary);
                Server::Running(running)
            }
            Some(_) => Server::Unknown { as_primary },
            None => Server::Starting { as_primary },
        }
    }
}

/// The other nodes with data that the file names.
fn others(spec: &howdah_spec::ClusterSpec, own: &NodeName) -> BTreeSet<NodeName> {
    let data = spec.nodes.iter().filter(|(_, node)| node.kind == howdah_spec::NodeKind::Data);
    data.map(|(name, _)| name).filter(|name| *name != own).cloned().collect()
}
