//! An operator's requests: recorded in the store, then watched, within a bound, until they are
//! carried out.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::Term;
use howdah_base::ask::{Ask, NodeReceipt, Progress, Receipt, Refusal, RefusalClass};
use howdah_base::record::{Answer, Leader, key};
use howdah_ha::{Command, Job};
use howdah_store::{Snapshot, Txn, TxnOutcome};
use tokio::time::timeout;

use crate::agent::Agent;
use crate::event::Asked;
use crate::requests::{Done, record};
use crate::roll;
use crate::shared::Shared;

/// A switchover, a restart or a reload is done, refused or abandoned within its own bounds,
/// which are shorter.
const DONE_WITHIN: Duration = Duration::from_secs(150);
/// A new copy takes as long as the data are large: only its beginning is waited for.
const BEGUN_WITHIN: Duration = Duration::from_secs(10);

/// Who asks competes with one leader, which writes now and then.
const LOOKS_MAX: u32 = 5;

/// Answers when the request is carried out or refused.
pub(crate) fn ask(agent: &Agent, asked: Asked) {
    if agent.snapshot.is_none() || agent.store_error.is_some() {
        let why = Refusal::new("the store does not answer").class(RefusalClass::Unavailable);
        let _ = asked.reply.send(Err(why.hint("howdah status")));
        return;
    }
    let shared = Arc::clone(&agent.shared);
    tokio::spawn(async move {
        tracing::info!("{} asks: {}", asked.by, asked.what);
        let answer = carried_out(&shared, &asked.what, &asked.by).await;
        if let Err(refusal) = &answer {
            tracing::info!("not done: {}", refusal.error);
        }
        let _ = asked.reply.send(answer);
    });
}

async fn carried_out(shared: &Arc<Shared>, ask: &Ask, by: &str) -> Result<Receipt, Refusal> {
    match ask {
        Ask::Restart { nodes, conditions, at_unix_ms: Some(at) } => {
            roll::plan(shared, nodes, conditions, *at, by).await
        }
        Ask::Restart { nodes, conditions, at_unix_ms: None } if nodes.len() != 1 => {
            roll::restart(shared, nodes, conditions, by).await
        }
        Ask::Reload { nodes } if nodes.len() != 1 => roll::reload(shared, nodes, by).await,
        Ask::Reinit { node, .. } => {
            let begun = timeout(BEGUN_WITHIN, one(shared, ask, by)).await;
            begun.unwrap_or_else(|_| {
                let said = format!("{node} is being made anew; watch it: howdah status");
                Ok(Receipt::of(ask, Progress::Begun, said))
            })
        }
        _ => one(shared, ask, by).await,
    }
}

/// Records one request and waits for what becomes of it.
pub(crate) async fn one(shared: &Shared, ask: &Ask, by: &str) -> Result<Receipt, Refusal> {
    let (done, before) = recorded(shared, ask, by).await?;
    let (key, id) = match done {
        Done::Now(said) => return Ok(Receipt::of(ask, at_once(ask), said)),
        Done::Gone { key, id } => (key, id),
    };
    match timeout(DONE_WITHIN, outcome(shared, ask, &key, &id, before)).await {
        Ok(answer) => answer,
        Err(_) => Err(withdrawn(shared, &key, &id).await),
    }
}

/// Records it. The record may change between the look and the word, by whoever carries out what it is
/// about: then it is judged anew, by what is there now. With the term that it was judged by.
async fn recorded(shared: &Shared, ask: &Ask, by: &str) -> Result<(Done, Option<Term>), Refusal> {
    for _ in 0..LOOKS_MAX {
        let seen = shared.config.store.snapshot().await.map_err(unavailable)?;
        let recorded = record(shared, &seen, ask, by)?;
        if let TxnOutcome::Applied { .. } =
            shared.config.store.txn(recorded.txn).await.map_err(unavailable)?
        {
            return Ok((recorded.done, term(&seen)));
        }
    }
    let what = "somebody else changed it at the same moment, again and again";
    Err(Refusal::new(what).hint("look at `howdah status` and ask again"))
}

/// How far a request has got that is nothing but a record in the store.
fn at_once(ask: &Ask) -> Progress {
    match ask {
        Ask::Switchover { at_unix_ms: Some(_), .. } | Ask::Restart { at_unix_ms: Some(_), .. } => {
            Progress::Planned
        }
        Ask::AbortSwitchover | Ask::CancelRestart { .. } => Progress::Dropped,
        Ask::Fence { .. } => Progress::Begun,
        _ => Progress::Done,
    }
}

fn term(seen: &Snapshot) -> Option<Term> {
    seen.get(key::TERM).ok().flatten().map(|(term, _)| term)
}

/// Follows the request with this id until it is gone from the store.
async fn outcome(
    shared: &Shared,
    ask: &Ask,
    key: &str,
    id: &str,
    before: Option<Term>,
) -> Result<Receipt, Refusal> {
    let store = &shared.config.store;
    loop {
        let now = store.snapshot().await.map_err(unavailable)?;
        if id_at(&now, key).is_none_or(|waits| waits != id) {
            return end(&now, ask, key, id, before);
        }
        store.changed(now.revision).await.map_err(unavailable)?;
    }
}

/// What was not done in time is taken back: nobody expects it any more.
async fn withdrawn(shared: &Shared, key: &str, id: &str) -> Refusal {
    let store = &shared.config.store;
    let late = format!("it was not done within {DONE_WITHIN:?}");
    let Ok(now) = store.snapshot().await else { return unavailable(late) };
    let Some(entry) = now.entries.get(key).filter(|_| id_at(&now, key).as_deref() == Some(id))
    else {
        return unavailable(late);
    };
    let txn = Txn::new().at(key, entry.revision).delete(key);
    match store.txn(txn).await {
        Ok(TxnOutcome::Applied { .. }) => unavailable(format!("{late}, and is withdrawn")),
        _ => unavailable(late),
    }
}

/// The id of the request under `key`, whatever its kind.
fn id_at(now: &Snapshot, key: &str) -> Option<String> {
    let value: (serde_json::Value, u64) = now.get(key).ok().flatten()?;
    value.0.get("id")?.as_str().map(str::to_owned)
}

fn end(
    now: &Snapshot,
    ask: &Ask,
    key: &str,
    id: &str,
    before: Option<Term>,
) -> Result<Receipt, Refusal> {
    let node = key.strip_prefix(key::ORDERS);
    let answers = node.map_or(key::ANSWER.to_owned(), |node| format!("{}{node}", key::ANSWERS));
    let answer = now.get::<Answer>(&answers).map_err(unavailable)?;
    if let Some((answer, _)) = answer.filter(|(answer, _)| answer.id == id) {
        return Err(Refusal::new(answer.why).class(RefusalClass::Precondition));
    }
    if let Some(node) = node {
        let said = match ask {
            Ask::Restart { .. } => format!("restarted {node}"),
            Ask::Reload { .. } => format!("reloaded {node}"),
            _ => format!("{node} was made anew"),
        };
        return Ok(Receipt::of(ask, Progress::Done, said));
    }
    let leader = now.get::<Leader>(key::LEADER).map_err(unavailable)?;
    match leader {
        Some((leader, _)) if Some(leader.term) > before => {
            let (state, node) = (Progress::Done, leader.node);
            let message = format!("{node} leads term {}", leader.term);
            let nodes = vec![NodeReceipt { node, state, message: message.clone() }];
            Ok(Receipt { nodes, ..Receipt::of(ask, state, message) })
        }
        _ => Err(unavailable("what became of it is not known: its answer has been replaced")),
    }
}

/// What came of it is not known, or it could not be asked.
pub(crate) fn unavailable(error: impl ToString) -> Refusal {
    Refusal::new(error.to_string()).class(RefusalClass::Unavailable).hint("howdah status")
}

impl Agent {
    /// Whoever asked for a switchover that was begun hears what became of it, and not only that
    /// it did not end with another primary.
    pub fn with_particulars(&self, command: Command) -> Command {
        let failed = self.last_error.as_ref().filter(|(job, _)| *job == Job::Switchover);
        match (command, failed) {
            (Command::ClearIntent(why), Some((_, error))) => {
                let begun = self.memory.switchover_begun.is_some();
                Command::ClearIntent(if begun { error.clone() } else { why })
            }
            (command, _) => command,
        }
    }
}
