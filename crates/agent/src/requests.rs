//! From an operator's request to the transaction that records it; whoever it concerns acts on
//! the record.

use howdah_base::NodeName;
use howdah_base::ask::{Ask, Refusal, RefusalClass};
use howdah_base::record::{
    Answer, Conditions, Config, Fence, Intent, IntentKind, Member, Order, OrderKind, Pause,
    Planned, ServerState, key,
};
use howdah_ledger::INTENT_LIVES_MS;
use howdah_spec::{ClusterSpec, NodeKind};
use howdah_store::{Snapshot, Txn};

use crate::shared::Shared;
use crate::{clock, planned};

/// What is written, and how to see that it is done.
#[derive(Debug)]
pub(crate) struct Record {
    pub txn: Txn,
    pub done: Done,
}

/// When a request counts as carried out.
#[derive(Clone, Debug)]
pub(crate) enum Done {
    /// With the transaction itself: the sentence to say.
    Now(String),
    /// When this key does not hold the request with this id any more.
    Gone { key: String, id: String },
}

pub(crate) type Recorded = Result<Record, Refusal>;

/// The transaction for `ask`; requests that take several steps are not among these.
pub(crate) fn record(shared: &Shared, seen: &Snapshot, ask: &Ask, by: &str) -> Recorded {
    match ask {
        Ask::Switchover { to, at_unix_ms: None } => {
            fit(seen, to.as_ref())?;
            intent(seen, IntentKind::Switchover { to: to.clone() }, by)
        }
        Ask::Switchover { to, at_unix_ms: Some(at) } => plan(seen, to.as_ref(), *at, by),
        Ask::AbortSwitchover => abort(seen),
        Ask::Failover { to, accept_loss } => failover(seen, to, *accept_loss, by),
        Ask::Apply { text, revision } => config(shared, seen, text, *revision),
        Ask::Pause => pause(seen, by),
        Ask::Resume => resume(seen),
        Ask::Restart { nodes, conditions, at_unix_ms: Some(at) } => {
            planned::plan(seen, nodes, conditions, *at, by)
        }
        Ask::Restart { nodes, conditions, at_unix_ms: None } => match nodes.as_slice() {
            [node] => restart(seen, node, conditions, by),
            _ => Err(Refusal::new("one node at a time").class(RefusalClass::Malformed)),
        },
        Ask::CancelRestart { node } => planned::cancel(seen, node),
        Ask::Reload { nodes } => match nodes.as_slice() {
            [node] => reload(seen, node, by),
            _ => Err(Refusal::new("one node at a time").class(RefusalClass::Malformed)),
        },
        Ask::Reinit { node, from, repository } => {
            reinit(seen, node, (from.as_ref(), *repository), by)
        }
        Ask::Fence { node } => fence(&shared.spec(), seen, node, by),
        Ask::Unfence { node } => unfence(seen, node),
        Ask::Stop => Err(Refusal::new("the node itself stops").class(RefusalClass::Malformed)),
    }
}

/// A record that does not read is the store's fault, not the asker's.
fn get<T: serde::de::DeserializeOwned>(
    seen: &Snapshot,
    key: &str,
) -> Result<Option<(T, u64)>, Refusal> {
    seen.get(key).map_err(|e| Refusal::new(e.to_string()).class(RefusalClass::Unavailable))
}

pub(crate) fn fresh_id(seen: &Snapshot) -> String {
    format!("{}-{}", clock::unix_ms(), seen.revision)
}

fn member(seen: &Snapshot, node: &NodeName) -> Result<Member, Refusal> {
    let found = get::<Member>(seen, &format!("{}{node}", key::MEMBERS))?;
    found.map(|(member, _)| member).ok_or_else(|| {
        Refusal::new(format!("no live node is named `{node}`"))
            .class(RefusalClass::Absent)
            .hint("howdah status")
    })
}

fn with_server(seen: &Snapshot, node: &NodeName) -> Result<Member, Refusal> {
    let member = member(seen, node)?;
    if member.witness { Err(is_witness(node)) } else { Ok(member) }
}

fn is_witness(node: &NodeName) -> Refusal {
    let what = format!("`{node}` is a witness: it has no PostgreSQL");
    Refusal::new(what).class(RefusalClass::Precondition).hint("howdah status")
}

fn leader(seen: &Snapshot) -> Result<Option<NodeName>, Refusal> {
    let leader = get::<howdah_base::record::Leader>(seen, key::LEADER)?;
    Ok(leader.map(|(leader, _)| leader.node))
}

/// What can be seen at once to be impossible needs no record; the leader judges the rest.
fn fit(seen: &Snapshot, to: Option<&NodeName>) -> Result<(), Refusal> {
    let impossible = |what: String| Err(Refusal::new(what).class(RefusalClass::Precondition));
    if leader(seen)?.is_none() {
        return impossible("there is no leader to switch over from".to_owned());
    }
    let Some(to) = to else { return Ok(()) };
    let member = match member(seen, to) {
        Ok(member) => member,
        Err(refusal) => return Err(refusal.class(RefusalClass::Precondition)),
    };
    if member.witness {
        return impossible(format!("`{to}` is a witness: it has no PostgreSQL"));
    }
    if member.no_failover {
        return impossible(format!("`{to}` is tagged no_failover"));
    }
    if seen.entries.contains_key(&format!("{}{to}", key::FENCED)) {
        return impossible(format!("`{to}` is fenced"));
    }
    Ok(())
}

fn intent(seen: &Snapshot, kind: IntentKind, by: &str) -> Recorded {
    let now = clock::unix_ms();
    let waiting = |other: &Intent| other.sealed || other.until_unix_ms.is_none_or(|at| at >= now);
    let there = get::<Intent>(seen, key::INTENT)?;
    if let Some((other, _)) = there.as_ref().filter(|(other, _)| waiting(other)) {
        let what = format!("{} is under way, asked for by {}", other.kind, other.by);
        return Err(Refusal::new(what).hint("howdah status"));
    }
    let id = fresh_id(seen);
    let until_unix_ms = Some(now + INTENT_LIVES_MS);
    let intent = Intent { id: id.clone(), kind, by: by.to_owned(), sealed: false, until_unix_ms };
    let txn = Txn::new().as_seen(key::INTENT, there.map(|(_, at)| at)).put(key::INTENT, &intent);
    Ok(Record { txn, done: Done::Gone { key: key::INTENT.to_owned(), id } })
}

fn plan(seen: &Snapshot, to: Option<&NodeName>, at_unix_ms: u64, by: &str) -> Recorded {
    if at_unix_ms <= clock::unix_ms() {
        return Err(Refusal::new("that moment has passed").class(RefusalClass::Malformed));
    }
    if let Some((other, _)) = get::<Planned>(seen, key::PLANNED)? {
        let what = format!("a switchover is planned already, by {}", other.by);
        return Err(Refusal::new(what).hint("howdah switchover --abort"));
    }
    fit(seen, to)?;
    let id = fresh_id(seen);
    let planned = Planned { id, to: to.cloned(), at_unix_ms, by: by.to_owned() };
    let txn = Txn::new().absent(key::PLANNED).put(key::PLANNED, &planned);
    Ok(Record { txn, done: Done::Now("the switchover is planned".to_owned()) })
}

/// The one under way, until its leader seals it: that is the last thing before the shutdown, and
/// a comparison of both sides, so that exactly one of them wins. Else the planned one.
fn abort(seen: &Snapshot) -> Recorded {
    let intent = get::<Intent>(seen, key::INTENT)?;
    let is_switchover = |intent: &Intent| matches!(intent.kind, IntentKind::Switchover { .. });
    let begun = |intent: &Intent| intent.sealed || seen.entries.contains_key(key::HANDOVER);
    if let Some((intent, revision)) = intent.as_ref().filter(|(i, _)| is_switchover(i) && !begun(i))
    {
        let answer = Answer { id: intent.id.clone(), why: "an operator gave it up".to_owned() };
        let txn = Txn::new()
            .at(key::INTENT, *revision)
            .absent(key::HANDOVER)
            .delete(key::INTENT)
            .put(key::ANSWER, &answer);
        return Ok(Record { txn, done: Done::Now("the switchover is given up".to_owned()) });
    }
    if let Some((_, revision)) = get::<Planned>(seen, key::PLANNED)? {
        let txn = Txn::new().at(key::PLANNED, revision).delete(key::PLANNED);
        let said = "the planned switchover is dropped".to_owned();
        return Ok(Record { txn, done: Done::Now(said) });
    }
    Err(match intent {
        Some((intent, _)) if is_switchover(&intent) => {
            let what = "the primary is being shut down already: it cannot be given up any more";
            Refusal::new(what).hint("howdah status")
        }
        Some((intent, _)) => {
            let what = format!("no switchover is planned or under way, but {}", intent.kind);
            let what = format!("{what}, asked for by {}: that is not given up", intent.by);
            Refusal::new(what).class(RefusalClass::Absent).hint("howdah status")
        }
        None => {
            let what = "no switchover is planned or under way";
            Refusal::new(what).class(RefusalClass::Absent).hint("howdah status")
        }
    })
}

fn failover(seen: &Snapshot, to: &NodeName, accept_loss: bool, by: &str) -> Recorded {
    if leader(seen)?.is_some() {
        return Err(Refusal::new("the leader is alive").hint("howdah switchover"));
    }
    let target = member(seen, to).map_err(|refusal| refusal.class(RefusalClass::Precondition))?;
    if target.witness || seen.entries.contains_key(&format!("{}{to}", key::FENCED)) {
        let what = format!("`{to}` is fenced, or has no PostgreSQL");
        return Err(Refusal::new(what).class(RefusalClass::Precondition));
    }
    intent(seen, IntentKind::Failover { to: to.clone(), accept_loss }, by)
}

fn config(shared: &Shared, seen: &Snapshot, text: &str, based_on: Option<u64>) -> Recorded {
    (shared.config.parse)(text, &shared.config.spec)
        .map_err(|mistakes| Refusal::new(mistakes).class(RefusalClass::Malformed))?;
    let there = get::<Config>(seen, key::CONFIG)?;
    let current = there.as_ref().map_or(0, |(config, _)| config.revision);
    if let Some(based_on) = based_on.filter(|based_on| *based_on != current) {
        let what = format!("the file in force is revision {current}, not {based_on}");
        return Err(Refusal::new(what).hint("read it again: howdah config"));
    }
    let revision = current + 1;
    let config = Config { revision, text: text.to_owned() };
    let txn = Txn::new().as_seen(key::CONFIG, there.map(|(_, at)| at)).put(key::CONFIG, &config);
    Ok(Record { txn, done: Done::Now(format!("revision {revision}")) })
}

fn pause(seen: &Snapshot, by: &str) -> Recorded {
    if let Some((pause, _)) = get::<Pause>(seen, key::PAUSE)? {
        return Err(Refusal::new(format!("the cluster is paused already, by {}", pause.by)));
    }
    let pause = Pause { by: by.to_owned(), at_unix_ms: clock::unix_ms() };
    let txn = Txn::new().absent(key::PAUSE).put(key::PAUSE, &pause);
    Ok(Record { txn, done: Done::Now("the cluster is paused".to_owned()) })
}

fn resume(seen: &Snapshot) -> Recorded {
    let Some((_, revision)) = get::<Pause>(seen, key::PAUSE)? else {
        return Err(Refusal::new("the cluster is not paused"));
    };
    let txn = Txn::new().at(key::PAUSE, revision).delete(key::PAUSE);
    Ok(Record { txn, done: Done::Now("the cluster is not paused any more".to_owned()) })
}

fn restart(seen: &Snapshot, node: &NodeName, conditions: &Conditions, by: &str) -> Recorded {
    let member = with_server(seen, node)?;
    let started = member.started_unix_ms;
    // One that is down is started: the only way while the cluster is paused.
    if started.is_none() && member.server != ServerState::Stopped {
        let what = format!("the server of `{node}` does not answer, so it cannot be restarted");
        return Err(Refusal::new(what).class(RefusalClass::Unavailable).hint("howdah explain"));
    }
    let conditions = conditions.clone();
    let kind = OrderKind::Restart { conditions, started_unix_ms: started };
    let recorded = order(seen, node, kind, by)?;
    Ok(Record { txn: planned::settled(seen, node, recorded.txn)?, ..recorded })
}

fn reload(seen: &Snapshot, node: &NodeName, by: &str) -> Recorded {
    if with_server(seen, node)?.started_unix_ms.is_none() {
        let what = format!("the server of `{node}` does not run, and reads its files when it does");
        return Err(Refusal::new(what).class(RefusalClass::Unavailable).hint("howdah explain"));
    }
    order(seen, node, OrderKind::Reload, by)
}

fn order(seen: &Snapshot, node: &NodeName, kind: OrderKind, by: &str) -> Recorded {
    with_server(seen, node)?;
    let key = format!("{}{node}", key::ORDERS);
    if let Some((other, _)) = get::<Order>(seen, &key)? {
        let what = format!(
            "`{node}` has another order, {}, asked for by {}",
            worded(&other.kind),
            other.by
        );
        return Err(Refusal::new(what).hint("wait until it is done: howdah status"));
    }
    let id = fresh_id(seen);
    let order = Order { id: id.clone(), kind, by: by.to_owned(), at_unix_ms: None };
    let txn = Txn::new().absent(key.clone()).put(key.clone(), &order);
    Ok(Record { txn, done: Done::Gone { key, id } })
}

fn worded(kind: &OrderKind) -> &'static str {
    match kind {
        OrderKind::Restart { .. } => "a restart",
        OrderKind::Reload => "a reload",
        OrderKind::Reinit { .. } => "a new copy",
    }
}

fn reinit(
    seen: &Snapshot,
    node: &NodeName,
    (from, repository): (Option<&NodeName>, bool),
    by: &str,
) -> Recorded {
    let target = member(seen, node)?;
    let refuse = |what: String| Err(Refusal::new(what).class(RefusalClass::Precondition));
    match leader(seen)? {
        None => return refuse("there is no leader to copy from".to_owned()),
        Some(leader) if leader == *node => {
            let refusal = Refusal::new(format!("`{node}` leads")).hint("howdah switchover first");
            return Err(refusal.class(RefusalClass::Precondition));
        }
        Some(_) => {}
    }
    if let Some(from) = from {
        member(seen, from)?;
    }
    let kind = OrderKind::Reinit { from: from.cloned(), directory: target.directory, repository };
    order(seen, node, kind, by)
}

fn fence(spec: &ClusterSpec, seen: &Snapshot, node: &NodeName, by: &str) -> Recorded {
    let key = format!("{}{node}", key::FENCED);
    match spec.nodes.get(node).map(|spec| spec.kind) {
        Some(NodeKind::Data) => {}
        Some(NodeKind::Witness) => return Err(is_witness(node)),
        None => {
            let what = format!("no node is named `{node}`");
            return Err(Refusal::new(what).class(RefusalClass::Absent).hint("howdah status"));
        }
    }
    if seen.entries.contains_key(&key) {
        return Err(Refusal::new(format!("`{node}` is fenced already")));
    }
    let fence = Fence { by: by.to_owned(), at_unix_ms: clock::unix_ms() };
    let txn = Txn::new().absent(key.clone()).put(key, &fence);
    Ok(Record { txn, done: Done::Now(format!("`{node}` is fenced: its server is being ended")) })
}

fn unfence(seen: &Snapshot, node: &NodeName) -> Recorded {
    let key = format!("{}{node}", key::FENCED);
    let Some((_, revision)) = get::<Fence>(seen, &key)? else {
        let what = format!("`{node}` is not fenced");
        return Err(Refusal::new(what).class(RefusalClass::Absent));
    };
    let txn = Txn::new().at(key.clone(), revision).delete(key);
    Ok(Record { txn, done: Done::Now(format!("`{node}` is not fenced any more")) })
}

#[cfg(test)]
mod tests;
