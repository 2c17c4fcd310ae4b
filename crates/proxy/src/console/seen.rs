//! What all threads show at about the same moment, put together piece by piece: no thread is kept
//! from its clients for longer than a piece takes.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::show::stats::ByDatabase;
use crate::data::{ClientSeen, Ends, Handle, Look, Order, Piece, PoolKey, PoolSeen, ServerSeen};

/// A thread's answer. It answers between two turns of its loop.
const PIECE_TIMEOUT: Duration = Duration::from_secs(5);

/// All of it; clients and servers with the number of their thread.
pub(super) struct Seen {
    pub at: Instant,
    pub unix: SystemTime,
    pub pools: Vec<PoolSeen>,
    /// By thread and place, in this order, and where in `pools`.
    places: Vec<((usize, usize), usize)>,
    pub clients: Vec<(usize, ClientSeen)>,
    pub servers: Vec<(usize, ServerSeen)>,
    pub gone: ByDatabase,
    pub consoles: Vec<ConsoleSeen>,
}

/// An operator's own connection.
#[derive(Clone, Debug)]
pub(super) struct ConsoleSeen {
    pub id: u64,
    pub user: String,
    pub ends: Ends,
    pub came: Instant,
    pub tls: &'static str,
    pub application_name: String,
}

/// A thread has ended, or hangs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the pooler does not answer")]
pub(super) struct Silent;

impl Seen {
    /// Looks at pools, and at `more` besides.
    pub async fn of(threads: &[Handle], more: &[Look]) -> Result<Seen, Silent> {
        let mut seen = Seen::nothing(Instant::now());
        for (number, thread) in threads.iter().enumerate() {
            for what in [Look::Pools].iter().chain(more) {
                let mut next = Some(0);
                while let Some(from) = next {
                    let piece = ask(thread, *what, from).await?;
                    next = piece.next;
                    seen.take(number, piece);
                }
            }
        }
        // The youngest came after the first question.
        seen.at = Instant::now();
        seen.unix = SystemTime::now();
        Ok(seen)
    }

    /// Before anybody was asked.
    pub fn nothing(at: Instant) -> Seen {
        Seen {
            at,
            unix: SystemTime::now(),
            pools: Vec::new(),
            places: Vec::new(),
            clients: Vec::new(),
            servers: Vec::new(),
            gone: ByDatabase::new(),
            consoles: Vec::new(),
        }
    }

    fn take(&mut self, thread: usize, piece: Piece) {
        for pool in piece.pools {
            self.places.push(((thread, pool.at), self.pools.len()));
            self.pools.push(pool);
        }
        self.clients.extend(piece.clients.into_iter().map(|client| (thread, client)));
        self.servers.extend(piece.servers.into_iter().map(|server| (thread, server)));
        for (database, counts) in piece.gone {
            self.gone.entry(database).or_default().add(&counts);
        }
    }

    /// The pool at this place of a thread, unless it came later than the look at pools.
    pub fn key(&self, thread: usize, pool: usize) -> Option<&PoolKey> {
        let found = self.places.binary_search_by_key(&(thread, pool), |(place, _)| *place).ok()?;
        Some(&self.pools[self.places[found].1].key)
    }
}

async fn ask(thread: &Handle, what: Look, from: usize) -> Result<Piece, Silent> {
    let (reply, answer) = oneshot::channel();
    if !thread.tell(Order::Look { what, from, reply }) {
        return Err(Silent);
    }
    timeout(PIECE_TIMEOUT, answer).await.map_err(|_| Silent)?.map_err(|_| Silent)
}
