//! What the threads have in common: the board, behind one lock, and the ways to each other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use super::poller::Waker;
use super::welcome::Welcome;
use super::{Order, PoolKey};
use crate::credentials::Credentials;
use crate::pool;

/// Held for less than a microsecond, and never while anything is sent or asked of the system.
pub(super) type Board = pool::Board<PoolKey, Kept>;

/// What is kept of a pool beside its counts.
pub(super) struct Kept {
    /// Whoever logged in last has shown it.
    pub secret: Arc<Credentials>,
    /// What its clients were told last when they came.
    pub welcomes: Vec<Welcome>,
}

/// The way to a thread.
#[derive(Clone)]
pub(super) struct Peer {
    /// Bounded by who sends: clients have places, servers have been asked for.
    pub orders: mpsc::Sender<Order>,
    pub waker: Arc<Waker>,
}

impl Peer {
    /// `false`: it has ended.
    pub fn tell(&self, order: Order) -> bool {
        let told = self.orders.send(order).is_ok();
        self.waker.wake();
        told
    }
}

/// What one thread knows of the others.
pub(super) struct Common {
    pub me: usize,
    pub board: Arc<Mutex<Board>>,
    /// All of them, in their order.
    pub peers: Vec<Peer>,
    /// Where the board's time begins.
    pub start: Instant,
    /// By which statements are named.
    pub secret: [u8; 32],
}

/// Nothing under the lock leaves it half done.
pub(super) fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}
