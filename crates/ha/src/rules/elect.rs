//! There is no leader: lead again, stand for election, or wait.

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_base::record::{ChangeKind, IntentKind, Member, Report, Sync};
use howdah_base::{DirectoryId, Position, Timeline};

use super::{Case, Step, receives, revoke};
use crate::election::{self, Verdict};
use crate::lease::VANISHED;
use crate::voters::needed_of;
use crate::{Command, Directory, DirectoryFacts, Durability, Job, Rule, Server, TakeOver};

/// How long others get to say what they hold before an operator's order is refused for it.
const ORDER_WAIT: Duration = Duration::from_secs(5);

pub(crate) fn step(case: &Case<'_>) -> Step {
    let view = case.view;
    let facts = match &view.local.directory {
        Directory::Ready(facts) if view.is_ours(facts) => facts,
        _ => return Step::wait(Rule::AwaitSource, ""),
    };
    let Some(sync) = view.sync() else {
        return Step::wait(Rule::StoreForgot, "the record `sync` is missing");
    };
    if let Some(step) = forced(case, facts) {
        return step;
    }
    match &view.local.server {
        Server::Down => down(case, facts, sync),
        Server::Running(running) if !running.primary && receives(running) => revoke::detach(case),
        Server::Running(_) => stand(case, facts, sync),
        _ => Step::wait(Rule::AwaitServer, ""),
    }
}

fn down(case: &Case<'_>, facts: &DirectoryFacts, sync: &Sync) -> Step {
    let tired = case.is_tired();
    if sync.directory == facts.id && facts.was_primary && !tired {
        return same_directory(case, facts, sync, case.view.store.timeline);
    }
    if facts.was_primary && sync.directory != facts.id {
        return Step::wait(Rule::AwaitLeader, "this directory was a primary's in an earlier term");
    }
    if tired && facts.was_primary {
        return Step::wait(Rule::NotEligible, "its server does not start");
    }
    if revoke::has_ended_start(case)
        && let Some(step) = answer_from_disk(case)
    {
        return step;
    }
    let start = Command::StartStandby { upstream: None };
    case.paced(Job::Start, Step::act(Rule::StartToStand, "", start))
}

/// What keeps a server down that takes long to start: others may be elected by what its directory
/// says. `None` when this node is to lead.
fn answer_from_disk(case: &Case<'_>) -> Option<Step> {
    if case.view.local.end.is_none() {
        return Some(case.paced(Job::ReadEnd, Step::act(Rule::ReadHeld, "", Command::ReadEnd)));
    }
    let own = case.report()?;
    let again = case.now + case.view.settings.renew;
    match election::verdict(case.view, case.memory, &own, case.now) {
        Verdict::Barred(why) => Some(Step::wait(Rule::NotEligible, why)),
        Verdict::Await(why) => Some(Step::wait(Rule::AwaitReports, why).until(again)),
        Verdict::Defer(why) => Some(Step::wait(Rule::Defer, why).until(again)),
        Verdict::Best { .. } => None,
    }
}

pub(crate) fn stand(case: &Case<'_>, facts: &DirectoryFacts, sync: &Sync) -> Step {
    if sync.directory == facts.id {
        // It led the last term and was never promoted: no commit was acknowledged there.
        let timeline = case.view.next_timeline();
        return same_directory(case, facts, sync, timeline);
    }
    // In `async` nobody is asked to promise anything to a candidate.
    if let Some(step) = revoke::held_back(case) {
        return step;
    }
    let Some(own) = case.report() else {
        return Step::wait(Rule::AwaitReports, "this node's own position is being read");
    };
    match election::verdict(case.view, case.memory, &own, case.now) {
        Verdict::Barred(why) => Step::wait(Rule::NotEligible, why),
        Verdict::Await(why) => {
            Step::wait(Rule::AwaitReports, why).until(case.now + case.view.settings.renew)
        }
        Verdict::Defer(why) => {
            Step::wait(Rule::Defer, why).until(case.now + case.view.settings.renew)
        }
        Verdict::Best { reports } => take_over(case, facts, sync, &own, &reports),
    }
}

/// PROTOCOL section 5.0: one transaction, same voters, needed and floor, next term.
fn same_directory(
    case: &Case<'_>,
    facts: &DirectoryFacts,
    sync: &Sync,
    timeline: Timeline,
) -> Step {
    let term = case.view.store.term.next();
    let next = Sync {
        revision: sync.revision + 1,
        term,
        leader: case.view.me.clone(),
        directory: facts.id.clone(),
        ..sync.clone()
    };
    let order = TakeOver {
        kind: ChangeKind::Restart,
        timeline,
        begins: sync.floor,
        loss: "none".to_owned(),
        ..basis(case, next)
    };
    let step = Step::act(Rule::SameDirectory, format!("term {term}"), Command::TakeOver(order));
    case.paced(Job::Txn, step)
}

fn take_over(
    case: &Case<'_>,
    facts: &DirectoryFacts,
    sync: &Sync,
    own: &Report,
    reports: &[(Member, Report)],
) -> Step {
    let voters = match case.view.settings.durability {
        Durability::Async => BTreeSet::new(),
        Durability::Quorum => followers(case, own, reports),
    };
    let next = next_sync(case, facts, sync, own.position, voters);
    let term = next.term;
    let loss = if sync.voters.is_empty() {
        election::loss_bound(Some(sync), case.memory, own)
    } else {
        "none".to_owned()
    };
    let store = &case.view.store;
    let ordered = store.intent.as_ref().filter(|_| is_ordered(case));
    let intent_revision = ordered.map(|intent| intent.revision);
    // A leader whose key has vanished has none that could be compared.
    let leader_revision = store.leader.as_ref().map(|l| l.revision).filter(|r| *r != VANISHED);
    let begins = own.position;
    let order = TakeOver { leader_revision, intent_revision, begins, loss, ..basis(case, next) };
    let by = ordered.map(|intent| format!(", asked for by {}", intent.value.by));
    let silent = case.view.leader().zip(case.memory.signed_at()).map(|(leader, at)| {
        let seconds = case.now.since(at).as_secs_f64();
        format!(", `{}` has given no sign of life for {seconds:.1} s", leader.node)
    });
    let (by, silent) = (by.unwrap_or_default(), silent.unwrap_or_default());
    let detail = format!("term {term} at {}{by}{silent}", own.position);
    case.paced(Job::Txn, Step::act(Rule::TakeOver, detail, Command::TakeOver(order)))
}

/// Those that answered and whose WAL lies on this node's history, at or below its end.
fn followers(case: &Case<'_>, own: &Report, reports: &[(Member, Report)]) -> BTreeSet<DirectoryId> {
    reports
        .iter()
        .filter(|(m, _)| m.node != case.view.me && !m.no_sync)
        .filter(|(_, r)| election::can_follow(&own.history, own.position, r.position))
        .filter_map(|(m, _)| m.directory.clone())
        .collect()
}

/// An operator wants this node to take over.
pub(crate) fn is_ordered(case: &Case<'_>) -> bool {
    let kind = case.view.intent().map(|intent| &intent.kind);
    matches!(kind, Some(IntentKind::Failover { to, .. }) if *to == case.view.me)
}

/// An operator's order; with `accept_loss` it asks nobody.
fn forced(case: &Case<'_>, facts: &DirectoryFacts) -> Option<Step> {
    let view = case.view;
    let intent = &view.store.intent.as_ref()?.value;
    let IntentKind::Failover { to, accept_loss } = &intent.kind else { return None };
    if *to == view.me && view.is_late(intent) {
        let why = format!("it could not be begun in time{}", late_because(case));
        return Some(Step::act(Rule::RefuseSwitchover, why.clone(), Command::ClearIntent(why)));
    }
    if *to != view.me {
        return None;
    }
    let (sync, own) = view.sync().zip(case.report())?;
    if !accept_loss {
        let why = not_without_loss(case, &own)?;
        let loss = election::loss_bound(Some(sync), case.memory, &own);
        let why = format!(
            "{why}; what would be lost: {loss}; hint: howdah failover {to} --accept-data-loss"
        );
        return Some(Step::act(Rule::RefuseSwitchover, why.clone(), Command::ClearIntent(why)));
    }
    let next = next_sync(case, facts, sync, own.position, BTreeSet::new());
    let order = TakeOver {
        intent_revision: view.store.intent.as_ref().map(|i| i.revision),
        kind: ChangeKind::Forced,
        begins: own.position,
        loss: election::loss_bound(Some(sync), case.memory, &own),
        ..basis(case, next)
    };
    let detail = format!("by {}", intent.by);
    Some(Step::act(Rule::Forced, detail, Command::TakeOver(order)))
}

/// What kept an order from being judged until it was too late.
fn late_because(case: &Case<'_>) -> &'static str {
    match &case.view.local.server {
        Server::Running(_) => "",
        Server::Down => ": its server is down",
        Server::Starting { .. } => ": its server was still starting",
        Server::Stopping => ": its server was still shutting down",
        Server::Unknown { .. } => ": its server does not answer",
    }
}

/// Why the order cannot be carried out without a loss. Others get a moment to say what they hold.
fn not_without_loss(case: &Case<'_>, own: &Report) -> Option<String> {
    let waited = case.passed(case.memory.leaderless.map(|(_, since)| since), ORDER_WAIT);
    match election::verdict(case.view, case.memory, own, case.now) {
        Verdict::Best { .. } => None,
        Verdict::Barred(why) => Some(why),
        Verdict::Await(why) if waited => {
            Some(format!("not enough nodes have said what they hold, {why}"))
        }
        Verdict::Await(_) => None,
        Verdict::Defer(why) => Some(format!("it yields {why}")).filter(|_| waited),
    }
}

/// The next term's record, with this node's directory as the leader's.
pub(crate) fn next_sync(
    case: &Case<'_>,
    facts: &DirectoryFacts,
    sync: &Sync,
    floor: Position,
    voters: BTreeSet<DirectoryId>,
) -> Sync {
    Sync {
        revision: sync.revision + 1,
        term: case.view.store.term.next(),
        leader: case.view.me.clone(),
        directory: facts.id.clone(),
        floor,
        needed: needed_of(voters.len()),
        voters,
    }
}

/// A takeover from nobody, with a timeline reserved that was never given out before.
pub(crate) fn basis(case: &Case<'_>, sync: Sync) -> TakeOver {
    let store = &case.view.store;
    TakeOver {
        leader_revision: store.leader.as_ref().map(|l| l.revision),
        sync_revision: store.sync.as_ref().map_or(0, |s| s.revision),
        handover_revision: store.handover.as_ref().map(|h| h.revision),
        intent_revision: None,
        term: sync.term,
        timeline: case.view.next_timeline(),
        begins: sync.floor,
        kind: ChangeKind::Failover,
        from: store.sync.as_ref().map(|s| s.value.leader.clone()),
        loss: String::new(),
        sync,
    }
}
