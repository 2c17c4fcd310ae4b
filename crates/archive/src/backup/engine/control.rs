//! pg_control, last of all: whatever it says was true once every file had been read.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use howdah_postgres::control;

use super::copy::{Stored, Work};
use super::filler::Filler;
use super::{BackupError, small};
use crate::backup::scan::{self, CONTROL};

const TRIES: u32 = 20;
const AGAIN_AFTER: Duration = Duration::from_millis(50);

pub async fn copy(work: &Arc<Work>) -> Result<(), BackupError> {
    let work = Arc::clone(work);
    let copied = tokio::task::spawn_blocking(move || copy_it(&work)).await;
    copied.map_err(|error| BackupError::Ended(error.to_string()))?
}

fn copy_it(work: &Work) -> Result<(), BackupError> {
    let path = work.data_dir.join(CONTROL);
    for _ in 0..TRIES {
        let bytes = std::fs::read(&path)?;
        if !control::is_whole(&bytes) {
            // The server writes it at this moment.
            thread::sleep(AGAIN_AFTER);
            continue;
        }
        let entry = scan::entry(CONTROL.to_owned(), &path.metadata()?, false);
        let mut copied = small::copied(&entry, &bytes);
        let mut filler = Filler::new(&work.data);
        filler.add(0, &bytes);
        let pieces = filler.seal()?.iter().flat_map(|placed| placed.pieces()).collect::<Vec<_>>();
        copied.content = Stored::Whole(pieces.into_iter().map(small::piece).collect());
        work.add_new(bytes.len() as u64);
        work.add(copied);
        return Ok(());
    }
    Err(BackupError::Control(TRIES))
}
