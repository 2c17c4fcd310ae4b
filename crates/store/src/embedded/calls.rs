//! The thread on which the store's calls run, one after the other: SQLite blocks, and the
//! runtime of the lease must not.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use super::desk::Desk;
use super::place::Place;
use super::watch::Seen;
use crate::StoreError;

type Call = Box<dyn FnOnce(&mut Desk) + Send>;

/// The queue in front of the thread.
#[derive(Debug)]
pub(super) struct Calls {
    place: Arc<Place>,
    queue: SyncSender<Call>,
    seen: watch::Sender<Seen>,
}

impl Calls {
    /// Starts the thread and waits until it has the store open.
    pub(super) async fn start(
        place: Arc<Place>,
        seen: watch::Sender<Seen>,
    ) -> Result<Calls, StoreError> {
        let (queue, calls) = sync_channel(CALLS_WAITING_MAX);
        let (opened, opening) = oneshot::channel();
        let there = Arc::clone(&place);
        thread::Builder::new()
            .name("store-calls".to_owned())
            .spawn(move || run(there, &calls, opened))
            .map_err(|e| place.thread_failed(&e))?;
        let calls = Calls { place, queue, seen };
        calls.answer(OPEN_MAX, opening).await?;
        Ok(calls)
    }

    /// Lets the thread do `act`. What it changed is seen by this process's watchers at once.
    ///
    /// A call whose asker has given up before its turn is not begun any more, so that nothing
    /// is written long after it was wanted.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Desk) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answered, answer) = oneshot::channel();
        let seen = self.seen.clone();
        let call = move |desk: &mut Desk| {
            if answered.is_closed() {
                return;
            }
            let _ = answered.send(act(desk));
            if let Ok((revision, _)) = desk.glance() {
                Seen::publish(&seen, revision);
            }
        };
        if self.queue.try_send(Box::new(call)).is_err() {
            return Err(self.unreachable("too many calls wait for it"));
        }
        self.answer(CALL_MAX, answer).await
    }

    async fn answer<T>(
        &self,
        patience: Duration,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match timeout(patience, answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(self.unreachable("its thread has ended")),
            Err(_) => Err(self.unreachable("the disk may be stalled")),
        }
    }

    fn unreachable(&self, why: &str) -> StoreError {
        let store = self.place.file.display().to_string();
        StoreError::Unreachable { store, why: why.to_owned() }
    }
}

fn run(place: Arc<Place>, calls: &Receiver<Call>, opened: oneshot::Sender<Result<(), StoreError>>) {
    match open(place) {
        Err(e) => drop(opened.send(Err(e))),
        Ok(mut desk) => {
            let _ = opened.send(Ok(()));
            calls.iter().for_each(|call| call(&mut desk));
        }
    }
}

fn open(place: Arc<Place>) -> Result<Desk, StoreError> {
    place.prepare()?;
    let mut desk = patient(|| Desk::open(Arc::clone(&place)))?;
    patient(|| desk.settle())?;
    Ok(desk)
}

/// Nodes that start together make the file together; SQLite turns some of them away without
/// waiting while one switches it to WAL mode.
fn patient<T>(mut act: impl FnMut() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 1..OPEN_ATTEMPTS_MAX {
        match act() {
            Err(StoreError::Unreachable { .. }) => thread::sleep(OPEN_AGAIN_AFTER),
            answer => return answer,
        }
    }
    act()
}

/// Calls that may wait for the thread; one node has a few in flight.
const CALLS_WAITING_MAX: usize = 64;
/// How long a caller waits: more than a transaction waits for another process's.
const CALL_MAX: Duration = Duration::from_secs(2);
const OPEN_MAX: Duration = Duration::from_secs(10);
const OPEN_ATTEMPTS_MAX: u32 = 50;
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(20);
