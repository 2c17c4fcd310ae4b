//! A pooled client, as its thread keeps it.

use std::rc::Rc;
use std::time::Instant;

use howdah_wire::relay::ClientHalf;
use howdah_wire::relay::session::{Leaves, Settings};

use super::ahead::Begun;
use super::conn::Conn;
use super::stats::Marks;
use super::{Places, Seat};

/// A Parse of more bytes is refused: it is kept whole.
pub(super) const PARSE_MAX: usize = 1024 * 1024;

/// A number for the settings on which the meaning of a statement's text depends: clients share
/// statements only where they are the same.
pub(super) fn sense(settings: &Settings) -> u32 {
    const NAMES: [&str; 7] = [
        "backslash_quote",
        "client_encoding",
        "role",
        "search_path",
        "standard_conforming_strings",
        "transform_null_equals",
        "xmloption",
    ];
    let mut parts: Vec<&[u8]> = Vec::new();
    for name in NAMES {
        if let Some(value) = settings.get(name) {
            parts.extend([name.as_bytes(), b"=", value.as_bytes(), b"\0"]);
        }
    }
    if parts.is_empty() {
        return 0;
    }
    let [a, b, c, d, ..] = howdah_tls::sha256(&parts);
    u32::from_be_bytes([a, b, c, d])
}

/// What a client is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Doing {
    /// Nothing, and it has no server.
    Idle,
    /// It waits for a place in its pool.
    Waiting {
        since: Instant,
        /// Of this request alone.
        ticket: u64,
    },
    /// It has one, and waits for a server.
    Owed {
        since: Instant,
    },
    Linked(usize),
}

pub(super) struct Client {
    pub conn: Conn,
    pub half: ClientHalf,
    pub pool: usize,
    /// By whom it is preferred, see [`crate::policy::Policy::class`].
    pub class: usize,
    pub doing: Doing,
    /// When it said something last.
    pub spoke: Instant,
    /// What its first packet asked for: what RESET goes back to.
    pub startup: Rc<Settings>,
    pub settings: Rc<Settings>,
    /// See [`sense`].
    pub sense: u32,
    /// It has begun a transaction of which no server has heard.
    pub begun: Option<Begun>,
    /// Its settings have failed ahead of its word: they go alone, and it hears why.
    pub careful: bool,
    /// With its place in the thread, what a cancel request of it says.
    pub secret: Box<[u8]>,
    /// What it sent before it had been told that it is in.
    pub early: Vec<u8>,
    /// It has been told that it is in.
    pub welcomed: bool,
    /// It has what cannot leave its server.
    pub pinned: bool,
    /// What it may have set by names of its own, and whether it must stay with its server for that.
    pub leaves: Leaves,
    /// It is gone on with at the end of this turn of the loop.
    pub queued: bool,
    /// What it said last waits for an answer to what it said before.
    pub stuck: bool,
    /// When it did what is measured.
    pub marks: Marks,
    pub _places: Places,
    pub _seat: Seat,
}

impl Client {
    pub fn server(&self) -> Option<usize> {
        match self.doing {
            Doing::Linked(server) => Some(server),
            _ => None,
        }
    }

    /// Since when it has waited for a server.
    pub fn waits_since(&self) -> Option<Instant> {
        match self.doing {
            Doing::Waiting { since, .. } | Doing::Owed { since } => Some(since),
            Doing::Idle | Doing::Linked(_) => None,
        }
    }
}
