//! Where the planted mistakes stand: between what an agent knows and the real core, and between
//! the core's answer and what is done. Those in the model itself stand where they belong.

use std::borrow::Cow;

use howdah_base::record::{ChangeKind, Report, Revocation, ServerState, Sync};
use howdah_base::{DirectoryId, History, Lsn, Position, Term, Timeline};
use howdah_ha::{
    Command, Decision, Job, Rule, Running, Sender, Server, StopMode, SyncSetting, Versioned, View,
};
use howdah_store::{Compare, Txn};

use crate::Planted;
use crate::world::World;

impl World {
    /// The picture that the core is shown instead of the true one.
    pub(crate) fn shown<'a>(&mut self, node: usize, view: &'a View) -> Cow<'a, View> {
        if self.planted.is_empty() {
            return Cow::Borrowed(view);
        }
        if self.planted.has(Planted::Unsettled) {
            self.agent(node).memory.settled = true;
        }
        let (mut shown, now) = (view.clone(), self.local(node));
        let promised = view.sync().is_some_and(|sync| view.local.promise >= sync.revocation());
        for planted in self.planted.all() {
            if view.store.leader_mine {
                leading(planted, &mut shown);
                continue;
            }
            if view.store.leader.is_none() || promised {
                leaderless(planted, &mut shown);
            }
            if view.store.leader.is_some() {
                following(planted, &mut shown);
            }
        }
        // A renewal is taken for a sign that the promise is over.
        let beat = self.agent(node).memory.beat.map(|(_, at)| now.since(at) < view.settings.renew);
        if self.planted.has(Planted::PromiseTakenBack) && beat == Some(true) {
            shown.local.promise = Revocation::default();
        }
        Cow::Owned(shown)
    }

    /// What is done instead of what the core decided, knowing the true `view`.
    pub(crate) fn mistake(&mut self, view: &View, decision: &mut Decision) {
        for planted in self.planted.all() {
            mistaken_decision(planted, view, decision);
        }
    }

    /// The transaction that is sent instead.
    pub(crate) fn mistaken(&self, command: &Command, mut txn: Txn) -> Txn {
        if !matches!(command, Command::TakeOver(_)) {
            return txn;
        }
        if self.planted.has(Planted::BlindTakeover) {
            txn.compares
                .retain(|compare| !matches!(compare, Compare::Revision(key, _) if key == "sync"));
        }
        // Whatever stands there by now is taken for what was judged.
        if self.planted.has(Planted::StaleView) {
            let there = self.snapshot();
            for compare in &mut txn.compares {
                if let Compare::Revision(key, revision) = compare
                    && let Some(entry) = there.entries.get(key)
                {
                    *revision = entry.revision;
                }
            }
        }
        txn
    }

    /// The term in a slot's name.
    pub(crate) fn slot_term(&self, term: Term) -> Term {
        if self.planted.has(Planted::SlotOfAnyTerm) { Term(0) } else { term }
    }
}

/// What one mistake makes of a decision.
fn mistaken_decision(planted: Planted, view: &View, decision: &mut Decision) {
    let rule = decision.reason.rule;
    decision.commands.retain(|command| !left_out(planted, command));
    for command in &mut decision.commands {
        match command {
            Command::TakeOver(order) => {
                if order.kind == ChangeKind::Restart
                    && let Some(sync) = view.sync()
                {
                    order.sync.needed = sync.needed;
                    order.sync.floor = sync.floor;
                }
                if planted == Planted::SilentVoter
                    && order.kind == ChangeKind::Failover
                    && let Some(sync) = view.sync()
                {
                    let others = sync.voters.iter().filter(|id| **id != order.sync.directory);
                    order.sync.voters.extend(others.cloned());
                    order.sync.needed = order.sync.needed.max(1);
                }
                if planted == Planted::TimelineNotReserved
                    && let Some(running) = view.running()
                {
                    order.timeline = Timeline(running.history.timeline.0 + 1);
                }
            }
            Command::WriteSync(next) => {
                if let Some(other) = instead_of_record(planted, rule, view, next) {
                    *command = other;
                }
            }
            Command::SetSync { names, .. } if planted == Planted::RecordBeforeSetting => {
                let removes = |sync: &&Sync| names.is_subset(&sync.voters);
                let sync = view.sync().filter(|sync| !names.is_empty() && removes(sync));
                if let Some(sync) = sync.filter(|sync| sync.voters != *names) {
                    *command = Command::WriteSync(Sync {
                        revision: sync.revision + 1,
                        voters: names.clone(),
                        ..sync.clone()
                    });
                }
            }
            _ => {}
        }
    }
}

fn left_out(planted: Planted, command: &Command) -> bool {
    match planted {
        Planted::NoFence => *command == Command::Stop(StopMode::Fence),
        Planted::NoSameDirectory => {
            matches!(command, Command::TakeOver(order) if order.kind == ChangeKind::Restart)
        }
        _ => false,
    }
}

/// A change of the record by its leader: something else, or the record otherwise.
fn instead_of_record(
    planted: Planted,
    rule: Rule,
    view: &View,
    next: &mut Sync,
) -> Option<Command> {
    let sync = view.sync()?;
    let in_force = view.local.sync.as_ref().map(|setting| &setting.names);
    match (planted, rule) {
        (Planted::SettingBeforeAdding, Rule::AddVoter)
        | (Planted::SettingBeforeAlone, Rule::StandAlone)
            if in_force != Some(&next.voters) =>
        {
            let names = next.voters.clone();
            let needed = u32::from(!names.is_empty());
            return Some(Command::SetSync { names, needed });
        }
        (Planted::FloorKept, Rule::EndAlone | Rule::RemoveVoter) => next.floor = sync.floor,
        (Planted::NoNewTimeline, rule) if !matches!(rule, Rule::EndAlone | Rule::RemoveVoter) => {
            next.floor = sync.floor;
        }
        _ => {}
    }
    None
}

/// Nobody leads: mistakes of who stands for election.
fn leaderless(planted: Planted, view: &mut View) {
    match planted {
        Planted::QuorumOffByOne => {
            if let Some(sync) = &mut view.store.sync {
                sync.value.needed += u32::from(!sync.value.voters.is_empty());
            }
        }
        Planted::EarlyReport => hide_receiver(view),
        Planted::ReplayedAsEnd => {
            replayed_only(view);
        }
        Planted::FloorIgnored => floor_at(view, Some(Lsn(0))),
        Planted::FloorWithoutTimeline => floor_at(view, None),
        Planted::TimelineIgnored => {
            let Some(own) = view.running().map(|r| r.position.timeline) else { return };
            for report in view.store.members.values_mut().filter_map(|m| m.report.as_mut()) {
                report.position.timeline = own;
            }
        }
        Planted::VotersByName => by_name(view),
        Planted::GraceForgotten => view.local.held_back_until = None,
        Planted::NoObserverClock if view.store.leader.is_none() => view.store.beat = None,
        _ => {}
    }
}

fn replayed_only(view: &mut View) {
    let Some(running) = standby(view) else { return };
    running.position.lsn = running.replayed;
    let replayed = running.replayed;
    if let Some(end) = &mut view.local.end {
        end.lsn = replayed;
    }
}

fn standby(view: &mut View) -> Option<&mut Running> {
    match &mut view.local.server {
        Server::Running(running) if !running.primary => Some(running),
        _ => None,
    }
}

fn hide_receiver(view: &mut View) {
    if let Some(running) = standby(view) {
        (running.upstream, running.streaming) = (None, false);
    }
}

/// The floor is compared by its LSN alone, be it as it is or another one.
fn floor_at(view: &mut View, lsn: Option<Lsn>) {
    let Some(own) = view.running().map(|r| r.history.timeline) else { return };
    let Some(sync) = &mut view.store.sync else { return };
    let lsn = lsn.unwrap_or(sync.value.floor.lsn);
    sync.value.floor = Position { timeline: own, lsn };
    for report in view.store.members.values_mut().filter_map(|m| m.report.as_mut()) {
        report.history = History::root(own);
    }
}

/// A voter is whatever directory its node has now; one that has none says that it holds nothing.
fn by_name(view: &mut View) {
    let Some(sync) = &mut view.store.sync else { return };
    for member in view.store.members.values_mut() {
        let voter = sync.value.voters.iter().find(|id| id.is_of(&member.node)).cloned();
        let Some((voter, now)) = voter.zip(member.directory.clone()) else { continue };
        sync.value.voters.remove(&voter);
        sync.value.voters.insert(now);
        if member.report.is_none() && member.server == ServerState::Creating {
            member.report = Some(Report {
                term: view.store.term,
                position: Position { timeline: Timeline(1), lsn: Lsn(0) },
                history: History::root(Timeline(1)),
                revision: Some(sync.value.revision),
            });
        }
    }
}

/// This node leads: mistakes of who changes the record and the setting.
fn leading(planted: Planted, view: &mut View) {
    let down = view.local.server == Server::Down;
    match planted {
        // As if no write of its own had an unknown end.
        Planted::Unsettled => view.failures.clear(Job::Txn),
        Planted::FloorKept => {
            if let Some(SyncSetting { since, .. }) = &mut view.local.sync {
                *since = Lsn(0);
            }
        }
        Planted::NoNewTimeline => {
            let now = view.running().filter(|r| r.primary).map(|r| r.history.timeline);
            if let Some((sync, now)) = view.store.sync.as_mut().zip(now) {
                sync.value.floor.timeline = now;
            }
        }
        Planted::VoterFarBehind => pretend_near(view),
        Planted::DivergedStandby => {
            let begin = Position { timeline: Timeline(1), lsn: Lsn(0) };
            view.store.members.values_mut().for_each(|m| m.position = Some(begin));
        }
        Planted::InexactHandover if down => {
            let Some((end, term)) = view.local.end.zip(view.leader().map(|l| l.term)) else {
                return;
            };
            for report in view.store.members.values_mut().filter_map(|m| m.report.as_mut()) {
                if report.term == term {
                    report.position = end;
                }
            }
        }
        Planted::HandoverForgotten if down => view.store.handover = None,
        _ => {}
    }
}

/// Each standby with a slot streams, and has flushed as much as a voter must.
fn pretend_near(view: &mut View) {
    let Some(floor) = view.sync().map(|sync| sync.floor.lsn) else { return };
    let slots = view.local.slots.clone();
    let Server::Running(running) = &mut view.local.server else { return };
    for sender in &mut running.senders {
        sender.flushed = sender.flushed.max(floor);
    }
    let known: Vec<DirectoryId> = running.senders.iter().map(|s| s.directory.clone()).collect();
    let absent = slots.into_iter().filter(|id| !known.contains(id));
    let absent = absent.map(|directory| Sender { directory, streaming: true, flushed: floor });
    running.senders.extend(absent);
}

/// Another leads: mistakes of who follows it.
fn following(planted: Planted, view: &mut View) {
    let leader = view.leader().map(|leader| leader.node.clone());
    match planted {
        Planted::ReplayedAsEnd => replayed_only(view),
        Planted::RewindAsVoter => {
            let own = view.directory().map(|facts| facts.id.clone());
            if let Some((Versioned { value, .. }, own)) = view.store.sync.as_mut().zip(own) {
                value.voters.remove(&own);
            }
        }
        Planted::DivergedStandby => {
            let own = view.running().map(|r| r.history.clone());
            let own = own.or_else(|| view.directory().map(|facts| facts.history.clone()));
            let leader = leader.and_then(|leader| view.store.members.get_mut(&leader));
            if let Some(leader) = leader.filter(|leader| leader.history.is_some()) {
                leader.history = own;
            }
        }
        Planted::InexactHandover => {
            let end = view.store.handover.as_ref().map(|offer| offer.value.end);
            if let Some((running, end)) = standby(view).zip(end) {
                running.position.timeline = end.timeline;
                running.replayed = running.replayed.max(end.lsn);
            }
        }
        Planted::RewindEarly => {
            for member in view.store.members.values_mut() {
                if member.server == ServerState::PrimaryGated {
                    member.server = ServerState::Primary;
                }
            }
        }
        _ => {}
    }
}
