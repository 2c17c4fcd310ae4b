//! What a client is told once it is in (PostgreSQL documentation, "Start-up"): that it is, what its
//! settings are, how to cancel, and that it may begin.

use std::sync::Arc;
use std::time::{Duration, Instant};

use howdah_wire::relay::session::Settings;
use howdah_wire::{Authentication, message};

use super::Parameters;
use super::common::lock;
use super::thread::Thread;

/// Kept for so long: the server's own settings may change.
const KEPT: Duration = Duration::from_secs(10);
/// As many kinds of clients of one pool are remembered.
const KINDS_MAX: usize = 32;

/// What clients that ask for these settings are told.
pub(super) struct Welcome {
    settings: Settings,
    parameters: Arc<Parameters>,
    heard: Instant,
}

impl Thread {
    /// The server at `server` has the client's settings, which are thereby known to be good.
    pub(super) fn welcome(&mut self, at: usize, server: usize) {
        let parameters = Arc::new(self.servers[server].parameters.clone());
        let client = &self.clients[at];
        let settings = (*client.settings).clone();
        let new = Welcome { settings, parameters: parameters.clone(), heard: self.now };
        let mut board = lock(&self.board);
        let welcomes = &mut board.own(self.pools[client.pool].account).welcomes;
        welcomes.retain(|known| known.settings != new.settings);
        if welcomes.len() >= KINDS_MAX {
            welcomes.remove(0);
        }
        welcomes.push(new);
        drop(board);
        self.say_welcome(at, &parameters);
    }

    /// Another of its kind has been welcomed a moment ago: it need not wait for a server.
    pub(super) fn welcome_at_once(&mut self, at: usize) -> bool {
        let client = &self.clients[at];
        let mut board = lock(&self.board);
        let welcomes = &board.own(self.pools[client.pool].account).welcomes;
        let known = welcomes.iter().find(|known| {
            known.settings == *client.settings
                && self.now.saturating_duration_since(known.heard) < KEPT
        });
        let Some(parameters) = known.map(|known| known.parameters.clone()) else {
            return false;
        };
        drop(board);
        self.say_welcome(at, &parameters);
        true
    }

    fn say_welcome(&mut self, at: usize, parameters: &Parameters) {
        let client = &mut self.clients[at];
        let mut out = Vec::new();
        Authentication::Ok.write(&mut out);
        for (name, value) in parameters {
            message(&mut out, b'S', &[name, &[0], value, &[0]]);
        }
        message(&mut out, b'K', &[&process(at, self.me, self.peers.len()), &client.secret]);
        message(&mut out, b'Z', &[b"I"]);
        client.welcomed = true;
        self.pools[client.pool].stats.counts.logins += 1;
        client.conn.rest = std::mem::take(&mut client.early);
        // Its end shows when it is read from.
        let _ = client.conn.send(std::iter::once(&out[..]));
    }

    /// The client that a cancel request with this key is about.
    pub(super) fn of_key(&self, key: &[u8]) -> Option<usize> {
        let (_, secret) = key.split_first_chunk::<4>()?;
        let (_, at) = place(key, self.peers.len()).filter(|(thread, _)| *thread == self.me)?;
        let client = self.clients.get(at)?;
        (howdah_tls::same(secret, &client.secret) && client.welcomed).then_some(at)
    }
}

/// What a client shows to cancel: as long as its protocol allows of PostgreSQL 18.
pub(super) fn secret(minor: u16) -> Box<[u8]> {
    match minor {
        0 | 1 => Box::new(howdah_tls::random::<4>()),
        _ => Box::new(howdah_tls::random::<32>()),
    }
}

/// The process that a client is told is its server's; none has 0.
fn process(at: usize, thread: usize, threads: usize) -> [u8; 4] {
    u32::try_from(at * threads + thread + 1).unwrap_or(u32::MAX).to_be_bytes()
}

/// The thread of the client that a key names, and its place there.
pub(super) fn place(key: &[u8], threads: usize) -> Option<(usize, usize)> {
    let number = u32::from_be_bytes(*key.first_chunk()?).checked_sub(1)?;
    let number = usize::try_from(number).ok()?;
    Some((number % threads, number / threads))
}
