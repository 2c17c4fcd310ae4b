//! The planned end of a primary: everything that can be done before the shutdown is done
//! before, so that the shutdown is short (DESIGN, switchover).

use std::time::Duration;

use howdah_base::NodeName;
use tokio::time::timeout;

use super::Order;
use crate::event::Outcome;

/// The CHECKPOINT that makes the shutdown's own short may take this long.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(20);

/// CHECKPOINT, then a fast shutdown in which the standbys receive everything.
pub(crate) async fn begin(order: Order, to: NodeName) -> Result<Outcome, String> {
    let session = order.session().await?;
    let checkpoint = timeout(CHECKPOINT_WITHIN, session.checkpoint()).await;
    checkpoint
        .map_err(|_| {
            format!("the switchover to `{to}` is abandoned: its CHECKPOINT took too long")
        })?
        .map_err(|e| format!("the switchover to `{to}` is abandoned: {e}"))?;
    drop(session);
    let within = order.shared.config.spec.ha.switchover_timeout.0;
    let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
    order.shared.guard.stop(howdah_guard::StopMode::Fast, within_ms).await?;
    order.shared.guard.gone(within + Duration::from_secs(5)).await?;
    Ok(Outcome { said: Some(format!("shut down for `{to}`")), ..Outcome::default() })
}
