//! An operator's requests become records in the store; whoever leads acts on them.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::record::{Answer, Config, Intent, IntentKind, Leader, key};
use howdah_store::{Snapshot, Txn, TxnOutcome};

use tokio::time::timeout;

use crate::agent::Agent;
use crate::clock;
use crate::event::{Ask, Asked};
use crate::shared::Shared;

/// A switchover is done, refused or abandoned within its own bounds, which are shorter.
const DONE_WITHIN: Duration = Duration::from_secs(150);

/// Answers when the request is recorded or refused; what becomes of it shows in the history.
pub(crate) fn ask(agent: &Agent, asked: Asked) {
    let Some(snapshot) = agent.snapshot.clone().filter(|_| agent.store_error.is_none()) else {
        let why = "the store does not answer; hint: howdah status".to_owned();
        let _ = asked.reply.send(Err(why));
        return;
    };
    let shared = Arc::clone(&agent.shared);
    tokio::spawn(async move {
        let answer = carried_out(&shared, &snapshot, &asked).await;
        let _ = asked.reply.send(answer);
    });
}

/// Records the request and waits, within a bound, for what becomes of it.
async fn carried_out(shared: &Shared, seen: &Snapshot, asked: &Asked) -> Result<String, String> {
    let said = record(shared, seen, asked).await?;
    if matches!(asked.what, Ask::Apply { .. }) {
        return Ok(said);
    }
    let late = format!("it was not done within {DONE_WITHIN:?}; hint: howdah status");
    timeout(DONE_WITHIN, outcome(shared, &said)).await.map_err(|_| late)?
}

/// Follows the request with this id until it is gone from the store.
async fn outcome(shared: &Shared, id: &str) -> Result<String, String> {
    let store = &shared.config.store;
    loop {
        let now = store.snapshot().await.map_err(|e| e.to_string())?;
        let waits = now.get::<Intent>(key::INTENT).map_err(|e| e.to_string())?;
        if waits.is_none_or(|(intent, _)| intent.id != id) {
            let answer = now.get::<Answer>(key::ANSWER).map_err(|e| e.to_string())?;
            if let Some((answer, _)) = answer.filter(|(answer, _)| answer.id == id) {
                return Err(answer.why);
            }
            let leader = now.get::<Leader>(key::LEADER).map_err(|e| e.to_string())?;
            return Ok(match leader {
                Some((leader, _)) => format!("{} leads term {}", leader.node, leader.term),
                None => "it is done".to_owned(),
            });
        }
        store.changed(now.revision).await.map_err(|e| e.to_string())?;
    }
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
