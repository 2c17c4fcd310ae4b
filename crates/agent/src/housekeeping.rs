//! What piles up on a node is bounded: old server logs go.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use howdah_spec::LOG_KEEP_DAYS;
use tokio::time::sleep;

use crate::jobs::blocking;
use crate::shared::Shared;

const FIRST_AFTER: Duration = Duration::from_secs(60);
const EVERY: Duration = Duration::from_secs(3600);

/// Runs until the agent is gone.
pub(crate) async fn keep(shared: Arc<Shared>) {
    sleep(FIRST_AFTER).await;
    loop {
        let at = Arc::clone(&shared);
        let removed = blocking(move || {
            let data_dir = &at.config.own().data_dir;
            howdah_postgres::logs::remove_old(data_dir, LOG_KEEP_DAYS, SystemTime::now())
                .map_err(|e| e.to_string())
        });
        match removed.await {
            Ok(0) => {}
            Ok(count) => {
                tracing::info!("{count} server logs older than {LOG_KEEP_DAYS} days removed")
            }
            Err(error) => tracing::warn!("old server logs could not be removed: {error}"),
        }
        sleep(EVERY).await;
    }
}
