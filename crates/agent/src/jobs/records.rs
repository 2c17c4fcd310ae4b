//! Commands that are one transaction on the store.

use howdah_base::record::{Change, key};
use howdah_ha::Command;
use howdah_ledger::{Author, txn_for};
use howdah_store::TxnOutcome;

use super::Order;
use crate::clock;
use crate::event::Outcome;

/// Writes the records that `command` asks for, if everything it compares still stands.
pub(crate) async fn write(command: Command, order: Order) -> Result<Outcome, String> {
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

fn refused(command: &Command) -> String {
    let what = match command {
        Command::TakeOver(order) => format!("the takeover of term {}", order.term),
        Command::Retake(sync) => format!("taking term {} again", sync.term),
        Command::WithdrawHandover => "taking back the offer".to_owned(),
        _ => "a change of the record".to_owned(),
    };
    format!("{what} was refused: the record has changed since it was read")
}
