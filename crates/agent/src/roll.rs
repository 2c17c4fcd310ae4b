//! One node after the other: a rolling restart, so that a quorum of servers runs all the time.
//!
//! Driven by the node that was asked: should it end half-way, nothing is lost but the rest of the
//! round, and asking again goes on where it stopped.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::NodeName;
use howdah_base::ask::{Ask, NodeReceipt, Progress, Receipt, Refusal, RefusalClass};
use howdah_base::record::{Conditions, Leader, Member, ServerState, key};
use howdah_ha::is_older;
use howdah_store::Snapshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::operator::{one, unavailable};
use crate::planned::with_servers;
use crate::shared::Shared;

/// A node serves again within this after its restart.
const BACK_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Rounds of a restart for what is pending: a value that falls needs the primary before the
/// standbys, and may come with one that rises.
const ROUNDS_MAX: usize = 3;
/// After a restart others may get a new value to wait for, once they have heard of it.
const SETTLES_WITHIN: Duration = Duration::from_secs(3);

/// Restarts the nodes named, all when none is: standbys first, the primary last.
pub(crate) async fn restart(
    shared: &Shared,
    nodes: &[NodeName],
    conditions: &Conditions,
    by: &str,
) -> Result<Receipt, Refusal> {
    let mut done: Vec<NodeName> = Vec::new();
    if conditions.pending {
        // Nodes may just be hearing of the value that is to be restarted for.
        sleep(SETTLES_WITHIN).await;
    }
    for round in 0..ROUNDS_MAX {
        let due = in_order(&snapshot(shared).await?, nodes, conditions, true)?;
        if due.is_empty() {
            break;
        }
        for node in due {
            let (nodes, conditions) = (vec![node.clone()], conditions.clone());
            let ask = Ask::Restart { nodes, conditions, at_unix_ms: None };
            one(shared, &ask, by).await.map_err(|refusal| halted(&node, &done, refusal))?;
            await_back(shared, &node).await.map_err(|r| halted(&node, &done, r))?;
            done.push(node);
        }
        // Only what is pending is worth another round.
        if !conditions.pending || round + 1 == ROUNDS_MAX {
            break;
        }
        sleep(SETTLES_WITHIN).await;
    }
    let message = match done.is_empty() {
        true => "no node needs a restart".to_owned(),
        false => format!("restarted {}", listed(&done)),
    };
    let (what, nodes) = ("restart".to_owned(), restarted(&done));
    Ok(Receipt { what, state: Progress::Done, message, nodes })
}

fn restarted(done: &[NodeName]) -> Vec<NodeReceipt> {
    let one = |node: &NodeName| of_node(node, Progress::Done, format!("restarted {node}"));
    done.iter().map(one).collect()
}

fn of_node(node: &NodeName, state: Progress, message: String) -> NodeReceipt {
    NodeReceipt { node: node.clone(), state, message }
}

/// Plans a restart of the nodes named, of all when none is. Their conditions are judged when the
/// moment has come.
pub(crate) async fn plan(
    shared: &Shared,
    nodes: &[NodeName],
    conditions: &Conditions,
    at_unix_ms: u64,
    by: &str,
) -> Result<Receipt, Refusal> {
    let nodes = in_order(&snapshot(shared).await?, nodes, &Conditions::default(), false)?;
    if nodes.is_empty() {
        let what = "none of these nodes has a server that could be restarted";
        return Err(Refusal::new(what).class(RefusalClass::Precondition).hint("howdah status"));
    }
    let at_unix_ms = Some(at_unix_ms);
    one(shared, &Ask::Restart { nodes, conditions: conditions.clone(), at_unix_ms }, by).await
}

/// Lets the nodes named read their files anew, all when none is. Each is asked, also when another
/// one cannot do it. Of all nodes, those without a running server read their files when they start.
pub(crate) async fn reload(
    shared: &Arc<Shared>,
    nodes: &[NodeName],
    by: &str,
) -> Result<Receipt, Refusal> {
    let seen = snapshot(shared).await?;
    let mut asked = JoinSet::new();
    let due = in_order(&seen, nodes, &Conditions::default(), nodes.is_empty())?;
    for node in &due {
        let (shared, node, by) = (Arc::clone(shared), node.clone(), by.to_owned());
        asked.spawn(async move {
            let ask = Ask::Reload { nodes: vec![node.clone()] };
            (node, one(&shared, &ask, &by).await)
        });
    }
    let mut told = Vec::new();
    let mut first = None;
    while let Some(Ok((node, answer))) = asked.join_next().await {
        told.push(match answer {
            Ok(receipt) => of_node(&node, receipt.state, receipt.message),
            Err(refusal) => {
                let told = of_node(&node, Progress::Refused, refusal.error.clone());
                first.get_or_insert(refusal);
                told
            }
        });
    }
    let mut down = with_servers(&shared.spec());
    down.retain(|node| nodes.is_empty() && !due.contains(node));
    let skipped = "not running, so read at the next start";
    told.extend(down.iter().map(|node| of_node(node, Progress::Skipped, skipped.to_owned())));
    told.sort_by(|a, b| a.node.cmp(&b.node));
    reloaded(told, first)
}

/// Who did it, and who did not and why.
fn reloaded(nodes: Vec<NodeReceipt>, first: Option<Refusal>) -> Result<Receipt, Refusal> {
    let of = |state: Progress| -> Vec<NodeName> {
        nodes.iter().filter(|told| told.state == state).map(|told| told.node.clone()).collect()
    };
    let (done, skipped) = (of(Progress::Done), of(Progress::Skipped));
    let mut message = match done.is_empty() {
        true => "nothing was reloaded".to_owned(),
        false => format!("reloaded {}", listed(&done)),
    };
    if !skipped.is_empty() {
        message += &format!("; not running, so read at the next start: {}", listed(&skipped));
    }
    let Some(first) = first else {
        let (what, state) = ("reload".to_owned(), Progress::Done);
        return Ok(Receipt { what, state, message, nodes });
    };
    let refused = nodes.iter().filter(|told| told.state == Progress::Refused);
    let whys: Vec<String> =
        refused.map(|told| format!("{}: {}", told.node, told.message)).collect();
    let error = format!("{message}; not reloaded: {}", whys.join("; "));
    Err(Refusal { error, nodes, ..first })
}

async fn snapshot(shared: &Shared) -> Result<Snapshot, Refusal> {
    shared.config.store.snapshot().await.map_err(unavailable)
}

fn members(seen: &Snapshot) -> Result<Vec<Member>, Refusal> {
    let members = seen.below::<Member>(key::MEMBERS).map_err(unavailable)?;
    Ok(members.into_values().map(|(member, _)| member).collect())
}

/// Standbys by name, then the primary: one that needs a value higher than its standbys have must
/// come last. Where a value falls, the primary alone is pending, and comes first by that.
fn in_order(
    seen: &Snapshot,
    named: &[NodeName],
    conditions: &Conditions,
    running_only: bool,
) -> Result<Vec<NodeName>, Refusal> {
    let leader = seen.get::<Leader>(key::LEADER).map_err(unavailable)?;
    let leader = leader.map(|(leader, _)| leader.node);
    let all = members(seen)?;
    if let Some(unknown) = named.iter().find(|node| !all.iter().any(|m| m.node == **node)) {
        let what = format!("no live node is named `{unknown}`");
        return Err(Refusal::new(what).class(RefusalClass::Absent).hint("howdah status"));
    }
    let role = |member: &Member| match Some(&member.node) == leader.as_ref() {
        true => ["primary", "master"],
        false => ["standby", "replica"],
    };
    let wanted = |member: &&Member| {
        let named = named.is_empty() || named.contains(&member.node);
        let runs = member.started_unix_ms.is_some() || !running_only;
        let pending = !conditions.pending || !member.pending_restart.is_empty();
        let fits = conditions.role.as_ref().is_none_or(|r| role(member).contains(&r.as_str()));
        let than = conditions.older_than.as_ref();
        let older = |than: &String| member.version.as_ref().is_some_and(|v| is_older(v, than));
        named && runs && pending && fits && than.is_none_or(older) && !member.witness
    };
    let mut due: Vec<NodeName> = all.iter().filter(wanted).map(|m| m.node.clone()).collect();
    due.sort_by_key(|node| (Some(node) == leader.as_ref(), node.clone()));
    Ok(due)
}

/// Until the node serves in its role again.
async fn await_back(shared: &Shared, node: &NodeName) -> Result<(), Refusal> {
    let begun = Instant::now();
    loop {
        let serves = members(&snapshot(shared).await?)?.into_iter().any(|m| {
            m.node == *node && matches!(m.server, ServerState::Primary | ServerState::Streaming)
        });
        if serves {
            return Ok(());
        }
        if begun.elapsed() > BACK_WITHIN {
            let what = format!("`{node}` does not serve again after {BACK_WITHIN:?}");
            return Err(Refusal::new(what).class(RefusalClass::Unavailable).hint("howdah explain"));
        }
        sleep(LOOK_EVERY).await;
    }
}

fn halted(node: &NodeName, done: &[NodeName], refusal: Refusal) -> Refusal {
    let so_far = if done.is_empty() { "none".to_owned() } else { listed(done) };
    let error = format!("halted at `{node}` (restarted so far: {so_far}): {}", refusal.error);
    let mut nodes = restarted(done);
    nodes.push(of_node(node, Progress::Refused, refusal.error));
    Refusal { error, nodes, class: refusal.class, hint: refusal.hint }
}

fn listed(nodes: &[NodeName]) -> String {
    nodes.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}
