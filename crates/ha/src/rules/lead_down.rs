//! The leader's server has ended while its agent lives: hand the term over to a standby, else
//! start again in place (PROTOCOL section 6).
//!
//! A standby that holds everything comes first. One that lacks WAL fetches it from this node's
//! disk, within a bound, and unless a restart in place is expected to be quicker.

use std::time::Duration;

use howdah_base::record::{Handover, IntentKind, Member, ServerState};
use howdah_base::{NodeName, Position};

use super::{Case, Step, operator};
use crate::expected::{self, seconds};
use crate::{Command, DirectoryFacts, Durability, Job, Rule};

/// How long standbys get to say what they hold.
const CONFIRM_WAIT: Duration = Duration::from_millis(600);
/// The same after a clean shutdown that was asked for, where they are known to be near.
const CONFIRM_WAIT_PLANNED: Duration = Duration::from_secs(3);
/// How long an offer stands before it is taken back; longer by what is to be fetched.
const HANDOVER_WAIT: Duration = Duration::from_secs(4);
/// Offers for one end of the server.
const HANDOVER_ATTEMPTS_MAX: u32 = 2;
/// WAL, bytes, that the next leader may still have to fetch.
const TAIL_BYTES_MAX: u64 = 1 << 30;

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
        return start(case, facts, "");
    }
    match hand_over(case, end) {
        Ok(step) => step,
        Err(_) if view.store.fenced.contains(&view.me) => {
            Step::act(Rule::LetGo, "an operator fenced this node", Command::Release)
        }
        Err(why) => start(case, facts, &why),
    }
}

fn offered(case: &Case<'_>, offer: &Handover) -> Step {
    let (detail, wait) = (format!("to `{}`", offer.to), offer_stands(offer));
    if case.passed(case.memory.offered_since, wait) {
        return Step::act(Rule::WithdrawHandover, detail, Command::WithdrawHandover);
    }
    Step::wait(Rule::AwaitHandover, detail).until(case.now + wait)
}

/// How long an offer stands before it is taken back.
pub(crate) fn offer_stands(offer: &Handover) -> Duration {
    HANDOVER_WAIT + 2 * expected::catching_up(offer.behind)
}

/// A standby that may take the term, and what it has to do before.
struct Heir<'a> {
    member: &'a Member,
    /// WAL, bytes, that it has not got.
    lacks: u64,
    /// And that it has not replayed.
    unreplayed: u64,
}

/// Offers the term, or waits for an answer. Or why to start in place: one sentence at most.
fn hand_over(case: &Case<'_>, end: Position) -> Result<Step, String> {
    let whole = best(case, end, 0, HANDOVER_ATTEMPTS_MAX);
    let wait = match &whole {
        Some(heir) => await_preferred(case, heir.member, end),
        None => await_confirm(case),
    };
    if let Some(step) = wait {
        return Ok(step);
    }
    // Who has failed to take it once would have to fetch it all again.
    let heir = whole.or_else(|| best(case, end, TAIL_BYTES_MAX, 1)).ok_or_else(String::new)?;
    offer(case, end, &heir)
}

/// The preferred one of those that lack at most `lacks_max` bytes.
fn best<'a>(
    case: &'a Case<'_>,
    end: Position,
    lacks_max: u64,
    attempts_max: u32,
) -> Option<Heir<'a>> {
    if case.memory.handover_attempts >= attempts_max {
        return None;
    }
    let heir = |member: &'a Member| {
        let lacks = lacks(case, member, end)?;
        let replayed = member.replayed.map(|replayed| end.lsn.bytes_past(replayed));
        Some(Heir { member, lacks, unreplayed: replayed.unwrap_or(lacks) })
    };
    heirs(case)
        .filter_map(heir)
        .filter(|heir| heir.lacks <= lacks_max)
        .min_by_key(|heir| (preference(case, heir.member), heir.lacks, &heir.member.node))
}

fn offer(case: &Case<'_>, end: Position, heir: &Heir<'_>) -> Result<Step, String> {
    let (view, to) = (case.view, &heir.member.node);
    let leader = view.leader().ok_or_else(String::new)?;
    let handover = expected::handover(heir.lacks, heir.unreplayed);
    let mut times = String::new();
    if let Some(redo) = view.local.redo.filter(|_| !is_planned(case)) {
        let restart = expected::restart(end.lsn.bytes_past(redo));
        let (there, here) = (seconds(handover), seconds(restart));
        if restart < handover {
            return Err(format!("in some {here}; `{to}` would need {there}"));
        }
        times = format!(", in some {there}; a restart would need {here}");
    }
    let offer = Handover {
        term: leader.term,
        from: view.me.clone(),
        to: to.clone(),
        end,
        attempt: case.memory.handover_attempts + 1,
        behind: heir.lacks.max(heir.unreplayed),
    };
    let rest = match heir.lacks {
        0 => String::new(),
        lacks => format!(", which lacks {lacks} bytes"),
    };
    let detail = format!("to `{to}`{rest} at {end}{times}");
    Ok(Step::act(Rule::OfferHandover, detail, Command::OfferHandover(offer)))
}

/// Whom an operator named comes first, then the highest priority.
fn preference(case: &Case<'_>, member: &Member) -> (bool, u32) {
    (wanted_target(case) != Some(&member.node), u32::MAX - member.failover_priority)
}

/// The term does not go to whoever answers first while a preferred one may still answer.
fn await_preferred(case: &Case<'_>, best: &Member, end: Position) -> Option<Step> {
    let until = case.memory.ended_since? + confirm_wait(case);
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
    let until = case.memory.ended_since? + confirm_wait(case);
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
    others(case).filter(|m| !m.no_failover && m.disk.is_none() && !fenced.contains(&m.node))
}

fn start(case: &Case<'_>, facts: &DirectoryFacts, why: &str) -> Step {
    let view = case.view;
    let floor = view.sync().map(|s| s.floor.timeline);
    let unreserved = floor.is_some_and(|floor| facts.history.timeline > floor)
        && facts.history.timeline != view.store.timeline;
    let own = view.sync().is_some_and(|sync| sync.directory == facts.id);
    if unreserved && own && facts.history.timeline < view.store.timeline {
        // Promoted with the number of a term before, while it took this one: nothing that was
        // acknowledged is missing here, and the number that stands is its own.
        let start = Command::StartStandby { upstream: None };
        let detail = format!("from timeline {}, which is over", facts.history.timeline);
        return case.paced(Job::Start, Step::act(Rule::StartToPromote, detail, start));
    }
    if unreserved {
        let detail = format!("its timeline {} was never reserved", facts.history.timeline);
        return Step::act(Rule::LetGo, detail, Command::Release);
    }
    if case.is_tired() && has_heir(case) {
        let failures = view.failures.count(Job::Start);
        let detail = match case.keeps_crashing() {
            true => format!("{} crashes", view.local.attempts.crashes.len()),
            false => format!("{failures} failed starts"),
        };
        return Step::act(Rule::LetGo, detail, Command::Release);
    }
    let (names, needed) =
        view.sync().map_or_else(Default::default, |s| (s.voters.clone(), s.needed));
    let command = Command::StartPrimary { names, needed };
    case.paced(Job::Start, Step::act(Rule::StartPrimary, why, command))
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

fn confirms(case: &Case<'_>, member: &Member, end: Position) -> bool {
    lacks(case, member, end) == Some(0)
}

/// Bytes up to `end` that it has not got, by a report that was read after the end was announced.
/// `None`: it has not answered, or is on another timeline: what it has to fetch is not known.
fn lacks(case: &Case<'_>, member: &Member, end: Position) -> Option<u64> {
    let term = case.view.leader().map(|l| l.term);
    let report = member.report.as_ref().filter(|report| Some(report.term) == term)?;
    let same = report.position.timeline == end.timeline;
    same.then(|| end.lsn.bytes_past(report.position.lsn))
}

fn wanted_target<'a>(case: &'a Case<'_>) -> Option<&'a NodeName> {
    match &case.view.store.intent.as_ref()?.value.kind {
        IntentKind::Switchover { to } => to.as_ref(),
        IntentKind::Failover { .. } => None,
    }
}
