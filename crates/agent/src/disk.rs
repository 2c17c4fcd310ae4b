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

    /// A try has ended: what was known before it, and what is now. The first words for a full disk
    /// stay as long as it is full: which write fails first changes from try to try.
    fn note(&self, tried: Tried) -> (Tried, Tried) {
        let mut found = self.found();
        found.since = None;
        let before = found.tried.clone();
        let first = before.full.clone().filter(|_| tried.full.is_some());
        found.tried = Tried { full: first.or(tried.full), ..tried };
        (before, found.tried.clone())
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
        let (before, now) = shared.disk.note(tried);
        if before != now {
            // A loop that is busy looks in its next turn all the same.
            let _ = events.try_send(Event::DiskTried);
        }
        // Not under the lock: whoever reads the log may be slow.
        for (level, word) in news(&before, &now) {
            match level {
                Level::Bad => tracing::warn!("{word}"),
                Level::Good => tracing::info!("{word}"),
            }
        }
        drop(shared);
        std::thread::sleep(TRY_EVERY);
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Level {
    Bad,
    Good,
}

/// What has begun, and what is over.
fn news(before: &Tried, now: &Tried) -> Vec<(Level, String)> {
    let kinds = [
        ("its disk cannot be written", &before.broken, &now.broken, "its disk is written again"),
        ("its disk is full", &before.full, &now.full, "its disk has room again"),
        ("the watch over its disk", &before.said, &now.said, "its disk is watched again"),
    ];
    let news = kinds.into_iter().filter_map(|(what, before, now, over)| match (before, now) {
        (None, Some(why)) => Some((Level::Bad, format!("{what}: {why}"))),
        (Some(_), None) => Some((Level::Good, over.to_owned())),
        _ => None,
    });
    news.collect()
}

fn try_all(data_dir: &Path, reserve: u64) -> Tried {
    let places: Vec<PathBuf> = room::places(data_dir);
    let tried = places.iter().map(|place| room::try_place(place, data_dir, reserve));
    tried.reduce(Tried::and).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(why: &str) -> Tried {
        Tried { full: Some(why.to_owned()), ..Tried::default() }
    }

    #[test]
    fn a_full_disk_is_told_once_and_so_is_its_end() {
        let watched = Watched::default();
        let told = |tried: Tried| {
            let (before, now) = watched.note(tried);
            (before != now, news(&before, &now))
        };
        let bad = (Level::Bad, "its disk is full: less than 112 MB are free".to_owned());
        assert_eq!(told(full("less than 112 MB are free")), (true, vec![bad]));
        assert_eq!(told(full("No space left on device")), (false, Vec::new()));
        let good = (Level::Good, "its disk has room again".to_owned());
        assert_eq!(told(Tried::default()), (true, vec![good]));
        assert_eq!(told(Tried::default()), (false, Vec::new()));
    }
}
