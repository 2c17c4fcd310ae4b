//! Where pooled clients and servers are served: threads that wait for readiness and never for anything
//! else. Logins, dials and cancel requests are others' work; they hand them sockets. A client stays at
//! its thread; what threads have in common is a board (who may have a server, who has idle ones), and
//! servers go from one to another where they are wanted.
//!
//! ```text
//! gate (SCRAM with the client) ── Order::Client ─►┐
//! opener (dial, SCRAM with the server) ── Opened ─►├ Thread: clients ◄─ wire::relay ─► servers
//! topology ── Routes ─────────────────────────────►┘   │    └── Ask::Open, Ask::Cancel ─►
//!                                       board ◄─ lock ─┘ ◄─ Order::Deal, Order::Server ─► other threads
//! ```

mod ahead;
mod client;
mod command;
mod common;
mod conn;
mod deals;
mod hear;
mod interned;
mod links;
mod look;
mod parcel;
mod poller;
mod pool;
mod serve;
mod server;
mod stats;
mod thread;
mod threads;
mod tick;
mod welcome;

use std::sync::Arc;

use howdah_base::{Held as Counted, topology::Topology};
use howdah_wire::relay::session::Settings;
use tokio::sync::oneshot;

use crate::Endpoint;
use crate::client::Admitted;
use crate::credentials::Credentials;
use crate::policy::Policy;
use crate::pool::Deal;
use crate::route::Site;

pub(crate) use command::Command;
pub(crate) use conn::{Line, version};
pub(crate) use look::{ClientSeen, Ends, Look, Piece, PoolSeen, ServerSeen, SocketSeen};
use parcel::Parcel;
pub(crate) use pool::Routes;
pub(crate) use stats::{Counts, Stats, us};
pub(crate) use threads::{Handle, Seat, Threads, start};

/// Servers with the same login and the same role: any of them will do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct PoolKey {
    pub endpoint: Endpoint,
    pub database: String,
    pub user: String,
}

/// A client that has proved who it is, and has not been told so.
pub(crate) struct Newcomer {
    pub line: Line,
    /// What it has sent beyond its login.
    pub early: Vec<u8>,
    pub pool: PoolKey,
    /// What its servers are logged into with.
    pub secret: Arc<Credentials>,
    /// What its first packet asks for.
    pub settings: Settings,
    /// Of the protocol that it speaks.
    pub minor: u16,
    /// Its places among the counted.
    pub places: Places,
    pub seat: Seat,
}

/// Held as long as the client is there.
pub(crate) struct Places {
    pub _admitted: Admitted,
    pub _held: Counted,
    pub _opts_out: Option<Counted>,
}

/// What a server has reported of itself (ParameterStatus), by name.
pub(crate) type Parameters = Vec<(Box<[u8]>, Box<[u8]>)>;

/// A session with a server that has said that it is ready.
pub(crate) struct NewServer {
    pub line: Line,
    pub site: Site,
    /// As BackendKeyData has it.
    pub key: Vec<u8>,
    /// What it has reported, by name.
    pub parameters: Parameters,
    pub load: Counted,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum NotOpened {
    /// The server's own word, which its clients hear: nothing but another login mends it.
    Refused(Vec<u8>),
    /// It is to be tried again.
    Away(String),
}

/// What a data thread is told.
pub(crate) enum Order {
    Client(Box<Newcomer>),
    Opened {
        pool: PoolKey,
        result: Result<Box<NewServer>, NotOpened>,
    },
    Topology(Arc<Topology>),
    /// Other rules count from now on.
    Policy(Arc<Policy>),
    /// A cancel request with this key has come.
    Cancel {
        key: Vec<u8>,
        /// Dropped when it has been heard: until then its client waits.
        done: oneshot::Sender<()>,
    },
    /// A cancel request that this thread asked for has been heard.
    /// `heard`: it has taken effect, or never will.
    Cancelled {
        server: usize,
        born: u64,
        heard: bool,
    },
    /// A piece of what there is, from this place on.
    Look {
        what: Look,
        from: usize,
        reply: oneshot::Sender<Piece>,
    },
    /// For one database, or all; answered when it is done.
    Command {
        what: Command,
        database: Option<String>,
        reply: oneshot::Sender<bool>,
    },
    /// What another thread has agreed on at the board, about an account.
    Deal {
        account: usize,
        deal: Deal,
    },
    /// Another thread's server is this one's from now on.
    Server {
        account: usize,
        parcel: Box<Parcel>,
    },
    /// There is no server for whoever waits in this pool, by a server's own word.
    Refused {
        pool: PoolKey,
        word: Arc<[u8]>,
    },
    /// Nobody tells it anything any more.
    End,
}

/// What a data thread wants done.
pub(crate) enum Ask {
    Open { pool: PoolKey, secret: Arc<Credentials> },
    Cancel { site: Site, key: Vec<u8>, server: usize, born: u64, done: Option<oneshot::Sender<()>> },
}

/// A ParameterStatus: name and value, each with a zero at its end.
pub(crate) fn note_parameter(parameters: &mut Parameters, body: &[u8]) {
    let mut fields = body.split(|byte| *byte == 0);
    let (Some(name), Some(value)) = (fields.next(), fields.next()) else { return };
    match parameters.iter_mut().find(|(known, _)| **known == *name) {
        Some((_, known)) => *known = value.into(),
        None => parameters.push((name.into(), value.into())),
    }
}
