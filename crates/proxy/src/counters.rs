//! What `/metrics` tells of the endpoints.

use std::sync::atomic::{AtomicU64, Ordering};

use howdah_base::{Gauge, Held};

use crate::Endpoint;

/// Lists are by [`Endpoint`]: rw, ro, any, peer.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections now.
    pub clients: [Gauge; 4],
    /// Clients whose session with this node's own server is being opened.
    pub arriving: Gauge,
    /// Sessions with the primary that asked for a `synchronous_commit` below `on` in their first
    /// packet.
    pub opted_out: Gauge,
    /// Connections let in so far.
    pub admitted: [AtomicU64; 4],
    /// Clients sent away with an error of the proxy's so far.
    pub refused: AtomicU64,
    /// Connections that ended because their server stopped being the primary, so far.
    pub cut: AtomicU64,
}

impl Counters {
    pub(crate) fn enter(&self, endpoint: Endpoint) -> Held {
        self.admitted[endpoint as usize].fetch_add(1, Ordering::Relaxed);
        self.clients[endpoint as usize].hold()
    }
}
