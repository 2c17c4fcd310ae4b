//! PAUSE as operators know it: which databases are paused, and whose pause it is until somebody has
//! been told that it is done. An operator that goes before that leaves none behind: it cannot know
//! whether there is one, and clients would be held by nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Console;
use super::run::{Wrong, all_done};
use crate::data::Command;

/// What is paused.
#[derive(Default)]
pub(super) struct Pauses {
    pub all: bool,
    databases: BTreeSet<String>,
    /// Pauses of which nobody has been told yet that they are done: which, and how many operators
    /// wait for it.
    unsaid: BTreeMap<Option<String>, (u64, u32)>,
}

impl Pauses {
    pub fn has(&self, database: &str) -> bool {
        self.databases.contains(database)
    }

    /// `true`: it was not before.
    pub fn set(&mut self, database: Option<&str>) -> bool {
        match database {
            Some(database) => self.databases.insert(database.to_owned()),
            None => !std::mem::replace(&mut self.all, true),
        }
    }

    /// `false`: it was not.
    pub fn unset(&mut self, database: Option<&str>) -> bool {
        self.unsaid.remove(&database.map(str::to_owned));
        match database {
            Some(database) => self.databases.remove(database),
            None => std::mem::replace(&mut self.all, false),
        }
    }

    /// One more operator waits for a pause; `None`: it was there already, for good.
    fn wait(&mut self, database: &Option<String>, id: u64) -> Option<u64> {
        if self.set(database.as_deref()) {
            self.unsaid.insert(database.clone(), (id, 0));
        }
        let (id, waiting) = self.unsaid.get_mut(database)?;
        *waiting += 1;
        Some(*id)
    }

    /// It is done, and whoever asked for it hears so.
    fn done(&mut self, database: &Option<String>, id: u64) {
        if self.unsaid.get(database).is_some_and(|(unsaid, _)| *unsaid == id) {
            self.unsaid.remove(database);
        }
    }

    /// An operator has gone; `true`: with it the pause.
    fn left(&mut self, database: &Option<String>, id: u64) -> bool {
        let Some((_, waiting)) = self.unsaid.get_mut(database).filter(|(unsaid, _)| *unsaid == id)
        else {
            return false;
        };
        *waiting -= 1;
        *waiting == 0 && self.unset(database.as_deref())
    }
}

impl Console {
    /// Nothing new begins for a database, or for all; comes back when nothing runs any more.
    pub(super) async fn pause(self: &Arc<Console>, database: Option<String>) -> Result<(), Wrong> {
        // Threads hear of pauses in the order of what is known here.
        let (waits, answers) = {
            let mut state = self.state();
            let id = state.pauses.wait(&database, self.ids.fetch_add(1, Ordering::Relaxed));
            let console = Arc::clone(self);
            let answers = self.tell_all(&Command::Pause, database.as_deref());
            (id.map(|id| Waits { console, database, id }), answers)
        };
        all_done(answers).await?;
        if let Some(Waits { console, database, id }) = waits.as_ref() {
            console.state().pauses.done(database, *id);
        }
        Ok(())
    }
}

/// An operator that waits for its pause, until dropped.
struct Waits {
    console: Arc<Console>,
    database: Option<String>,
    id: u64,
}

impl Drop for Waits {
    fn drop(&mut self) {
        let mut state = self.console.state();
        if !state.pauses.left(&self.database, self.id) {
            return;
        }
        // Nobody waits to hear of it.
        drop(self.console.tell_all(&Command::Resume, self.database.as_deref()));
        drop(state);
        tracing::info!(database = self.database, "an operator has gone, and with it its PAUSE");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_goes_with_the_last_operator_that_waits_for_it() {
        let shop = Some("shop".to_owned());
        let mut pauses = Pauses::default();
        let one = pauses.wait(&shop, 1).expect("its own");
        assert_eq!(pauses.wait(&shop, 2), Some(one), "they wait for the same");
        assert!(!pauses.left(&shop, one) && pauses.has("shop"));
        assert!(pauses.left(&shop, one) && !pauses.has("shop"));
        // Whoever was told of it keeps it, whoever else goes.
        let one = pauses.wait(&shop, 3).expect("its own");
        pauses.wait(&shop, 4);
        pauses.done(&shop, one);
        assert!(!pauses.left(&shop, one) && pauses.has("shop"));
        assert_eq!(pauses.wait(&shop, 5), None, "it is there for good");
        // A resume ends it for those who wait, and the next one is another's.
        assert!(pauses.unset(Some("shop")));
        let before = pauses.wait(&shop, 6).expect("its own");
        assert!(pauses.unset(Some("shop")));
        let after = pauses.wait(&shop, 7).expect("its own");
        assert!(!pauses.left(&shop, before) && pauses.has("shop"));
        assert!(pauses.left(&shop, after));
    }
}
