//! The decision: phases in order of their weight, first match wins.

use howdah_base::Tick;
use howdah_base::record::{Ended, Report, Revocation};

use crate::lease;
use crate::rules::{
    Case, Step, bootstrap, disk, elect, follow, hung, lead, operator, revoke, safety,
};
use crate::{Command, Memory, Reason, Server, View};

/// What follows from a view.
#[derive(Clone, PartialEq, Debug)]
pub struct Decision {
    /// At most one long operation, and besides it perhaps a renewal.
    pub commands: Vec<Command>,
    pub reason: Reason,
    /// Decide again at this moment even if nothing has happened.
    pub wake_at: Option<Tick>,
    /// To publish in this node's member record.
    pub report: Option<Report>,
    pub ended: Option<Ended>,
    /// This node asks the voters to revoke the leader's term.
    pub revokes: Option<Revocation>,
    /// This node asks the leader to stop counting its directory.
    pub leaving: bool,
    /// Announce the identity of a new directory, in state `creating`: the present one, if there
    /// is any, is to be replaced.
    pub recreate: bool,
    /// The facts about the server are older than something that happened: look again now.
    pub look_again: bool,
}

/// Decides. Total: every view has a decision, and the same input gives the same output.
pub fn decide(memory: &mut Memory, view: &View, now: Tick) -> Decision {
    let over = lease::over_at(memory, view, now);
    let judged = lease::judge(view, over);
    let view = judged.as_ref();
    memory.note(view, now);
    let case = Case { view, memory, now };
    let step = safety::step(&case)
        .or_else(|| bootstrap::step(&case))
        .or_else(|| disk::step(&case))
        .or_else(|| hung::step(&case))
        .or_else(|| operator::step(&case))
        .unwrap_or_else(|| disk::instead(&case, by_authority(&case)));
    let step = disk::lapsing(&case, operator::paused(&case, step));
    let report = case.report();
    let look_again = report.is_none() && case.wants_report().is_some();
    let ended = ended(&case);
    let revokes = revoke::suspected(&case);
    let suspect_at = revoke::look_at(&case);
    let renew = renewal(&case);
    let mut wake_at = step.wake_at;
    if view.store.leader_mine {
        let due = renewal_due(&case);
        wake_at = Some(wake_at.map_or(due, |at| at.min(due)));
    }
    for moment in over.into_iter().chain(suspect_at) {
        wake_at = Some(wake_at.map_or(moment, |at| at.min(moment)));
    }
    memory.keep(&step.commands, &step.reason, view, now);
    memory.part(step.reason.rule, view);
    Decision {
        recreate: step.recreate,
        revokes,
        leaving: memory.parting,
        commands: renew.into_iter().chain(step.commands).collect(),
        reason: step.reason,
        wake_at,
        report,
        ended,
        look_again,
    }
}

/// The lease decides which part a node plays.
fn by_authority(case: &Case<'_>) -> Step {
    if case.view.store.leader_mine {
        return lead::step(case);
    }
    if let Some(step) = revoke::step(case) {
        return step;
    }
    if case.view.store.leader.is_none() { elect::step(case) } else { follow::step(case) }
}

/// A leader renews every `renew`, whatever else is going on.
fn renewal(case: &Case<'_>) -> Option<Command> {
    let store = &case.view.store;
    let due = store.renewed_at.is_none_or(|at| case.now >= at + case.view.settings.renew);
    // The lease was granted or prolonged while the key did not hang on it.
    let unproved = store
        .held_until
        .zip(store.renewed_at)
        .is_some_and(|(held, at)| held < at + case.view.settings.lease - case.view.settings.margin);
    let wanted = store.leader_mine && !disk::lapses(case);
    (wanted && (due || unproved) && !store.renewing).then_some(Command::Renew)
}

/// When a leader has to look after its lease. While a renewal is on its way nothing is to be sent,
/// but each time that one would be due others may have to be asked for time.
fn renewal_due(case: &Case<'_>) -> Tick {
    let (store, renew) = (&case.view.store, case.view.settings.renew);
    let due = store.renewed_at.map_or(case.now, |at| at + renew);
    if !store.renewing || due > case.now {
        return due;
    }
    let missed = case.now.since(due).as_millis() / renew.as_millis().max(1);
    due + renew * u32::try_from(missed + 1).unwrap_or(u32::MAX)
}

/// The leader's statement that its server has ended.
fn ended(case: &Case<'_>) -> Option<Ended> {
    let view = case.view;
    let leader = view.leader().filter(|_| view.store.leader_mine)?;
    let directory = view.directory().filter(|d| d.was_primary)?;
    let end = view.local.end.filter(|_| view.local.server == Server::Down)?;
    Some(Ended {
        term: leader.term,
        end,
        clean: directory.clean,
        why: case.memory.ended_for.clone(),
    })
}
