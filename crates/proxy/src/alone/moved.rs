//! Databases that are elsewhere since the last reload: their servers go when nobody uses them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use super::Settings;
use super::arrive::database;

/// By database, as clients call it: whether what was opened for it is of no more use.
#[derive(Default)]
pub(super) struct Moved(Mutex<BTreeMap<String, Arc<AtomicBool>>>);

impl Moved {
    /// The mark of what is opened for it from now on.
    pub fn of(&self, database: &str) -> Arc<AtomicBool> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever has the last server of a database has its mark.
        all.retain(|name, mark| name == database || Arc::strong_count(mark) > 1);
        all.entry(database.to_owned()).or_default().clone()
    }

    /// Whether any of them has moved.
    pub fn look(&self, before: &Settings, now: &Settings) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = all.len();
        all.retain(|name, mark| {
            let moved = database(before, name) != database(now, name);
            mark.store(moved, Relaxed);
            !moved
        });
        all.len() < count
    }
}
