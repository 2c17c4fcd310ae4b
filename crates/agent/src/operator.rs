//! An operator's requests become records in the store; whoever leads acts on them.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::ask::{Ask, Refusal, RefusalClass};
use howdah_base::record::{Answer, Config, Intent, IntentKind, Leader, key};
use howdah_store::{Snapshot, Txn, TxnOutcome};

use tokio::time::timeout;

use crate::agent::Agent;
use crate::clock;
use crate::event::Asked;
use crate::shared::Shared;

/// A switchover is done, refused or abandoned within its own bounds, which are shorter.
const DONE_WITHIN: Duration = Duration::from_secs(150);

/// Answers when the request is recorded or refused; what becomes of it shows in the history.
pub(crate) fn ask(agent: &Agent, asked: Asked) {
    let Some(snapshot) = agent.snapshot.clone().filter(|_| agent.store_error.is_none()) else {
        let why = Refusal::new("the store does not answer").class(RefusalClass::Unavailable);
        let _ = asked.reply.send(Err(why.hint("howdah status")));
        return;
    };
    let shared = Arc::clone(&agent.shared);
    tokio::spawn(async move {
        let answer = carried_out(&shared, &snapshot, &asked).await;
        let _ = asked.reply.send(answer);
    });
}

/// Records the request and waits, within a bound, for what becomes of it.
async fn carried_out(shared: &Shared, seen: &Snapshot, asked: &Asked) -> Result<String, Refusal> {
    let said = record(shared, seen, asked).await?;
    if matches!(asked.what, Ask::Apply { .. }) {
        return Ok(said);
    }
    let late = || unavailable(format!("it was not done within {DONE_WITHIN:?}"));
    timeout(DONE_WITHIN, outcome(shared, &said)).await.map_err(|_| late())?
}

/// Follows the request with this id until it is gone from the store.
async fn outcome(shared: &Shared, id: &str) -> Result<String, Refusal> {
    let store = &shared.config.store;
    loop {
        let now = store.snapshot().await.map_err(unavailable)?;
        let waits = now.get::<Intent>(key::INTENT).map_err(unavailable)?;
        if waits.is_none_or(|(intent, _)| intent.id != id) {
            let answer = now.get::<Answer>(key::ANSWER).map_err(unavailable)?;
            if let Some((answer, _)) = answer.filter(|(answer, _)| answer.id == id) {
                return Err(Refusal::new(answer.why).class(RefusalClass::Precondition));
            }
            let leader = now.get::<Leader>(key::LEADER).map_err(unavailable)?;
            return Ok(match leader {
                Some((leader, _)) => format!("{} leads term {}", leader.node, leader.term),
                None => "it is done".to_owned(),
            });
        }
        store.changed(now.revision).await.map_err(unavailable)?;
    }
}

async fn record(shared: &Shared, snapshot: &Snapshot, asked: &Asked) -> Result<String, Refusal> {
    let (txn, said) = match &asked.what {
        Ask::Switchover { to, at_unix_ms: None } => {
            intent(snapshot, asked, IntentKind::Switchover { to: to.clone() })?
        }
        Ask::Failover { to, accept_loss } => {
            if snapshot.entries.contains_key(key::LEADER) {
                return Err(Refusal::new("the leader is alive").hint("howdah switchover"));
            }
            let kind = IntentKind::Failover { to: to.clone(), accept_loss: *accept_loss };
            intent(snapshot, asked, kind)?
        }
        Ask::Apply { text, revision } => config(shared, snapshot, text, *revision)?,
        other => return Err(Refusal::new(format!("not available yet: `{other:?}`"))),
    };
    match shared.config.store.txn(txn).await.map_err(unavailable)? {
        TxnOutcome::Applied { .. } => Ok(said),
        TxnOutcome::Refused { .. } => {
            let what = "somebody else changed it at the same moment";
            Err(Refusal::new(what).hint("look at `howdah status` and ask again"))
        }
    }
}

fn intent(snapshot: &Snapshot, asked: &Asked, kind: IntentKind) -> Result<(Txn, String), Refusal> {
    if let Some((other, _)) = snapshot.get::<Intent>(key::INTENT).map_err(unavailable)? {
        let what = format!("another request is under way, asked for by {}", other.by);
        return Err(Refusal::new(format!("{what}: `{:?}`", other.kind)));
    }
    let id = format!("{}-{}", clock::unix_ms(), snapshot.revision);
    let intent = Intent { id: id.clone(), kind, by: asked.by.clone() };
    Ok((Txn::new().absent(key::INTENT).put(key::INTENT, &intent), id))
}

fn config(
    shared: &Shared,
    snapshot: &Snapshot,
    text: &str,
    wanted: Option<u64>,
) -> Result<(Txn, String), Refusal> {
    (shared.config.parse)(text, &shared.config.spec)
        .map_err(|mistakes| Refusal::new(mistakes).class(RefusalClass::Malformed))?;
    let seen = snapshot.get::<Config>(key::CONFIG).map_err(unavailable)?;
    let before = seen.as_ref().map_or(0, |(config, _)| config.revision);
    if wanted.is_some_and(|wanted| wanted != before) {
        let what = "somebody else has changed the cluster file in the meantime";
        return Err(Refusal::new(format!("{what}, in force is revision `{before}`"))
            .hint("look at `howdah config show` and make your change again"));
    }
    let revision = before + 1;
    let config = Config { revision, text: text.to_owned() };
    let txn = Txn::new().as_seen(key::CONFIG, seen.map(|(_, at)| at)).put(key::CONFIG, &config);
    Ok((txn, format!("revision {revision}")))
}

/// What came of it is not known, or it could not be asked.
fn unavailable(error: impl ToString) -> Refusal {
    Refusal::new(error.to_string()).class(RefusalClass::Unavailable).hint("howdah status")
}
