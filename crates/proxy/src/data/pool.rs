//! One pool: its servers, who waits for them, and whether it is held because there is no server to
//! be had that is what its clients want.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use howdah_base::NodeName;
use howdah_base::topology::Topology;
use howdah_wire::scram::Secret;

use super::{Limits, PoolKey};
use crate::Endpoint;
use crate::pool::{Class, Shares};
use crate::route::{Want, candidates};

/// By what a node chooses servers.
#[derive(Clone, Debug)]
pub(crate) struct Routes {
    pub me: NodeName,
    pub ro_max_lag: u64,
    pub ro_primary_fallback: bool,
}

impl Routes {
    /// Whether clients of `endpoint` may be led to `node`.
    pub fn lead_to(&self, now: &Topology, endpoint: Endpoint, node: &NodeName) -> bool {
        let servers =
            candidates(now, &self.me, endpoint, self.ro_max_lag, self.ro_primary_fallback);
        servers.iter().any(|(other, _)| other == node)
    }

    /// Whether clients of `endpoint` begin nothing now: there is no server for them, or the one
    /// that writes is about to hand over.
    pub fn hold(&self, now: &Topology, endpoint: Endpoint) -> bool {
        let servers =
            candidates(now, &self.me, endpoint, self.ro_max_lag, self.ro_primary_fallback);
        servers.iter().all(|(_, want)| now.handing_over && *want == Want::Primary)
    }
}

/// All are of one class as yet.
pub(super) const CLASS: usize = 0;

pub(super) struct Pool {
    pub key: PoolKey,
    /// Whoever logged in last has shown it.
    pub secret: Arc<Secret>,
    pub clients: usize,
    /// Who may have a server, and who waits. A place in it is not a server yet.
    pub shares: Shares,
    /// Servers that nobody uses; the one used last is the next.
    pub idle: Vec<usize>,
    /// Clients with a place, and without a server.
    pub owed: VecDeque<usize>,
    /// Connections to servers, and those that are being opened.
    pub servers: u32,
    pub opening: u32,
    /// No more is opened before: the last attempt has failed.
    pub retry_at: Option<Instant>,
    held: bool,
}

impl Pool {
    pub fn new(key: PoolKey, secret: Arc<Secret>, limits: &Limits) -> Pool {
        let class = Class { guaranteed: 0, weight: 1 };
        Pool {
            key,
            secret,
            clients: 0,
            shares: Shares::new(limits.pool_size, &[class]),
            idle: Vec::new(),
            owed: VecDeque::new(),
            servers: 0,
            opening: 0,
            retry_at: None,
            held: false,
        }
    }

    /// From now on nobody begins anything, or everybody may again.
    pub fn hold(&mut self, held: bool, limits: &Limits) {
        if self.held != held {
            tracing::debug!(database = self.key.database, user = self.key.user, held, "pool");
            self.held = held;
            self.shares.resize(if held { 0 } else { limits.pool_size });
        }
    }

    pub fn is_held(&self) -> bool {
        self.held
    }

    /// How many servers are to be opened now.
    pub fn wants(&self, limits: &Limits, now: Instant) -> u32 {
        if self.held || self.retry_at.is_some_and(|at| at > now) {
            return 0;
        }
        let owed = u32::try_from(self.owed.len()).unwrap_or(u32::MAX);
        let room = limits.pool_size.saturating_sub(self.servers + self.opening);
        owed.saturating_sub(self.opening).min(room)
    }

    /// Nobody needs it.
    pub fn is_unused(&self) -> bool {
        self.clients == 0 && self.servers == 0 && self.opening == 0
    }
}
