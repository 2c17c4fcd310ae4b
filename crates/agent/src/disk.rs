//! The disks of this node, tried by a thread of their own: a disk that hangs holds up that thread
//! and nothing else, and the loop sees for how long (DESIGN invariant 6).
//!
//! ```text
//! nodes/n1/data           PGDATA
//! nodes/n1/data.beat      a few bytes, written and fsynced every second
//! nodes/n1/data.reserve   room that is given up when the disk is full
//! ```
//! Both lie beside PGDATA, on its file system and not in it: a copy would take them along. Where
//! `pg_wal` is a link to another file system, they lie beside its target too.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use howdah_base::Tick;
use howdah_ha::Disk;
use howdah_postgres::room::{self, Tried};
use tokio::sync::mpsc;

use crate::clock;
use crate::event::Event;
use crate::shared::Shared;

/// Between two writes.
const TRY_EVERY: Duration = Duration::from_secs(1);
/// A write that takes less is not worth a word, milliseconds.
const SLOW_MS: u64 = 2_000;

/// What the thread has found out so far; held for moments only, never over a write.
#[derive(Debug, Default)]
pub(crate) struct Watched(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    /// When the write that is under way began.
    since: Option<Tick>,
    tried: Tried,
}

impl Watched {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now.
    pub fn disk(&self, now: Tick) -> Disk {
        let found = self.found();
        let waiting = found.since.map(|since| now.0.saturating_sub(since.0));
        Disk {
            stalled: waiting.filter(|ms| *ms >= SLOW_MS).map(Duration::from_millis),
            broken: found.tried.broken.clone(),
            full: found.tried.full.clone(),
        }
    }

    /// Nothing that waits for this disk may be begun without need.
    pub fn hangs(&self) -> bool {
        self.disk(clock::now()).stalled.is_some()
    }
}

/// Starts the thread. It ends with the agent, or stays with a disk that hangs.
pub(crate) fn watch(shared: &Arc<Shared>, events: mpsc::Sender<Event>) -> Result<(), String> {
    if shared.config.is_witness() {
        return Ok(());
    }
    let (weak, data_dir) = (Arc::downgrade(shared), shared.config.own().data_dir.clone());
    std::thread::Builder::new()
        .name("disk".to_owned())
        .spawn(move || keep_trying(&weak, &data_dir, &events))
        .map(drop)
        .map_err(|e| format!("cannot start the thread that watches the disk: {e}"))
}

fn keep_trying(weak: &Weak<Shared>, data_dir: &Path, events: &mpsc::Sender<Event>) {
    loop {
        let Some(shared) = weak.upgrade() else { return };
        let reserve = shared.config.spec.ha.disk_reserve.0;
        shared.disk.found().since = Some(clock::now());
        drop(shared);
        let tried = try_all(data_dir, reserve);
        let Some(shared) = weak.upgrade() else { return };
        let mut found = shared.disk.found();
        found.since = None;
        if found.tried != tried {
            for word in tried.broken.iter().chain(&tried.full).chain(&tried.said) {
                tracing::warn!("{word}");
            }
            found.tried = tried;
            // A loop that is busy looks in its next turn all the same.
            let _ = events.try_send(Event::DiskTried);
        }
        drop(found);
        drop(shared);
        std::thread::sleep(TRY_EVERY);
    }
}

fn try_all(data_dir: &Path, reserve: u64) -> Tried {
    let places: Vec<PathBuf> = room::places(data_dir);
    let tried = places.iter().map(|place| room::try_place(place, data_dir, reserve));
    tried.reduce(Tried::and).unwrap_or_default()
}
