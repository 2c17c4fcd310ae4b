//! Another node leads: take its offer, follow it, or repair this directory so that it can
//! (PROTOCOL sections 6.4 and 7).

use std::collections::BTreeSet;

use howdah_base::record::{ChangeKind, Handover, IntentKind, Leader, Member, ServerState};
use howdah_base::{NodeName, Position, Term};

use super::elect::{basis, next_sync};
use super::{Case, Step, ladder, receiver, revoke, upstream};
use crate::{
    Command, Directory, DirectoryFacts, Durability, Job, Rule, Running, Server, StopMode, TakeOver,
};

/// Failed rewinds after which a full copy is made.
const REWIND_FAILURES_MAX: u32 = 2;

pub(crate) fn step(case: &Case<'_>) -> Step {
    let view = case.view;
    let Some(leader) = view.leader() else {
        return Step::wait(Rule::AwaitLeader, "");
    };
    let source = Source::of(case, leader);
    let facts = match &view.local.directory {
        Directory::Ready(facts) if view.is_ours(facts) => facts,
        // Left by an initdb whose right had lapsed: of no worth, no cluster ever used it.
        _ => return new_directory(case, &source),
    };
    match &view.local.server {
        Server::Down => down(case, &source, facts),
        Server::Running(running) => accept_handover(case, facts, running)
            .or_else(|| promised(case, &source, facts))
            .unwrap_or_else(|| stream(case, &source, facts, running)),
        _ => Step::wait(Rule::AwaitServer, ""),
    }
}

/// The leader, as far as its member record tells.
struct Source<'a> {
    leader: &'a Leader,
    member: Option<&'a Member>,
}

impl<'a> Source<'a> {
    fn of(case: &'a Case<'_>, leader: &'a Leader) -> Source<'a> {
        Source { leader, member: case.view.store.members.get(&leader.node) }
    }

    /// Its server accepts writes; clients need not be let in yet.
    fn writes(&self) -> Option<&'a Member> {
        self.member.filter(|m| matches!(m.server, ServerState::Primary | ServerState::PrimaryGated))
    }

    /// Its gate is open, so its control file shows its timeline.
    fn open(&self) -> Option<&'a Member> {
        self.member.filter(|m| m.server == ServerState::Primary)
    }

    fn has_slot_for_me(&self, case: &Case<'_>) -> bool {
        let slot = self.member.zip(case.view.local.announced.as_ref());
        slot.is_some_and(|(member, id)| member.slots.contains(id))
    }

    /// Whom to stream from now.
    fn upstream(&self, case: &Case<'_>) -> (NodeName, Term) {
        let cascade = upstream::cascade(case, self.leader);
        cascade.unwrap_or_else(|| (self.leader.node.clone(), self.leader.term))
    }

    /// Its slot, wherever it streams from, is there.
    fn has_slot(&self, case: &Case<'_>) -> bool {
        self.upstream(case).0 != self.leader.node || self.has_slot_for_me(case)
    }
}

/// A server may still run on a directory that was deleted under it.
fn new_directory(case: &Case<'_>, source: &Source<'_>) -> Step {
    match &case.view.local.server {
        Server::Down => copy(source, case, Rule::Copy).recreating(),
        Server::Running(_) | Server::Unknown { .. } => {
            let stop = Command::Stop(StopMode::Fast);
            case.paced(Job::Stop, Step::act(Rule::StopForCopy, "", stop))
        }
        Server::Starting { .. } | Server::Stopping => Step::wait(Rule::AwaitServer, ""),
    }
}

fn copy(source: &Source<'_>, case: &Case<'_>, rule: Rule) -> Step {
    let Some(member) = source.open() else {
        return Step::wait(Rule::AwaitPrimary, format!("`{}`", source.leader.node));
    };
    if !source.has_slot_for_me(case) {
        return Step::wait(Rule::AwaitSlot, format!("`{}`", member.node));
    }
    if let Some(step) = ladder::instead_of_copy(case) {
        return step;
    }
    let from = upstream::copy_source(case, source.leader).unwrap_or(member).node.clone();
    let repository = case.view.settings.standbys_from_repository;
    let detail = copy_detail(&from, repository);
    let command = Command::Copy { from, term: source.leader.term, repository };
    case.paced(Job::Copy, Step::act(rule, detail, command))
}

fn copy_detail(from: &NodeName, repository: bool) -> String {
    if repository {
        format!("from the repository, else `{from}`")
    } else {
        format!("from `{from}`")
    }
}

/// A new copy by an operator's order: from the node that it names, which has been seen to be
/// able to give it, or from the repository, else as any other.
pub(crate) fn copy_by_order(
    case: &Case<'_>,
    leader: &Leader,
    named: Option<&NodeName>,
    ordered: bool,
) -> Step {
    let source = Source::of(case, leader);
    let mut step = copy(&source, case, Rule::ReinitOrdered).recreating();
    for command in &mut step.commands {
        if let Command::Copy { from, repository, .. } = command
            && (ordered || named.is_some())
        {
            if let Some(named) = named {
                from.clone_from(named);
            }
            *repository = ordered;
            step.reason.detail = copy_detail(from, ordered);
        }
    }
    step
}

/// Start as the leader's standby if this directory's end lies on the leader's history.
fn down(case: &Case<'_>, source: &Source<'_>, facts: &DirectoryFacts) -> Step {
    let view = case.view;
    let Some(end) = view.local.end else {
        return case.paced(Job::ReadEnd, Step::act(Rule::ReadOwnEnd, "", Command::ReadEnd));
    };
    let Some(history) = source.writes().and_then(|m| m.history.as_ref()) else {
        return Step::wait(Rule::AwaitPrimary, format!("`{}`", source.leader.node));
    };
    let out_of_reach = |needed: &Position| {
        let own = needed.timeline == end.timeline && needed.lsn <= end.lsn;
        !own && !history.contains(*needed)
    };
    if let Some(needed) = view.local.consistent.filter(out_of_reach) {
        // pg_rewind would have to recover it first, and cannot either.
        let why = format!("its pages need WAL up to {needed}");
        return repair(case, source, facts, &why, replace);
    }
    if !history.contains(end) || replaces(case, facts) {
        return repair(case, source, facts, &format!("its WAL ends at {end}"), rewind);
    }
    if !source.has_slot(case) {
        return Step::wait(Rule::AwaitSlot, format!("`{}`", source.leader.node));
    }
    if let Some(step) = promised(case, source, facts) {
        return step;
    }
    let upstream = source.upstream(case);
    let detail = format!("of `{}`", upstream.0);
    let command = Command::StartStandby { upstream: Some(upstream) };
    case.paced(Job::Start, Step::act(Rule::StartStandby, detail, command))
}

/// By `mend`; never while this directory may be the only one with a commit.
fn repair(
    case: &Case<'_>,
    source: &Source<'_>,
    facts: &DirectoryFacts,
    why: &str,
    mend: fn(&Case<'_>, &Source<'_>, &DirectoryFacts, &str) -> Step,
) -> Step {
    if let Some(step) = kept(case, facts, why) {
        return step;
    }
    if !case.is_parting_known() {
        return Step::wait(Rule::LeaveVoters, "the others are told first");
    }
    mend(case, source, facts, why)
}

/// Rewind, else copy.
fn rewind(case: &Case<'_>, source: &Source<'_>, facts: &DirectoryFacts, why: &str) -> Step {
    let Some(member) = source.open() else {
        return Step::wait(Rule::AwaitPrimary, format!("`{}`", source.leader.node));
    };
    let rewinds = case.view.local.attempts.rewinds;
    let failures = case.view.failures.count(Job::Rewind);
    if failures >= REWIND_FAILURES_MAX || rewinds >= ladder::REWINDS_MAX || replaces(case, facts) {
        return replace(case, source, facts, "");
    }
    let command = Command::Rewind { from: member.node.clone() };
    case.paced(Job::Rewind, Step::act(Rule::Rewind, why, command))
}

/// It may not receive from the leader's term: what it still does ends. Its answer is given although
/// nobody asks any more, for that is how a leader that lives learns that it is waited for.
fn promised(case: &Case<'_>, source: &Source<'_>, facts: &DirectoryFacts) -> Option<Step> {
    if revoke::may_receive(case.view, source.leader.term) {
        return None;
    }
    Some(revoke::read(case, facts).unwrap_or_else(|| revoke::waiting(case)))
}

/// A new directory in this one's place. Once it is given up nothing new is announced, or the
/// leader would keep WAL for it.
fn replace(case: &Case<'_>, source: &Source<'_>, _: &DirectoryFacts, why: &str) -> Step {
    let mut step = copy(source, case, Rule::CopyAnew);
    if step.reason.rule == Rule::CopyAnew && !why.is_empty() {
        step.reason.detail += &format!("; {why}");
    }
    if step.reason.rule == Rule::GiveUp { step } else { step.recreating() }
}

/// What keeps this directory from being touched, `why` being the wish to: it may be the only one
/// with a commit, or is a voter.
pub(crate) fn kept(case: &Case<'_>, facts: &DirectoryFacts, why: &str) -> Option<Step> {
    let Some((sync, leader)) = case.view.sync().zip(case.view.leader()) else {
        return Some(Step::wait(Rule::LastCopy, "the record `sync` is missing"));
    };
    if sync.directory == facts.id || sync.term != leader.term {
        return Some(Step::wait(Rule::LastCopy, why));
    }
    sync.voters.contains(&facts.id).then(|| Step::wait(Rule::LeaveVoters, why))
}

/// It was found out that this directory is of no use any more.
fn replaces(case: &Case<'_>, facts: &DirectoryFacts) -> bool {
    case.memory.replaces.as_ref() == Some(&facts.id)
}

/// A running standby: on the leader's history, on its slot, streaming.
fn stream(case: &Case<'_>, source: &Source<'_>, facts: &DirectoryFacts, running: &Running) -> Step {
    let name = format!("`{}`", source.leader.node);
    let Some(history) = source.writes().and_then(|m| m.history.as_ref()) else {
        return Step::wait(Rule::AwaitPrimary, name);
    };
    if !history.contains(running.position) {
        let detail = format!("its WAL ends at {}", running.position);
        return Step::act(Rule::StopDiverged, detail, Command::Stop(StopMode::Fast));
    }
    let wanted = source.upstream(case);
    let name = format!("`{}`", wanted.0);
    if running.upstream.as_ref() != Some(&wanted) {
        if !source.has_slot(case) {
            return Step::wait(Rule::AwaitSlot, name);
        }
        let command = Command::Follow { upstream: wanted };
        return case.paced(Job::Follow, Step::act(Rule::Follow, name, command));
    }
    match running.streaming {
        true => Step::wait(Rule::Standby, name),
        false => receiver::step(case, facts, name),
    }
}

/// The leader offers its term to this node, which has replayed everything up to its end.
fn accept_handover(case: &Case<'_>, facts: &DirectoryFacts, running: &Running) -> Option<Step> {
    let view = case.view;
    let offer = view.store.handover.as_ref().filter(|h| h.value.to == view.me)?;
    let leader = view.store.leader.as_ref()?;
    if offer.value.from != leader.value.node || offer.value.term != leader.value.term {
        return None;
    }
    let end = offer.value.end;
    let same = running.position.timeline == end.timeline;
    if same && running.replayed == end.lsn {
        return Some(take_offer(case, facts, &offer.value));
    }
    let may = revoke::may_receive(case.view, offer.value.term);
    if same && running.position.lsn < end.lsn && may {
        return Some(fetch(case, running, &offer.value));
    }
    // Exactly up to there: whoever has replayed more cannot fork where the leader's WAL ends.
    let detail = format!("{} of {end}", running.replayed);
    Some(Step::wait(Rule::AwaitReplay, detail))
}

/// The rest lies on the leader's disk.
fn fetch(case: &Case<'_>, running: &Running, offer: &Handover) -> Step {
    let lacks = offer.end.lsn.bytes_past(running.position.lsn);
    let command = Command::Fetch {
        from: offer.from.clone(),
        term: offer.term,
        end: offer.end,
        within: super::lead_down::offer_stands(offer),
    };
    let detail = format!("{lacks} bytes from `{}`", offer.from);
    case.paced(Job::Fetch, Step::act(Rule::FetchTail, detail, command))
}

fn take_offer(case: &Case<'_>, facts: &DirectoryFacts, offer: &Handover) -> Step {
    let view = case.view;
    let Some(sync) = view.sync() else {
        return Step::wait(Rule::AwaitLeader, "the record `sync` is missing");
    };
    let mut voters = sync.voters.clone();
    voters.remove(&facts.id);
    voters.insert(sync.directory.clone());
    if view.settings.durability == Durability::Async {
        voters = BTreeSet::new();
    }
    let next = next_sync(case, facts, sync, offer.end, voters);
    let asked = view.store.intent.as_ref();
    let switchover = asked.filter(|i| matches!(i.value.kind, IntentKind::Switchover { .. }));
    let order = TakeOver {
        intent_revision: switchover.map(|i| i.revision),
        kind: if switchover.is_some() { ChangeKind::Switchover } else { ChangeKind::Handover },
        begins: offer.end,
        loss: "none".to_owned(),
        ..basis(case, next)
    };
    let by = switchover.map(|intent| format!(", asked for by {}", intent.value.by));
    let ended = view.store.members.get(&offer.from).and_then(|m| m.ended.as_ref());
    let why = ended.and_then(|ended| ended.why.as_ref()).map(|why| format!("; there {why}"));
    let (by, why) = (by.unwrap_or_default(), why.unwrap_or_default());
    let detail = format!("from `{}` at {}{by}{why}", offer.from, offer.end);
    Step::act(Rule::AcceptHandover, detail, Command::TakeOver(order))
}
