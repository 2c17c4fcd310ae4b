//! Looks now and then, on the primary, for roles and databases whose commits wait for no voter.
//!
//! In a session of its own and off the loop: a catalogue that somebody has locked delays nothing
//! but this.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::commits::OptedOut;
use howdah_base::topology::Topology;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::shared::Shared;

const EVERY: Duration = Duration::from_secs(30);
/// With the connection; the server itself gives up a second earlier.
const WITHIN: Duration = Duration::from_secs(4);

/// Runs until the agent is gone. What was seen last stays when a look fails, until the leadership
/// is lost. Making the file true may take settings back: then it looks again.
pub(crate) async fn keep(
    shared: Arc<Shared>,
    mut topology: watch::Receiver<Topology>,
    seen: watch::Sender<Vec<OptedOut>>,
) {
    while topology.wait_for(|now| now.local.writable.is_some()).await.is_ok() {
        match timeout(WITHIN, look(&shared)).await {
            Ok(Ok(found)) => drop(seen.send_replace(found)),
            Ok(Err(error)) => tracing::debug!("settings of roles were not read: {error}"),
            Err(_) => tracing::debug!("settings of roles were not read within {WITHIN:?}"),
        }
        tokio::select! {
            _ = timeout(EVERY, shared.access.notified()) => {}
            lost = topology.wait_for(|now| now.local.writable.is_none()) => {
                drop(lost);
                seen.send_replace(Vec::new());
            }
        }
    }
}

async fn look(shared: &Shared) -> Result<Vec<OptedOut>, String> {
    shared.session().await?.opted_out().await.map_err(|error| error.to_string())
}
