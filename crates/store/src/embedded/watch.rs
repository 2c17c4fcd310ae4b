//! The thread that notices what other processes wrote, and ends leases when they are due.
//!
//! SQLite has no notification between processes: whoever has written rings a bell. As a backstop the
//! thread looks by itself, too. SQLite's `data_version` is a number in shared memory, so asking for
//! it costs two locks and no read: 0.15 % of a processor in all.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use howdah_base::Tick;
use tokio::sync::watch;

use super::bell::Ear;
use super::desk::{Desk, Sync};
use super::place::Place;
use crate::StoreError;

/// The newest that this process knows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    pub(super) revision: u64,
    /// Why the thread could not look, the last time it tried.
    pub(super) trouble: Option<StoreError>,
}

impl Seen {
    /// Tells the watchers of `revision`, unless they know.
    pub(super) fn publish(seen: &watch::Sender<Seen>, revision: u64) {
        seen.send_if_modified(|seen| {
            let risen = revision > seen.revision;
            seen.revision = seen.revision.max(revision);
            seen.trouble = None;
            risen
        });
    }
}

/// Starts the thread. It ends when the sender is dropped.
pub(super) fn start(
    place: Arc<Place>,
    seen: watch::Sender<Seen>,
) -> Result<Sender<()>, StoreError> {
    let (stop, stopped) = channel();
    let watcher = Watcher { place: Arc::clone(&place), seen, desk: None, next_expiry: None };
    thread::Builder::new()
        .name("store-watch".to_owned())
        .spawn(move || watcher.run(&stopped))
        .map_err(|e| place.thread_failed(&e))?;
    Ok(stop)
}

struct Watcher {
    place: Arc<Place>,
    seen: watch::Sender<Seen>,
    /// The connection and the version that it last saw.
    desk: Option<(Desk, i64)>,
    next_expiry: Option<Tick>,
}

impl Watcher {
    fn run(mut self, stopped: &Receiver<()>) {
        let ear = Ear::on(&self.place.bell);
        while stopped.try_recv() == Err(TryRecvError::Empty) {
            let pause = match self.look() {
                Ok(()) => self.until_next_look(),
                Err(trouble) => {
                    self.seen.send_modify(|seen| seen.trouble = Some(trouble));
                    RETRY_AFTER
                }
            };
            ear.wait(pause);
        }
    }

    /// After an error the next look takes a new connection.
    fn look(&mut self) -> Result<(), StoreError> {
        let (mut desk, known) = match self.desk.take() {
            Some(opened) => opened,
            None => (Desk::open(Arc::clone(&self.place))?, NEVER),
        };
        // Before the glance, so that a write in between is looked at once more.
        let version = desk.others_version()?;
        let due = self.next_expiry.is_some_and(|ends| ends <= (self.place.options.now)());
        if due {
            desk.write(Sync::Lease, |state, now| state.expire(now))?;
        }
        if due || version != known {
            let (revision, next_expiry) = desk.glance()?;
            self.next_expiry = next_expiry;
            Seen::publish(&self.seen, revision);
        }
        self.desk = Some((desk, version));
        Ok(())
    }

    fn until_next_look(&self) -> Duration {
        let now = (self.place.options.now)();
        let due = self.next_expiry.map_or(POLL_EVERY, |ends| now.until(ends));
        due.clamp(Duration::from_millis(1), POLL_EVERY)
    }
}

/// Not a version that SQLite gives.
const NEVER: i64 = -1;
const POLL_EVERY: Duration = Duration::from_millis(50);
const RETRY_AFTER: Duration = Duration::from_secs(1);
