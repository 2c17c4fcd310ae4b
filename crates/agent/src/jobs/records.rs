//! Commands that are one transaction on the store.

use std::time::Duration;

use howdah_base::record::{Change, NO_LOSS, key};
use howdah_ha::Command;
use howdah_ledger::{Author, txn_for};
use howdah_store::TxnOutcome;
use tokio::time::timeout;

use super::Order;
use crate::clock;
use crate::event::Outcome;

/// The server's word on the time of a loss; the takeover waits for it no longer than this.
const TIME_WITHIN: Duration = Duration::from_millis(500);

/// Writes the records that `command` asks for, if everything it compares still stands.
pub(crate) async fn write(command: Command, order: Order) -> Result<Outcome, String> {
    let command = with_time(command, &order).await;
    let store = &order.shared.config.store;
    let lease = order.lease.ok_or("this node has no lease yet")?;
    let reason = order.reason.clone().ok_or("nothing was decided yet")?;
    let author = Author {
        node: order.shared.config.node.clone(),
        lease,
        reason,
        at_unix_ms: clock::unix_ms(),
        major: order.shared.config.major(),
    };
    let history: Vec<Change> = order
        .snapshot
        .get(key::HISTORY)
        .map_err(|e| e.to_string())?
        .map(|(history, _)| history)
        .unwrap_or_default();
    let txn = txn_for(&command, &order.store, &history, &author)
        .ok_or("the record that it would change is not there")?;
    let outcome = store.txn(txn).await.map_err(|e| e.to_string())?;
    let mut lease_gone = None;
    let (snapshot, said) = match outcome {
        TxnOutcome::Applied { .. } => (store.snapshot().await.map_err(|e| e.to_string())?, None),
        // Somebody else was quicker, or the picture was old: decide anew from the present one.
        TxnOutcome::Refused { snapshot } => {
            // With the key the lease may have gone that it was to be put on.
            let retakes = matches!(command, Command::Retake(_));
            lease_gone = Some(lease).filter(|_| retakes && snapshot.lease(key::LEADER).is_none());
            (snapshot, Some(refused(&command)))
        }
    };
    if matches!(command, Command::RecordInitialize { .. }) && said.is_none() {
        super::create::settle(&order).await?;
    }
    Ok(Outcome { snapshot: Some(snapshot), said, lease_gone, ..Outcome::default() })
}

/// What a takeover may lose is said in time too, where the server knows it.
async fn with_time(command: Command, order: &Order) -> Command {
    let Command::TakeOver(mut takeover) = command else { return command };
    if takeover.loss != NO_LOSS {
        let asked = async { order.session().await.ok()?.last_replayed_commit().await.ok()? };
        if let Ok(Some(at)) = timeout(TIME_WITHIN, asked).await {
            takeover.loss = format!("{}; the last commit here was made at {at} UTC", takeover.loss);
        }
    }
    Command::TakeOver(takeover)
}

fn refused(command: &Command) -> String {
    let what = match command {
        Command::TakeOver(order) => format!("the takeover of term {}", order.term),
        Command::Retake(sync) => format!("taking term {} again", sync.term),
        Command::WithdrawHandover => "taking back the offer".to_owned(),
        _ => "a change of the record".to_owned(),
    };
    format!("{what} was refused: the record has changed since it was read")
}
