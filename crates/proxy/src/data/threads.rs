//! All data threads, as the control plane sees them: whom a client is handed to, whom an order is
//! for.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as std_mpsc};
use std::time::Instant;

use tokio::sync::mpsc;

use super::common::{Board, Common, Peer, lock};
use super::poller::Poller;
use super::pool::{self, Routes};
use super::{Ask, Newcomer, Order, PoolKey, thread, tick, welcome};
use crate::policy::Policy;

/// Asks that wait for the control plane; more are made again later.
const ASKS_MAX: usize = 1_024;

/// The data threads. They end when the last of these, and of the handles, is dropped.
#[derive(Clone)]
pub(crate) struct Threads {
    handles: Arc<[Handle]>,
    placed: Arc<Mutex<Placed>>,
    board: Arc<Mutex<Board>>,
}

/// The way to one of them.
#[derive(Clone)]
pub(crate) struct Handle {
    peer: Peer,
    _end: Arc<End>,
}

/// Tells all threads to end when nobody is left who could tell them anything. They have the ways to
/// each other, and would not notice.
struct End(Vec<Peer>);

impl Drop for End {
    fn drop(&mut self) {
        for peer in &self.0 {
            peer.tell(Order::End);
        }
    }
}

/// Clients by thread: of each pool, and in all.
#[derive(Default)]
struct Placed {
    pools: BTreeMap<PoolKey, Vec<u32>>,
    all: Vec<u32>,
}

/// A client's place at a thread, given back when it is dropped.
pub(crate) struct Seat {
    placed: Arc<Mutex<Placed>>,
    pool: PoolKey,
    thread: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut placed = placed(&self.placed);
        placed.all[self.thread] -= 1;
        if let Some(counts) = placed.pools.get_mut(&self.pool) {
            counts[self.thread] -= 1;
            if counts.iter().all(|count| *count == 0) {
                placed.pools.remove(&self.pool);
            }
        }
    }
}

fn placed(of: &Mutex<Placed>) -> MutexGuard<'_, Placed> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts so many data threads, at least one.
///
/// # Errors
/// The machine has no thread or no descriptor left.
pub(crate) fn start(
    count: usize,
    policy: &Arc<Policy>,
    routes: &Routes,
) -> io::Result<(Threads, Vec<mpsc::Receiver<Ask>>)> {
    let count = count.max(1);
    let all = Board::new(count, policy.servers_max, &pool::classes(policy));
    let board = Arc::new(Mutex::new(all));
    let (start, secret) = (Instant::now(), howdah_tls::random());
    let (mut peers, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let poller = Poller::new(tick::EVERY)?;
        let (orders, inbox) = std_mpsc::channel();
        peers.push(Peer { orders, waker: poller.waker() });
        ends.push((poller, inbox));
    }
    let end = Arc::new(End(peers.clone()));
    let mut asked = Vec::new();
    for (me, (poller, inbox)) in ends.into_iter().enumerate() {
        let (asks, receiver) = mpsc::channel(ASKS_MAX);
        asked.push(receiver);
        let common = Common { me, board: board.clone(), peers: peers.clone(), start, secret };
        let (policy, routes) = (policy.clone(), routes.clone());
        let serve = move || thread::Thread::new(common, policy, routes, poller, inbox, asks).run();
        std::thread::Builder::new().name("pooling".to_owned()).spawn(serve)?;
    }
    let handle = |peer| Handle { peer, _end: end.clone() };
    let handles = peers.into_iter().map(handle).collect();
    let placed = Placed { pools: BTreeMap::new(), all: vec![0; count] };
    Ok((Threads { handles, placed: Arc::new(Mutex::new(placed)), board }, asked))
}

impl Handle {
    /// Hands it over; `false`: the thread has ended.
    pub fn tell(&self, order: Order) -> bool {
        self.peer.tell(order)
    }
}

impl Threads {
    pub fn all(&self) -> &[Handle] {
        &self.handles
    }

    /// Hands a client to the thread that has the fewest of its pool; among those that have as few, to
    /// the one whose servers idle, so that one client after the other finds the same server.
    pub fn let_in(&self, pool: &PoolKey, client: impl FnOnce(Seat) -> Newcomer) {
        let seat = self.seat(pool);
        let handle = &self.handles[seat.thread];
        handle.tell(Order::Client(Box::new(client(seat))));
    }

    fn seat(&self, pool: &PoolKey) -> Seat {
        let count = self.handles.len();
        let mut placed = placed(&self.placed);
        let Placed { pools, all } = &mut *placed;
        let counts = pools.entry(pool.clone()).or_insert_with(|| vec![0; count]);
        let board = lock(&self.board);
        let load = |at: &usize| (counts[*at], u32::MAX - board.idle_at(pool, *at), all[*at]);
        let thread = (0..count).min_by_key(load).unwrap_or_default();
        drop(board);
        counts[thread] += 1;
        all[thread] += 1;
        Seat { placed: self.placed.clone(), pool: pool.clone(), thread }
    }

    /// The thread whose client has this key, if any has.
    pub fn of_key(&self, key: &[u8]) -> Option<&Handle> {
        let (thread, _) = welcome::place(key, self.handles.len())?;
        self.handles.get(thread)
    }

    pub fn tell_all(&self, order: impl Fn() -> Order) {
        for handle in &*self.handles {
            // One that has ended needs to know nothing.
            let _ = handle.tell(order());
        }
    }
}
