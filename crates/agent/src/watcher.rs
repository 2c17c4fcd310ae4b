//! Keeps the agent's picture of the store fresh: a snapshot after each change.

use std::sync::Arc;
use std::time::Duration;

use howdah_store::Store;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::event::Event;

/// A snapshot is taken at least this often, although nothing seems to have changed.
const BACKSTOP: Duration = Duration::from_secs(1);
/// Pause after an error.
const RETRY: Duration = Duration::from_millis(250);

/// Runs until the agent is gone.
pub(crate) async fn watch(store: Arc<dyn Store>, events: mpsc::Sender<Event>) {
    loop {
        let answer = store.snapshot().await;
        let seen = answer.as_ref().map(|snapshot| snapshot.revision).ok();
        if events.send(Event::Store(answer)).await.is_err() {
            return;
        }
        match seen {
            // An error of `changed` comes no faster than the driver's own retry.
            Some(seen) => drop(timeout(BACKSTOP, store.changed(seen)).await),
            None => sleep(RETRY).await,
        }
    }
}
