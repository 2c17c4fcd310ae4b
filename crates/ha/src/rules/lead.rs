//! This node holds the lease.

use std::collections::BTreeSet;

use howdah_base::record::{Intent, IntentKind, Member, Planned, ServerState, Sync};
use howdah_base::{DirectoryId, NodeName, Position, Term};

use super::{Case, Step, lead_down, upstream};
use crate::{Command, Job, Rule, Running, Server, StopMode, election, preflight, voters};

/// A planned switchover is begun at most so long after its moment, milliseconds.
const PLANNED_LATE_MAX_MS: u64 = 300_000;

pub(crate) fn step(case: &Case<'_>) -> Step {
    let view = case.view;
    let Some((sync, term)) = view.sync().zip(view.leader().map(|l| l.term)) else {
        return Step::wait(Rule::StoreForgot, "the record `sync` is missing");
    };
    match &view.local.server {
        Server::Down => settle(case, sync)
            .or_else(|| show_life(case, sync))
            .unwrap_or_else(|| lead_down::step(case)),
        Server::Running(running) if running.primary => lead(case, running, sync, term),
        Server::Running(running) => promote(case, running, sync, term),
        Server::Starting { .. } | Server::Unknown { .. } | Server::Stopping => {
            Step::wait(Rule::AwaitServer, "")
        }
    }
}

fn promote(case: &Case<'_>, running: &Running, sync: &Sync, term: Term) -> Step {
    let timeline = case.view.store.timeline;
    let (names, needed) = (sync.voters.clone(), sync.needed);
    // Where the new timeline will begin is not known yet: at this position or behind it.
    let is_before = |id: &DirectoryId| {
        let position = case.view.member_of(id).and_then(|member| member.position);
        position.is_some_and(|p| p.lsn <= running.position.lsn && running.history.contains(p))
    };
    let slots = wanted_slots(case, running, sync).into_iter().filter(is_before).collect();
    let command = Command::Promote { timeline, names, needed, term, slots };
    case.paced(Job::Promote, Step::act(Rule::Promote, format!("to timeline {timeline}"), command))
}

/// The server accepts writes: from its gate to its daily duties.
fn lead(case: &Case<'_>, running: &Running, sync: &Sync, term: Term) -> Step {
    if wrong_timeline(case, running, sync) {
        let detail = format!(
            "timeline {} instead of {}",
            running.history.timeline, case.view.store.timeline
        );
        return Step::act(Rule::WrongTimeline, detail, Command::Stop(StopMode::Fence));
    }
    settle(case, sync)
        .or_else(|| show_life(case, sync))
        .or_else(|| make_slots(case, running, sync, term))
        .or_else(|| voters::stand_alone(case, running, sync))
        .or_else(|| voters::lower(case, running, sync))
        .or_else(|| open_gate(case, sync))
        .or_else(|| raise_floor(case, running, sync))
        .or_else(|| operator(case))
        .or_else(|| voters::change(case, running, sync))
        .unwrap_or_else(|| Step::wait(Rule::Lead, format!("term {term}")))
}

/// Before anything follows from the record: a write of this node whose answer was lost may be
/// applied late. Every write of a leader compares `sync`, so a new revision refuses it.
pub(crate) fn settle(case: &Case<'_>, sync: &Sync) -> Option<Step> {
    (!case.memory.settled).then(|| {
        let next = Sync { revision: sync.revision + 1, ..sync.clone() };
        let step = Step::act(Rule::SettleRecord, "", Command::WriteSync(next));
        case.paced(Job::Txn, step)
    })
}

/// Voters that have promised to receive nothing more as the record stands do receive again once it
/// has changed, and no candidate takes over by what they said before (PROTOCOL 4.2).
fn show_life(case: &Case<'_>, sync: &Sync) -> Option<Step> {
    let standing = Some(sync.revocation());
    let others = case.view.store.members.values().filter(|m| m.node != case.view.me);
    let promised = |m: &Member| {
        let report = m.report.as_ref().filter(|report| report.term == sync.term);
        report.is_some_and(|report| report.revision == Some(sync.revision))
    };
    let by = others.filter(|m| m.revokes == standing || promised(m)).map(|m| &m.node).next()?;
    let next = Sync { revision: sync.revision + 1, ..sync.clone() };
    let step = Step::act(Rule::ShowLife, format!("by `{by}`"), Command::WriteSync(next));
    Some(case.paced(Job::Txn, step))
}

fn wrong_timeline(case: &Case<'_>, running: &Running, sync: &Sync) -> bool {
    let timeline = running.history.timeline;
    timeline > sync.floor.timeline && timeline != case.view.store.timeline
}

fn make_slots(case: &Case<'_>, running: &Running, sync: &Sync, term: Term) -> Option<Step> {
    let wanted = wanted_slots(case, running, sync);
    (wanted != case.view.local.slots).then(|| {
        let detail = format!("{} standbys", wanted.len());
        let command = Command::Slots { term, directories: wanted };
        case.paced(Job::Slots, Step::act(Rule::MakeSlots, detail, command))
    })
}

/// A slot for each directory that has proved to be on this history, for each voter, and for
/// those whose node is only away; none for directories that have been replaced.
fn wanted_slots(case: &Case<'_>, running: &Running, sync: &Sync) -> BTreeSet<DirectoryId> {
    let view = case.view;
    let mut wanted: BTreeSet<DirectoryId> = BTreeSet::new();
    let others = view.store.members.values().filter(|m| m.node != view.me);
    for member in others.filter(|m| !upstream::is_relayed(case, m)) {
        let Some(id) = &member.directory else { continue };
        let on_history = member.position.is_some_and(|p| running.history.contains(p));
        let to_be_copied = member.server == ServerState::Creating;
        if on_history || to_be_copied || sync.voters.contains(id) {
            wanted.insert(id.clone());
        }
    }
    let away = sync.voters.iter().chain(&view.local.slots);
    let relayed =
        |id: &DirectoryId| view.member_of(id).is_some_and(|m| upstream::is_relayed(case, m));
    wanted.extend(away.filter(|id| !voters::is_replaced(view, id) && !relayed(id)).cloned());
    wanted
}

fn open_gate(case: &Case<'_>, sync: &Sync) -> Option<Step> {
    (!case.view.local.gate_open).then(|| {
        let command = Command::OpenGate { voters: sync.voters.clone(), needed: sync.needed };
        let detail = format!("{} of {} voters", sync.needed, sync.voters.len());
        Step::act(Rule::OpenGate, detail, command)
    })
}

/// After a promotion the floor is where the new timeline begins: WAL of a dead branch with a
/// high LSN must not outrank the living one's (PROTOCOL section 8).
fn raise_floor(case: &Case<'_>, running: &Running, sync: &Sync) -> Option<Step> {
    let history = &running.history;
    let (_, fork) = history.forks.last().filter(|_| history.timeline > sync.floor.timeline)?;
    let floor = Position { timeline: history.timeline, lsn: *fork };
    let next = Sync { revision: sync.revision + 1, floor, ..sync.clone() };
    let step = Step::act(Rule::RaiseFloor, floor.to_string(), Command::WriteSync(next));
    Some(case.paced(Job::Txn, step))
}

/// What an operator asked for.
fn operator(case: &Case<'_>) -> Option<Step> {
    let view = case.view;
    let planned = view.store.planned.as_ref().filter(|_| view.store.intent.is_none());
    if let Some(planned) = planned.filter(|p| p.value.at_unix_ms <= view.wall_ms) {
        return Some(case.paced(Job::Txn, begin_planned(case, &planned.value)));
    }
    let intent = &view.store.intent.as_ref()?.value;
    Some(match switchover_target(case, intent) {
        Ok(to) => {
            let detail = format!("to `{to}`, asked for by {}", intent.by);
            Step::act(Rule::Switchover, detail, Command::Switchover { to })
        }
        Err(why) => Step::act(Rule::RefuseSwitchover, why.clone(), Command::ClearIntent(why)),
    })
}

/// A moment that is long past is not the one that was planned.
fn begin_planned(case: &Case<'_>, planned: &Planned) -> Step {
    let late_ms = case.view.wall_ms.saturating_sub(planned.at_unix_ms);
    if late_ms > PLANNED_LATE_MAX_MS {
        let why =
            format!("its moment passed {} s ago, when nothing could be begun", late_ms / 1000);
        return Step::act(Rule::RefuseSwitchover, why.clone(), Command::DropPlanned(why));
    }
    let detail = format!("asked for by {}", planned.by);
    Step::act(Rule::BeginPlanned, detail, Command::BeginPlanned)
}

fn switchover_target(case: &Case<'_>, intent: &Intent) -> Result<NodeName, String> {
    let IntentKind::Switchover { to } = &intent.kind else {
        return Err(format!("`{}` leads now; hint: howdah switchover", case.view.me));
    };
    if intent.sealed || case.memory.switchover_begun.as_ref() == Some(&intent.id) {
        let me = &case.view.me;
        return Err(format!(
            "it was begun, and did not end with another primary; hint: howdah logs {me}"
        ));
    }
    if case.view.is_late(intent) {
        return Err("it could not be begun in time".to_owned());
    }
    if let Some(why) = preflight::prevented(case.view) {
        return Err(why);
    }
    target(case, to.as_ref())
}

/// The standby that a switchover would go to by itself.
pub(crate) fn best_standby(case: &Case<'_>) -> Result<NodeName, String> {
    target(case, None)
}

/// The best standby, or the one named; why there is none otherwise.
fn target(case: &Case<'_>, to: Option<&NodeName>) -> Result<NodeName, String> {
    if to == Some(&case.view.me) {
        return Err(format!("`{}` is the primary already", case.view.me));
    }
    let mut barred = Vec::new();
    let mut fit: Vec<&Member> = Vec::new();
    let others = case.view.store.members.values().filter(|m| m.node != case.view.me);
    for member in others.filter(|m| !m.witness && (to.is_none() || to == Some(&m.node))) {
        match election::not_switchable(case.view, member) {
            None => fit.push(member),
            Some(why) => barred.push(format!("`{}`: {why}", member.node)),
        }
    }
    let best = fit.into_iter().max_by_key(|m| {
        (m.failover_priority, m.position.map(|p| p.lsn), std::cmp::Reverse(&m.node))
    });
    match (best, to) {
        (Some(best), _) => Ok(best.node.clone()),
        (None, Some(to)) if barred.is_empty() => Err(format!("no live node is named `{to}`")),
        (None, _) if barred.is_empty() => Err("there is no standby".to_owned()),
        (None, _) => Err(barred.join("; ")),
    }
}
