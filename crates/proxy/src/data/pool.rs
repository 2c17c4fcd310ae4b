//! One pool: its servers, who waits for them, and whether it is held because there is no server to
//! be had that is what its clients want.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

use howdah_base::NodeName;
use howdah_base::topology::Topology;

use super::PoolKey;
use super::common::Board;
use super::stats::Stats;
use crate::Endpoint;
use crate::policy::{ClassRule, Policy, PoolRules};
use crate::pool::{Class, PoolLimits};
use crate::route::{Route, Site, Want, candidates};

/// By what servers are chosen.
#[derive(Clone, Debug)]
pub(crate) enum Routes {
    /// As a node of a cluster chooses them.
    Cluster { me: NodeName, ro_max_lag: u64, ro_primary_fallback: bool },
    /// A database has its servers, whatever they are.
    Fixed,
}

impl Routes {
    /// Whether clients of `endpoint` may be led there.
    pub fn lead_to(&self, now: &Topology, endpoint: Endpoint, site: &Site) -> bool {
        let node = match site {
            Site::Node(Route { node, .. }) => node,
            Site::Fixed { moved, .. } => return !moved.load(Relaxed),
        };
        self.servers(now, endpoint)
            .is_some_and(|servers| servers.iter().any(|(other, _)| other == node))
    }

    /// Whether clients of `endpoint` begin nothing now: there is no server for them, or the one
    /// that writes is about to hand over.
    pub fn hold(&self, now: &Topology, endpoint: Endpoint) -> bool {
        self.servers(now, endpoint).is_some_and(|servers| {
            servers.iter().all(|(_, want)| now.handing_over && *want == Want::Primary)
        })
    }

    fn servers(&self, now: &Topology, endpoint: Endpoint) -> Option<Vec<(NodeName, Want)>> {
        match self {
            Routes::Cluster { me, ro_max_lag, ro_primary_fallback } => {
                Some(candidates(now, me, endpoint, *ro_max_lag, *ro_primary_fallback))
            }
            Routes::Fixed => None,
        }
    }
}

pub(super) struct Pool {
    pub key: PoolKey,
    /// Its number among the accounts: who may have a server, and who waits. A place there is not a
    /// server yet.
    pub account: usize,
    pub rules: PoolRules,
    pub clients: usize,
    /// Servers that nobody uses; the one used last is the next.
    pub idle: Vec<usize>,
    /// Clients with a place, and without a server.
    pub owed: VecDeque<usize>,
    /// Connections to servers, and those that are being opened.
    pub servers: u32,
    pub opening: u32,
    /// Idle servers that had been promised when they ended: as many orders find none.
    pub broken: u32,
    /// The last server that came free while others lacked one too went to them.
    pub gave: bool,
    pub stats: Stats,
    held: bool,
}

impl Pool {
    pub fn new(key: PoolKey, account: usize, rules: PoolRules) -> Pool {
        Pool {
            key,
            account,
            rules,
            clients: 0,
            idle: Vec::new(),
            owed: VecDeque::new(),
            servers: 0,
            opening: 0,
            broken: 0,
            gave: false,
            stats: Stats::default(),
            held: false,
        }
    }

    /// From now on nobody begins anything, or everybody may again.
    pub fn hold(&mut self, held: bool, me: usize, board: &mut Board) {
        if self.held != held {
            tracing::debug!(database = self.key.database, user = self.key.user, held, "pool");
            self.held = held;
            board.hold(me, self.account, held);
        }
    }

    pub fn is_held(&self) -> bool {
        self.held
    }

    /// Nobody needs it.
    pub fn is_unused(&self) -> bool {
        self.clients == 0 && self.servers == 0 && self.opening == 0 && self.broken == 0
    }
}

/// What a pool's account is told.
pub(super) fn limits(policy: &Policy, key: &PoolKey, rules: &PoolRules) -> PoolLimits {
    PoolLimits {
        size: rules.size,
        reserve: rules.reserve,
        database: policy.database_servers_max(&key.database),
        role: policy.role_servers_max(&key.user),
    }
}

pub(super) fn classes(policy: &Policy) -> Vec<Class> {
    let class = |rule: &ClassRule| Class { guaranteed: rule.guaranteed, weight: rule.weight };
    policy.classes.iter().map(class).collect()
}
