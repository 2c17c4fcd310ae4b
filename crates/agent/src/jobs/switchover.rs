//! The planned end of a primary: everything that can be done before the shutdown is done
//! before, so that the shutdown is short (DESIGN, switchover).

use std::time::Duration;

use howdah_base::NodeName;
use howdah_ledger::seal_txn;
use howdah_postgres::session::Session;
use howdah_store::TxnOutcome;
use tokio::time::{Instant, sleep, timeout};

use super::Order;
use crate::event::Outcome;

const ASK_EVERY: Duration = Duration::from_millis(10);
/// The CHECKPOINT that makes the shutdown's own short may take this long.
const CHECKPOINT_WITHIN: Duration = Duration::from_secs(20);

/// Transactions that run now get `drain_timeout` to end; those that begin meanwhile do not
/// count, or a busy server would never be shut down.
async fn drain(order: &Order, session: &Session) -> Result<(), String> {
    let within = order.shared.spec().ha.drain_timeout.0;
    let since = session.clock().await.map_err(|e| e.to_string())?;
    let begun = Instant::now();
    while begun.elapsed() < within {
        let running = session.transactions_before(&since).await.map_err(|e| e.to_string())?;
        if running == 0 {
            break;
        }
        sleep(ASK_EVERY).await;
    }
    Ok(())
}

/// The point of no return: an operator may have given it up meanwhile, and cannot any more once
/// it is sealed. What nobody asked for, the end of a fenced node, needs no seal.
async fn seal(order: &Order, to: &NodeName) -> Result<(), String> {
    if order.store.intent.is_none() {
        return Ok(());
    }
    let abandoned = |why: &str| format!("the switchover to `{to}` is abandoned: {why}");
    let txn = seal_txn(&order.store).ok_or_else(|| abandoned("this node does not lead"))?;
    match order.shared.config.store.txn(txn).await.map_err(|e| abandoned(&e.to_string()))? {
        TxnOutcome::Applied { .. } => Ok(()),
        TxnOutcome::Refused { .. } => Err(abandoned("it was given up")),
    }
}

/// CHECKPOINT, drain, then a fast shutdown in which the standbys receive everything.
pub(crate) async fn begin(order: Order, to: NodeName) -> Result<Outcome, String> {
    let session = order.session().await?;
    let checkpoint = timeout(CHECKPOINT_WITHIN, session.checkpoint()).await;
    checkpoint
        .map_err(|_| {
            format!("the switchover to `{to}` is abandoned: its CHECKPOINT took too long")
        })?
        .map_err(|e| format!("the switchover to `{to}` is abandoned: {e}"))?;
    drain(&order, &session).await?;
    drop(session);
    seal(&order, &to).await?;
    let mut closed = order.shared.closing.begin();
    closed.let_in().await;
    let within = order.shared.config.spec.ha.switchover_timeout.0;
    let within_ms = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
    order.shared.guard.stop(howdah_guard::StopMode::Fast, within_ms).await?;
    order.shared.guard.gone(within + Duration::from_secs(5)).await?;
    Ok(Outcome { said: Some(format!("shut down for `{to}`")), ..Outcome::default() })
}
