//! What an operator asked of this node's own server, and what a pause and a fence mean.

use howdah_base::record::{Conditions, Order, OrderKind};
use howdah_base::{DirectoryId, NodeName};

use super::{Case, Step, elect, follow, lead, upstream};
use crate::{Command, Directory, Job, Rule, Running, Server, StopMode};

/// Failed switchovers after which a primary that is to stay down is just stopped.
const SWITCHOVER_FAILURES_MAX: u32 = 2;

/// Orders and the fence: before the node's part in the cluster.
pub(crate) fn step(case: &Case<'_>) -> Option<Step> {
    fenced(case).or_else(|| ordered(case))
}

/// This node's server is to stay down. Its last part as a leader is to hand over.
fn fenced(case: &Case<'_>) -> Option<Step> {
    let view = case.view;
    if !view.store.fenced.contains(&view.me) {
        return None;
    }
    let stop = |detail: String| Step::act(Rule::FenceNode, detail, Command::Stop(StopMode::Fast));
    match &view.local.server {
        Server::Running(running) if running.primary => Some(match fenced_heir(case) {
            Ok(to) => {
                let detail = format!("after a switchover to `{to}`");
                let step = Step::act(Rule::FenceNode, detail, Command::Switchover { to });
                case.paced(Job::Switchover, step)
            }
            Err(why) => stop(why),
        }),
        Server::Unknown { .. } => Some(stop("it does not answer".to_owned())),
        Server::Running(_) if view.store.leader_mine => None,
        Server::Running(_) => Some(await_leaving(case).unwrap_or_else(|| stop(String::new()))),
        // The leader's hand-over goes on in `lead_down`.
        Server::Down if view.store.leader_mine => None,
        Server::Down => Some(Step::wait(Rule::Fenced, "")),
        _ => None,
    }
}

/// To whom a primary that is to stay down is switched over first; not for ever, though.
fn fenced_heir(case: &Case<'_>) -> Result<NodeName, String> {
    let failures = case.view.failures.count(Job::Switchover);
    if failures >= SWITCHOVER_FAILURES_MAX {
        return Err(format!("{failures} switchovers failed"));
    }
    lead::best_standby(case).map_err(|why| format!("nobody can take over: {why}"))
}

/// A voter leaves first. In `strict` the last one just goes: the leader never stands alone there.
fn await_leaving(case: &Case<'_>) -> Option<Step> {
    let sync = case.view.sync()?;
    let id = own_directory(case)?;
    let replaceable = sync.voters.len() > 1 || !case.view.settings.strict;
    let waits = sync.voters.contains(id) && replaceable;
    waits.then(|| Step::wait(Rule::LeaveVoters, "an operator's order"))
}

fn own_directory<'a>(case: &'a Case<'_>) -> Option<&'a DirectoryId> {
    case.view.directory().map(|facts| &facts.id)
}

fn ordered(case: &Case<'_>) -> Option<Step> {
    let order = due(case)?;
    match &order.kind {
        OrderKind::Restart { conditions, started_unix_ms } => {
            restart(case, order, conditions, *started_unix_ms)
        }
        OrderKind::Reinit { from, directory, repository } => {
            reinit(case, order, (from.as_ref(), *repository), directory.as_ref())
        }
        // The agent writes files by itself.
        OrderKind::Reload => None,
    }
}

/// The order to this node whose time has come.
pub(crate) fn due<'a>(case: &'a Case<'_>) -> Option<&'a Order> {
    let order = &case.view.store.orders.get(&case.view.me)?.value;
    order.at_unix_ms.is_none_or(|at| at <= case.view.wall_ms).then_some(order)
}

/// A restart of this server is under way: it is started in place, and nothing is handed over.
pub(crate) fn restarts(case: &Case<'_>) -> bool {
    due(case).is_some_and(|order| matches!(order.kind, OrderKind::Restart { .. }))
}

fn end(order: &Order, why: Option<String>) -> Step {
    let detail = why.clone().unwrap_or_else(|| format!("asked for by {}", order.by));
    Step::act(Rule::EndOrder, detail, Command::EndOrder(why))
}

fn restart(
    case: &Case<'_>,
    order: &Order,
    conditions: &Conditions,
    started: Option<u64>,
) -> Option<Step> {
    let view = case.view;
    let running = view.running()?;
    let now = view.local.started_unix_ms?;
    let done = match order.at_unix_ms {
        Some(at) => now >= at,
        None => started != Some(now),
    };
    if done {
        return Some(end(order, None));
    }
    if let Some(why) = unmet(case, running, conditions) {
        return Some(end(order, Some(why)));
    }
    // A primary restarts once its own change of hands is over.
    let ready = !running.primary || (view.store.leader_mine && view.local.gate_open);
    (ready && view.store.handover.is_none()).then(|| {
        let detail = format!("asked for by {}", order.by);
        let stop = Command::Stop(StopMode::Fast);
        case.paced(Job::Stop, Step::act(Rule::RestartOrdered, detail, stop))
    })
}

/// Patroni's conditions: a restart that is not needed is not done.
fn unmet(case: &Case<'_>, running: &Running, conditions: &Conditions) -> Option<String> {
    let local = &case.view.local;
    if conditions.pending && !local.pending_restart {
        return Some("nothing waits for a restart".to_owned());
    }
    let role = if running.primary { "primary" } else { "standby" };
    let same = |wanted: &str| {
        wanted == role || matches!((wanted, role), ("master", "primary") | ("replica", "standby"))
    };
    if let Some(wanted) = conditions.role.as_ref().filter(|wanted| !same(wanted)) {
        return Some(format!("it is a {role}, not a {wanted}"));
    }
    let version = local.version.as_deref().unwrap_or_default();
    let than = conditions.older_than.as_ref().filter(|than| !is_older(version, than))?;
    Some(format!("PostgreSQL {version} is not older than {than}"))
}

/// Whether PostgreSQL's `version`, such as `15.9`, comes before `than`.
pub fn is_older(version: &str, than: &str) -> bool {
    let numbers =
        |text: &str| -> Vec<u32> { text.split('.').filter_map(|part| part.parse().ok()).collect() };
    numbers(version) < numbers(than)
}

/// A new copy of this directory; never of the last one that may have a commit.
fn reinit(
    case: &Case<'_>,
    order: &Order,
    (from, repository): (Option<&NodeName>, bool),
    replaced: Option<&DirectoryId>,
) -> Option<Step> {
    let view = case.view;
    let leader = view.leader()?;
    if view.store.leader_mine {
        let why = "it leads; hint: howdah switchover, then ask again";
        return Some(end(order, Some(why.to_owned())));
    }
    let Directory::Ready(facts) = &view.local.directory else { return None };
    if replaced != Some(&facts.id) {
        return Some(end(order, None));
    }
    let Some(sync) = view.sync().filter(|sync| sync.term == leader.term) else {
        return Some(Step::wait(Rule::LastCopy, "the leader has not recorded its term yet"));
    };
    if sync.directory == facts.id {
        return Some(end(order, Some("it may hold the only copy of a commit".to_owned())));
    }
    let gives =
        |from: &&NodeName| **from == leader.node || upstream::relays(case, leader, from).is_some();
    if let Some(from) = from.filter(|from| !gives(from)) {
        let why = format!("`{from}` does not stream the leader's timeline: no copy is made of it");
        return Some(end(order, Some(why)));
    }
    if let Some(step) = await_leaving(case) {
        return Some(step);
    }
    if !case.is_parting_known() {
        return Some(Step::wait(Rule::LeaveVoters, "the others are told first"));
    }
    match &view.local.server {
        Server::Running(_) => {
            let detail = format!("asked for by {}", order.by);
            let stop = Command::Stop(StopMode::Fast);
            Some(Step::act(Rule::ReinitOrdered, detail, stop))
        }
        Server::Down if sync.voters.contains(&facts.id) => {
            Some(Step::wait(Rule::LeaveVoters, "the leader goes on alone first"))
        }
        Server::Down => Some(follow::copy_by_order(case, leader, from, repository)),
        _ => None,
    }
}

/// While the cluster is paused, nothing is started, stopped or promoted but what an operator
/// asked for, and what was under way when it was paused.
pub(crate) fn paused(case: &Case<'_>, step: Step) -> Step {
    let view = case.view;
    let moved = step.commands.iter().any(moves);
    let takes_over = step.commands.iter().any(|c| matches!(c, Command::TakeOver(_)));
    let asked = (view.intent().is_some() && (!takes_over || elect::is_ordered(case)))
        || case.memory.switchover_begun.is_some()
        || case.memory.handed_over
        || due(case).is_some()
        || view.store.fenced.contains(&view.me);
    let promoting = view.store.leader_mine && view.directory().is_some_and(|f| !f.was_primary);
    if !view.store.paused || !moved || asked || promoting {
        return step;
    }
    Step::wait(Rule::Paused, format!("otherwise: {}", step.reason))
}

/// Whether a command changes what runs where. Fencing is none of these: it is always done.
fn moves(command: &Command) -> bool {
    match command {
        Command::Stop(mode) => *mode != StopMode::Fence,
        Command::TakeOver(order) => order.kind == howdah_base::record::ChangeKind::Failover,
        Command::StartPrimary { .. }
        | Command::StartStandby { .. }
        | Command::Promote { .. }
        | Command::OfferHandover(_)
        | Command::Copy { .. }
        | Command::Rewind { .. }
        | Command::Release => true,
        _ => false,
    }
}
