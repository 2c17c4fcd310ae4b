//! An operator's requests become records in the store; whoever leads acts on them.

use std::sync::Arc;

use howdah_base::record::{Config, Intent, IntentKind, key};
use howdah_store::{Snapshot, Txn, TxnOutcome};

use crate::agent::Agent;
use crate::clock;
use crate::event::{Ask, Asked};
use crate::shared::Shared;

/// Answers when the request is recorded or refused; what becomes of it shows in the history.
pub(crate) fn ask(agent: &Agent, asked: Asked) {
    let Some(snapshot) = agent.snapshot.clone().filter(|_| agent.store_error.is_none()) else {
        let why = "the store does not answer; hint: howdah status".to_owned();
        let _ = asked.reply.send(Err(why));
        return;
    };
    let shared = Arc::clone(&agent.shared);
    tokio::spawn(async move {
        let answer = record(&shared, &snapshot, &asked).await;
        let _ = asked.reply.send(answer);
    });
}

async fn record(shared: &Shared, snapshot: &Snapshot, asked: &Asked) -> Result<String, String> {
    let (txn, said) = match &asked.what {
        Ask::Switchover { to } => {
            intent(snapshot, asked, IntentKind::Switchover { to: to.clone() })?
        }
        Ask::Failover { to, accept_loss } => {
            if snapshot.entries.contains_key(key::LEADER) {
                return Err("the leader is alive; hint: howdah switchover".to_owned());
            }
            let kind = IntentKind::Failover { to: to.clone(), accept_loss: *accept_loss };
            intent(snapshot, asked, kind)?
        }
        Ask::Apply { text } => config(shared, snapshot, text)?,
    };
    match shared.config.store.txn(txn).await.map_err(|e| e.to_string())? {
        TxnOutcome::Applied { .. } => Ok(said),
        TxnOutcome::Refused { .. } => {
            Err("somebody else changed it at the same moment; hint: look at howdah status and \
                 ask again"
                .to_owned())
        }
    }
}

fn intent(snapshot: &Snapshot, asked: &Asked, kind: IntentKind) -> Result<(Txn, String), String> {
    if let Some((other, _)) = snapshot.get::<Intent>(key::INTENT).map_err(|e| e.to_string())? {
        return Err(format!(
            "another request is under way, asked for by {}: `{:?}`",
            other.by, other.kind
        ));
    }
    let id = format!("{}-{}", clock::unix_ms(), snapshot.revision);
    let intent = Intent { id: id.clone(), kind, by: asked.by.clone() };
    Ok((Txn::new().absent(key::INTENT).put(key::INTENT, &intent), id))
}

fn config(shared: &Shared, snapshot: &Snapshot, text: &str) -> Result<(Txn, String), String> {
    (shared.config.parse)(text, &shared.config.spec)?;
    let seen = snapshot.get::<Config>(key::CONFIG).map_err(|e| e.to_string())?;
    let revision = seen.as_ref().map_or(1, |(config, _)| config.revision + 1);
    let config = Config { revision, text: text.to_owned() };
    let txn = Txn::new().as_seen(key::CONFIG, seen.map(|(_, at)| at)).put(key::CONFIG, &config);
    Ok((txn, format!("revision {revision}")))
}
