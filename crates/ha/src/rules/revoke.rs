//! Failover by revocation (PROTOCOL sections 4 and 5): enough voters promise to receive nothing
//! more from a term, so no commit of it that they lack can be acknowledged any more, whether or
//! not its leader still lives.
//!
//! Questions and answers are fields of the nodes' own records in the store, without which nobody
//! can take over anyway (docs/decisions/0008). A promise is about the record as it stood: a
//! leader that lives writes it anew, and with that voters may receive again and no candidate's
//! transaction succeeds.

use std::time::Duration;

use howdah_base::record::{Report, Revocation};
use howdah_base::{History, Position, Term, Tick};

use super::{Case, Step, elect, receives};
use crate::{Command, Directory, DirectoryFacts, Job, Rule, Server, StopMode, View};

/// Renewals that a leader may miss before it is suspected.
const MISSED_RENEWALS: u32 = 2;
/// Failovers within [`FLAP_WINDOW_MS`] after which a suspicion is not enough: the lease decides.
const FLAPS_MAX: usize = 3;
/// A server that starts for longer than this is ended when the others need its node's answer.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// Milliseconds.
const FLAP_WINDOW_MS: u64 = 600_000;

/// What a promise would be about now; `None` without voters, whose promises would end nothing.
pub(crate) fn standing(view: &View) -> Option<Revocation> {
    let sync = view.sync().filter(|sync| !sync.voters.is_empty())?;
    (sync.term == view.store.term).then(|| sync.revocation())
}

/// Whether this node may receive WAL of `term`: of a term above its promise, or of the same one
/// once its record has a revision that the promise did not know (PROTOCOL 4.2).
pub(crate) fn may_receive(view: &View, term: Term) -> bool {
    let promise = view.local.promise;
    let renewed = view.sync().is_some_and(|sync| sync.revocation() > promise);
    term > promise.term || (term == promise.term && renewed)
}

/// How long a leader may be silent before it is suspected.
pub(crate) fn suspect_after(view: &View) -> Duration {
    view.settings.renew * MISSED_RENEWALS
}

/// This node, a voter that could lead, has had no sign of the leader's life for long enough, by
/// two ways that do not depend on each other: the store, and the leader itself.
pub(crate) fn suspected(case: &Case<'_>) -> Option<Revocation> {
    let view = case.view;
    let wanted = standing(view).filter(|_| !view.store.leader_mine)?;
    view.leader()?;
    let after = suspect_after(view);
    let silent = case.passed(case.memory.signed_at(), after);
    // What the store says is fresh: it answers this node's own renewals.
    let fresh = view.store.renewed_at.is_some_and(|at| case.now.since(at) < after)
        && case.passed(case.memory.reachable_since, after);
    let unheard = case.passed(view.local.unheard, view.settings.renew / 2);
    let calm = view.store.handover.is_none() && !view.store.paused && !is_flapping(view);
    (silent && fresh && unheard && calm && could_lead(case)).then_some(wanted)
}

fn could_lead(case: &Case<'_>) -> bool {
    let view = case.view;
    let me = view.store.members.get(&view.me).is_some_and(|me| !me.no_failover);
    let voter = view.directory().zip(view.sync());
    let voter = voter.is_some_and(|(facts, sync)| sync.voters.contains(&facts.id));
    let up = matches!(view.local.server, Server::Running(_));
    me && voter && up && !view.store.fenced.contains(&view.me) && !is_held_back(case)
}

fn is_flapping(view: &View) -> bool {
    let recent = |at: &&u64| view.wall_ms < **at + FLAP_WINDOW_MS;
    view.store.failovers.iter().filter(recent).count() >= FLAPS_MAX
}

/// It has promised the leader to take part in no takeover yet.
pub(crate) fn is_held_back(case: &Case<'_>) -> bool {
    case.view.local.held_back_until.is_some_and(|until| until > case.now)
}

/// What it does instead: nobody is elected by its word, and it is not elected itself.
pub(crate) fn held_back(case: &Case<'_>) -> Option<Step> {
    let until = case.view.local.held_back_until.filter(|until| *until > case.now)?;
    Some(Step::wait(Rule::HeldBack, "").until(until))
}

/// When silence becomes suspicion, if nothing is heard until then.
pub(crate) fn look_at(case: &Case<'_>) -> Option<Tick> {
    let view = case.view;
    let at = case.memory.signed_at().filter(|_| !view.store.leader_mine)? + suspect_after(view);
    (standing(view).is_some() && at > case.now).then_some(at)
}

/// What this node is asked to promise: there is no leader, or a voter suspects it and this node
/// has seen no renewal lately either.
fn asked(case: &Case<'_>) -> Option<Revocation> {
    let view = case.view;
    let wanted = standing(view).filter(|_| !view.store.leader_mine && !is_concerned(view))?;
    if view.leader().is_none() || suspected(case).is_some() {
        return Some(wanted);
    }
    let silent = case.passed(case.memory.signed_at(), suspect_after(view) / 2);
    let others = view.store.members.values().filter(|m| m.node != view.me);
    let asked = others.filter(|m| m.revokes == Some(wanted)).count() > 0;
    (asked && silent && !view.store.paused).then_some(wanted)
}

/// It wrote the term itself, or is being handed it: it need not promise anything to anybody.
fn is_concerned(view: &View) -> bool {
    let wrote = view.directory().zip(view.sync()).is_some_and(|(d, sync)| d.id == sync.directory);
    let offer = view.store.handover.as_ref().filter(|_| view.leader().is_some());
    wrote || offer.is_some_and(|offer| offer.value.to == view.me)
}

/// What comes before an election, or before following a leader that may be gone.
pub(crate) fn step(case: &Case<'_>) -> Option<Step> {
    let view = case.view;
    let wanted = asked(case)?;
    let leaderless = view.leader().is_none();
    if let Some(step) = held_back(case) {
        return leaderless.then_some(step);
    }
    let Directory::Ready(facts) = &view.local.directory else { return None };
    if view.local.promise < wanted {
        let detail = format!("term {}, revision {}", wanted.term, wanted.revision);
        let step = Step::act(Rule::Promise, detail, Command::Promise(wanted));
        return Some(case.paced(Job::Promise, step));
    }
    read(case, facts).or_else(|| (!leaderless).then(|| candidacy(case, facts)))
}

/// A start may last as long as there is WAL to replay, and the others cannot wait for it: its
/// directory says as much while the server is down.
pub(crate) fn instead_of_start(case: &Case<'_>) -> Option<Step> {
    let view = case.view;
    let standby = matches!(view.local.server, Server::Starting { as_primary: false });
    let starts = view.job == Some(Job::Start) || (view.job.is_none() && standby);
    let long = case.passed(case.memory.starting_since, START_PATIENCE);
    if !starts || !long || view.store.paused || view.store.leader_mine {
        return None;
    }
    let stop = |rule| {
        let stop = Command::Stop(StopMode::Immediate);
        Some(case.paced(Job::Stop, Step::act(rule, "it is still starting", stop)))
    };
    if view.store.fenced.contains(&view.me) {
        return stop(Rule::FenceNode);
    }
    let wanted = asked(case).filter(|_| !is_held_back(case))?;
    if case.memory.start_ended_for == Some(wanted) {
        return None;
    }
    stop(Rule::EndStart)
}

/// Whether a start was given up for the question that stands: only who is elected tries again.
pub(crate) fn has_ended_start(case: &Case<'_>) -> bool {
    let wanted = standing(case.view);
    wanted.is_some() && case.memory.start_ended_for == wanted
}

/// Nothing is received any more, and the end of what was is read from the disk.
pub(crate) fn read(case: &Case<'_>, facts: &DirectoryFacts) -> Option<Step> {
    let view = case.view;
    let read = |rule| Some(case.paced(Job::ReadEnd, Step::act(rule, "", Command::ReadEnd)));
    match &view.local.server {
        Server::Running(running) if running.primary => None,
        Server::Running(running) if receives(running) => Some(detach(case)),
        Server::Running(_) if view.local.end.is_none() => read(Rule::ReadHeld),
        // Without a leader one that can be started is, to stand for election.
        Server::Down if view.leader().is_none() && !facts.was_primary => None,
        Server::Down if view.local.end.is_none() => read(Rule::ReadHeld),
        _ => None,
    }
}

pub(crate) fn detach(case: &Case<'_>) -> Step {
    case.paced(Job::Follow, Step::act(Rule::Detach, "", Command::Detach))
}

/// Whoever has promised may take over once enough have: who asked may not be the best.
fn candidacy(case: &Case<'_>, facts: &DirectoryFacts) -> Step {
    let Some(sync) = case.view.sync().filter(|_| could_lead(case)) else { return waiting(case) };
    let mut step = elect::stand(case, facts, sync);
    if step.commands.is_empty() && step.reason.rule != Rule::BackOff {
        let suspects = suspected(case).is_some();
        step.reason.rule = if suspects { Rule::Suspect } else { Rule::Revoked };
    }
    step
}

/// Neither received from nor replaced yet.
pub(crate) fn waiting(case: &Case<'_>) -> Step {
    let leader = case.view.leader().map(|leader| format!("`{}`, ", leader.node));
    let detail = format!("{}term {}", leader.unwrap_or_default(), case.view.local.promise.term);
    Step::wait(Rule::Revoked, detail)
}

/// The promise that stands, with what this directory holds: true for good, as nothing comes any
/// more. A server that is down answers from its disk.
pub(crate) fn answer(case: &Case<'_>) -> Option<Report> {
    let view = case.view;
    let wanted = standing(view).filter(|_| !view.store.leader_mine)?;
    if view.local.promise != wanted {
        return None;
    }
    let (position, history) = held(view)?;
    Some(Report { term: wanted.term, position, history, revision: Some(wanted.revision) })
}

/// The end of the WAL, with the history up to its timeline.
fn held(view: &View) -> Option<(Position, History)> {
    let end = view.local.end?;
    let facts = view.directory()?;
    let known = match &view.local.server {
        Server::Running(running) if running.primary || receives(running) => return None,
        Server::Running(running) if running.history.timeline >= end.timeline => &running.history,
        Server::Running(_) | Server::Down => &facts.history,
        _ => return None,
    };
    let before = known.forks.iter().filter(|(timeline, _)| *timeline < end.timeline);
    let history = History { timeline: end.timeline, forks: before.copied().collect() };
    (known.timeline >= end.timeline).then_some((end, history))
}
