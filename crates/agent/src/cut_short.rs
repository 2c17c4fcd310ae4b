//! What an agent that died in the middle of a fetch left armed: its server would go on replaying
//! what was fetched, while this agent, which sees no upstream, promises that nothing comes any more
//! and says where the WAL ends.

use std::sync::Arc;
use std::time::Duration;

use howdah_postgres::wal::tail;
use tokio::time::{sleep, timeout};

use crate::conf::ConfState;
use crate::jobs::blocking;
use crate::shared::Shared;

/// A server that has not let go by then is ended.
const LET_GO_WITHIN: Duration = Duration::from_secs(10);
/// So long after it was killed no process of it is left.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// Looks in a row in which nothing more is replayed.
const LOOKS: u32 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Before the first promise and the first decision. `alive`: a process of the instance runs.
pub(crate) async fn end(shared: &Arc<Shared>, alive: bool) -> Result<(), String> {
    if shared.config.is_witness() {
        return Ok(());
    }
    let at = Arc::clone(shared);
    let ended = blocking(move || tail::end(&at.config.own().data_dir).map_err(|e| e.to_string()));
    if !ended.await? {
        return Ok(());
    }
    tracing::warn!("a fetch of WAL was cut short by the end of the last agent: it is undone");
    if !alive || !ConfState::load(shared).standby {
        return Ok(());
    }
    let let_go = timeout(LET_GO_WITHIN, let_go(shared)).await;
    let let_go = let_go.unwrap_or_else(|_| Err(format!("not within {LET_GO_WITHIN:?}")));
    if let Err(error) = let_go {
        tracing::warn!("the server does not let go of what was fetched, and is ended: {error}");
        shared.guard.kill().await?;
        shared.guard.gone(GONE_WITHIN).await?;
    }
    Ok(())
}

/// The command is not in force any more, and the file that it brought last is replayed.
async fn let_go(shared: &Shared) -> Result<(), String> {
    let session = shared.session().await?;
    session.reload().await.map_err(|e| e.to_string())?;
    session.shows("restore_command", "").await.map_err(|e| e.to_string())?;
    let (mut last, mut same) = (None, 0);
    while same < LOOKS {
        let replayed = Some(session.replayed().await.map_err(|e| e.to_string())?);
        same = if replayed == last { same + 1 } else { 0 };
        last = replayed;
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}
