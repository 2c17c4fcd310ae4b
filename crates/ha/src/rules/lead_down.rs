//! The leader's server has ended while its agent lives: hand the term over to a standby that
//! holds everything, else start again in place (PROTOCOL section 6).

use std::time::Duration;

use howdah_base::record::{Handover, IntentKind, Member, ServerState};
use howdah_base::{NodeName, Position};

use super::{Case, Step, operator};
use crate::{Command, DirectoryFacts, Durability, Job, Rule};

/// How long standbys get to say that they hold everything.
const CONFIRM_WAIT: Duration = Duration::from_millis(600);
/// The same after a clean shutdown that was asked for, where they are known to be near.
const CONFIRM_WAIT_PLANNED: Duration = Duration::from_secs(3);
/// How long an offer stands before it is taken back.
const HANDOVER_WAIT: Duration = Duration::from_secs(4);
/// Offers for one end of the server.
const HANDOVER_ATTEMPTS_MAX: u32 = 2;

pub(crate) fn step(case: &Case<'_>) -> Step {
    let view = case.view;
    let Some(facts) = view.directory() else {
        return Step::act(Rule::LetGo, "the directory is not usable", Command::Release);
    };
    let Some(end) = view.local.end else {
        return case.paced(Job::ReadEnd, Step::act(Rule::ReadEnd, "", Command::ReadEnd));
    };
    if let Some(offer) = &view.store.handover {
        return offered(case, &offer.value);
    }
    if !facts.was_primary {
        let start = Command::StartStandby { upstream: None };
        return case.paced(Job::Start, Step::act(Rule::StartToPromote, "", start));
    }
    if operator::restarts(case) && !is_planned(case) {
        return start(case, facts);
    }
    let handed = hand_over(case, end).or_else(|| await_confirm(case));
    handed.unwrap_or_else(|| match view.store.fenced.contains(&view.me) {
        true => Step::act(Rule::LetGo, "an operator fenced this node", Command::Release),
        false => start(case, facts),
    })
}

fn offered(case: &Case<'_>, offer: &Handover) -> Step {
    let detail = format!("to `{}`", offer.to);
    if case.passed(case.memory.offered_since, HANDOVER_WAIT) {
        return Step::act(Rule::WithdrawHandover, detail, Command::WithdrawHandover);
    }
    Step::wait(Rule::AwaitHandover, detail).until(case.now + HANDOVER_WAIT)
}

/// Offers the term to the preferred one of those that hold everything up to `end`.
fn hand_over(case: &Case<'_>, end: Position) -> Option<Step> {
    let view = case.view;
    if case.memory.handover_attempts >= HANDOVER_ATTEMPTS_MAX {
        return None;
    }
    let leader = view.leader()?;
    let best = heirs(case)
        .filter(|m| confirms(case, m, end))
        .min_by_key(|m| (preference(case, m), &m.node))?;
    if let Some(step) = await_preferred(case, best, end) {
        return Some(step);
    }
    let offer = Handover {
        term: leader.term,
        from: view.me.clone(),
        to: best.node.clone(),
        end,
        attempt: case.memory.handover_attempts + 1,
    };
    let detail = format!("to `{}` at {end}", best.node);
    Some(Step::act(Rule::OfferHandover, detail, Command::OfferHandover(offer)))
}

/// Whom an operator named comes first, then the highest priority.
fn preference(case: &Case<'_>, member: &Member) -> (bool, u32) {
    (wanted_target(case) != Some(&member.node), u32::MAX - member.failover_priority)
}

/// The term does not go to whoever answers first while a preferred one may still answer.
fn await_preferred(case: &Case<'_>, best: &Member, end: Position) -> Option<Step> {
    let until = case.memory.down_since? + confirm_wait(case);
    let better = heirs(case).find(|m| {
        is_up(m) && !confirms(case, m, end) && preference(case, m) < preference(case, best)
    })?;
    let detail = format!("`{}` is preferred to `{}`", better.node, best.node);
    (case.now < until).then(|| Step::wait(Rule::AwaitConfirm, detail).until(until))
}

/// Standbys that stream may hold everything: their answer is waited for, within a bound.
fn await_confirm(case: &Case<'_>) -> Option<Step> {
    let term = case.view.leader()?.term;
    let planned = is_planned(case);
    let until = case.memory.down_since? + confirm_wait(case);
    let silent = heirs(case).any(|m| {
        let answered = m.report.as_ref().is_some_and(|r| r.term == term);
        is_up(m) && (planned || !answered)
    });
    (silent && case.now < until).then(|| Step::wait(Rule::AwaitConfirm, "").until(until))
}

/// The server did not end by itself, but for another to take over.
fn is_planned(case: &Case<'_>) -> bool {
    let store = &case.view.store;
    let sealed = store.intent.as_ref().is_some_and(|intent| intent.value.sealed);
    sealed || case.memory.switchover_begun.is_some() || store.fenced.contains(&case.view.me)
}

fn confirm_wait(case: &Case<'_>) -> Duration {
    if is_planned(case) { CONFIRM_WAIT_PLANNED } else { CONFIRM_WAIT }
}

fn is_up(member: &Member) -> bool {
    matches!(member.server, ServerState::Streaming | ServerState::Standby)
}

/// Those who may take the term at all.
fn heirs<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a Member> {
    let fenced = &case.view.store.fenced;
    others(case).filter(|m| !m.no_failover && !fenced.contains(&m.node))
}

fn start(case: &Case<'_>, facts: &DirectoryFacts) -> Step {
    let view = case.view;
    let floor = view.sync().map(|s| s.floor.timeline);
    let unreserved = floor.is_some_and(|floor| facts.history.timeline > floor)
        && facts.history.timeline != view.store.timeline;
    if unreserved {
        let detail = format!("its timeline {} was never reserved", facts.history.timeline);
        return Step::act(Rule::LetGo, detail, Command::Release);
    }
    if case.is_tired() && has_heir(case) {
        let failures = view.failures.count(Job::Start);
        return Step::act(Rule::LetGo, format!("{failures} failed starts"), Command::Release);
    }
    let (names, needed) =
        view.sync().map_or_else(Default::default, |s| (s.voters.clone(), s.needed));
    let command = Command::StartPrimary { names, needed };
    case.paced(Job::Start, Step::act(Rule::StartPrimary, "", command))
}

/// Somebody could be elected if this node let the lease go.
fn has_heir(case: &Case<'_>) -> bool {
    let view = case.view;
    others(case).any(|m| {
        let votes = m.directory.as_ref().zip(view.sync());
        let votes = votes.is_some_and(|(id, sync)| sync.voters.contains(id));
        let counts = votes || view.settings.durability == Durability::Async;
        counts && !m.no_failover && m.position.is_some()
    })
}

fn others<'a>(case: &'a Case<'_>) -> impl Iterator<Item = &'a Member> {
    case.view.store.members.values().filter(|m| m.node != case.view.me)
}

/// Its report, read after the end was announced, covers `end` on the same timeline.
fn confirms(case: &Case<'_>, member: &Member, end: Position) -> bool {
    let term = case.view.leader().map(|l| l.term);
    member.report.as_ref().is_some_and(|report| {
        Some(report.term) == term
            && report.position.timeline == end.timeline
            && report.position.lsn >= end.lsn
    })
}

fn wanted_target<'a>(case: &'a Case<'_>) -> Option<&'a NodeName> {
    match &case.view.store.intent.as_ref()?.value.kind {
        IntentKind::Switchover { to } => to.as_ref(),
        IntentKind::Failover { .. } => None,
    }
}
