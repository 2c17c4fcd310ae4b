//! The thread that keeps the WAL short. Copying it back into the file needs an fsync, which on
//! a stalled disk lasts for ever: no renewal may wait behind it.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::desk::Desk;
use super::place::Place;
use crate::StoreError;

/// Starts the thread. It ends when the sender is dropped.
pub(super) fn start(place: Arc<Place>) -> Result<Sender<()>, StoreError> {
    let (stop, stopped) = channel();
    let there = Arc::clone(&place);
    thread::Builder::new()
        .name("store-tidy".to_owned())
        .spawn(move || run(&there, &stopped))
        .map_err(|e| place.thread_failed(&e))?;
    Ok(stop)
}

fn run(place: &Arc<Place>, stopped: &Receiver<()>) {
    while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        if wal_length(place) < WAL_LENGTH_MAX {
            continue;
        }
        let tidied = Desk::open(Arc::clone(place)).and_then(|mut desk| desk.checkpoint());
        if let Err(error) = tidied {
            tracing::warn!(%error, "the store's log was not copied back");
        }
    }
}

/// By its name only: opening and closing the file here would drop SQLite's locks.
fn wal_length(place: &Place) -> u64 {
    let mut wal = place.file.clone().into_os_string();
    wal.push("-wal");
    fs::metadata(PathBuf::from(wal)).map_or(0, |file| file.len())
}

const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Twenty minutes or so of a cluster's renewals.
const WAL_LENGTH_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Txn;
    use crate::embedded::Options;
    use crate::embedded::desk::Sync;

    #[test]
    fn after_a_checkpoint_the_next_write_makes_the_wal_short() {
        let directory = std::env::temp_dir().join(format!("howdah-tidy-{}", std::process::id()));
        let place = Place::new(&directory, Options::of_this_machine().expect("boot id"));
        place.prepare().expect("directory");
        let place = Arc::new(place);
        let mut desk = Desk::open(Arc::clone(&place)).expect("opens");
        desk.settle().expect("tables");
        let mut put = || {
            let txn = Txn::new().put("config", &"x".repeat(64 << 10));
            desk.write(Sync::Lease, |state, now| state.txn(txn, now)).expect("written");
            wal_length(&place)
        };
        while put() < 1 << 20 {}
        let mut other = Desk::open(Arc::clone(&place)).expect("opens");
        other.checkpoint().expect("copied back");
        let short = put();
        fs::remove_dir_all(directory).expect("removed");
        assert!(short < 1 << 18, "{short} bytes");
    }
}
