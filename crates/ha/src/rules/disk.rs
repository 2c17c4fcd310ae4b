//! The leader's disk: one that has stalled, cannot be written, or is full. The term goes to a node
//! whose disk is well, if there is one.
//!
//! Processes that wait for a dead disk do not end, whatever they are sent, and while one is left
//! the term must not be handed over. So from the moment on that the leader ends its server the
//! lease is no longer renewed: either the server is gone and the term is handed over, or the lease
//! runs out and the others revoke the term.

use std::time::Duration;

use howdah_base::record::{ChangeKind, Member, ServerState};

use super::{Case, Step, lead};
use crate::{Command, Durability, Job, Rule, Server, StopMode};

/// After the end of a server on an unfit disk so long is the term offered to others: reading where
/// its WAL ends may take as long as the disk hangs.
const OFFER_WITHIN: Duration = Duration::from_secs(8);
/// So long others get to be elected in place of a node whose disk is full.
const OTHERS_WITHIN: Duration = Duration::from_secs(30);
/// Failed switchovers away from a full disk after which it is left to its crash.
const SWITCHOVERS_MAX: u32 = 2;

/// Before a node's part in the cluster: a leader whose disk is unfit ends its server.
pub(crate) fn step(case: &Case<'_>) -> Option<Step> {
    let why = unfit(case).filter(|_| case.view.store.leader_mine && has_heir(case))?;
    let runs = matches!(case.view.local.server, Server::Running(_) | Server::Unknown { .. });
    runs.then(|| {
        let end = Command::Stop(StopMode::Immediate);
        case.paced(Job::Stop, Step::act(Rule::EndUnfit, why, end))
    })
}

/// What `step`, decided from the node's part, becomes for the sake of its disk.
pub(crate) fn instead(case: &Case<'_>, step: Step) -> Step {
    if case.view.store.leader_mine {
        return leading(case, step);
    }
    let again = |command: &Command| match command {
        Command::TakeOver(order) => order.kind == ChangeKind::Restart,
        _ => false,
    };
    // On a full disk it can lead, so not for ever: perhaps nobody else is elected.
    let waited = case.passed(case.memory.leaderless.map(|(_, since)| since), OTHERS_WITHIN);
    let barred = stands_back(case).filter(|_| step.commands.iter().any(again));
    let barred = barred.filter(|_| !waited || unfit(case).is_some());
    barred.map_or(step, |why| Step::wait(Rule::NotEligible, why))
}

fn leading(case: &Case<'_>, step: Step) -> Step {
    let Some(why) = bars(case) else { return step };
    if step.reason.rule == Rule::Lead {
        return leave(case, why);
    }
    let starts = step.commands.iter().any(|c| matches!(c, Command::StartPrimary { .. }));
    let unread = unfit(case).is_some() && case.passed(case.memory.down_since, OFFER_WITHIN);
    let offered = case.view.store.handover.is_some();
    let down = case.view.local.server == Server::Down;
    let stands_back = stands_back(case).is_some();
    if down && !offered && stands_back && (starts || unread) {
        return Step::act(Rule::LetGo, why, Command::Release);
    }
    step
}

/// A primary with nothing else to do is switched over, from a disk that is full: the reserve gives
/// it the room to end well. From an unfit one it has been ended already, if anybody could take over.
fn leave(case: &Case<'_>, why: String) -> Step {
    let tries = case.view.failures.count(Job::Switchover);
    match lead::best_standby(case).ok().filter(|_| has_heir(case) && tries < SWITCHOVERS_MAX) {
        Some(to) => {
            let detail = format!("{why}; to `{to}`");
            let step = Step::act(Rule::LeaveFull, detail, Command::Switchover { to });
            case.paced(Job::Switchover, step)
        }
        None => Step::wait(Rule::NowhereToGo, why),
    }
}

/// Whether the lease is left to run out: no process may be left, and some may never end.
pub(crate) fn lapses(case: &Case<'_>) -> bool {
    let view = case.view;
    let ending = view.local.server != Server::Down;
    let late = case.passed(case.memory.down_since, OFFER_WITHIN);
    view.store.leader_mine
        && !view.store.paused
        && (ending || late)
        && unfit(case).is_some()
        && has_heir(case)
}

/// The same as a reason, where nothing else is to be done.
pub(crate) fn lapsing(case: &Case<'_>, step: Step) -> Step {
    match unfit(case).filter(|_| step.commands.is_empty() && lapses(case)) {
        Some(why) => Step { wake_at: step.wake_at, ..Step::wait(Rule::Lapse, why) },
        None => step,
    }
}

fn unfit(case: &Case<'_>) -> Option<String> {
    case.view.local.disk.unfit(case.view.settings.disk_stalled_after)
}

fn bars(case: &Case<'_>) -> Option<String> {
    case.view.local.disk.bars(case.view.settings.disk_stalled_after)
}

/// Why this node leaves the term to others. A server cannot run on an unfit disk. On a full one it
/// can, thanks to the reserve; in `async` only it has everything, so it starts.
fn stands_back(case: &Case<'_>) -> Option<String> {
    let quorum = case.view.settings.durability == Durability::Quorum;
    unfit(case).or_else(|| bars(case).filter(|_| quorum)).filter(|_| has_heir(case))
}

/// Enough nodes could say what they hold, and one of them has a well disk, to elect it if this one
/// let the term go.
fn has_heir(case: &Case<'_>) -> bool {
    let view = case.view;
    let Some(sync) = view.sync() else { return false };
    let up = |m: &&Member| {
        let up = matches!(m.server, ServerState::Streaming | ServerState::Standby);
        up && m.node != view.me
    };
    let counts = |m: &&Member| {
        let votes = m.directory.as_ref().is_some_and(|id| sync.voters.contains(id));
        votes || view.settings.durability == Durability::Async
    };
    let may_lead =
        |m: &&Member| m.disk.is_none() && !m.no_failover && !view.store.fenced.contains(&m.node);
    let others: Vec<&Member> = view.store.members.values().filter(up).filter(counts).collect();
    let wanted = match view.settings.durability {
        Durability::Async => 1,
        Durability::Quorum => (sync.voters.len() + 1).saturating_sub(sync.needed as usize),
    };
    others.len() >= wanted && others.iter().any(may_lead)
}
