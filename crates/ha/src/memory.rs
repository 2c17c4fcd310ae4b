//! What the core remembers between decisions. Losing it (an agent restart) costs time, never
//! safety: everything that safety depends on is in the store, on the disk, or with the guard.

use std::collections::BTreeMap;

use howdah_base::record::Revocation;
use howdah_base::{DirectoryId, Lsn, NodeName, Term, Tick};

use crate::rules::revoke;
use crate::{Command, Job, Reason, Rule, Server, StopMode, View, voters};

/// Carried from one decision to the next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Memory {
    /// Since when no leader has been seen after this term.
    pub leaderless: Option<(Term, Tick)>,
    /// Since when the leader has said that its server ended in this term.
    pub leader_ended: Option<(Term, Tick)>,
    /// The last renewal of a leader that was seen, by its revision, and when.
    pub beat: Option<(u64, Tick)>,
    /// The last revision of `sync` that was seen, and when.
    pub record_seen: Option<(u64, Tick)>,
    /// Since when the store has answered without a break.
    pub reachable_since: Option<Tick>,
    /// The last leader, and the last position that it recorded.
    pub leader_seen: Option<(Term, NodeName, Lsn)>,
    /// Since when its server has been starting.
    pub starting_since: Option<Tick>,
    /// The question for which a start was given up: not twice for the same one.
    pub start_ended_for: Option<Revocation>,
    /// As leader: since when this node's own server has been down.
    pub down_since: Option<Tick>,
    /// As leader: since when the end of its WAL has been known besides: only then can a standby say
    /// whether it holds everything.
    pub ended_since: Option<Tick>,
    /// Since when its standby has not streamed from its upstream.
    pub unstreamed_since: Option<Tick>,
    /// A directory of this node that is to be replaced: the WAL that it needs is gone.
    pub replaces: Option<DirectoryId>,
    /// Why this node has ended its own server, which could not do its work any more.
    pub ended_for: Option<String>,
    /// As leader: since when the hand-over has been on offer.
    pub offered_since: Option<Tick>,
    /// How many were offered since the server last ran.
    pub handover_attempts: u32,
    /// As leader: since when no voter has streamed.
    pub voterless_since: Option<Tick>,
    /// As leader: since when fewer voters have streamed than are needed.
    pub short_since: Option<Tick>,
    /// As leader: since when enough voters have streamed for as many to confirm as there should.
    pub enough_since: Option<Tick>,
    /// As leader: when the setting was told to ask for more of them than the record.
    pub raising_since: Option<Tick>,
    /// As leader: voters that do not stream, and since when.
    pub absent: BTreeMap<DirectoryId, Tick>,
    /// The operator's switchover that has been begun, by its id.
    pub switchover_begun: Option<String>,
    /// This node has offered its term to another, and its server has not run since.
    pub handed_over: bool,
    /// The revision of `sync` that this node writes, or has written.
    pub sync_written: Option<u64>,
    /// This node's directory is to be repaired or replaced: the leader must not count it, also not
    /// again once it has stopped to.
    pub parting: bool,
    /// As leader: `sync` stands as this node wrote it, and no later write has an unknown end.
    pub settled: bool,
}

impl Memory {
    /// Takes in what the view shows, before deciding.
    pub(crate) fn note(&mut self, view: &View, now: Tick) {
        let starting = matches!(view.local.server, Server::Starting { .. });
        let starting = starting || view.job == Some(Job::Start);
        self.starting_since = starting.then(|| self.starting_since.unwrap_or(now));
        if !view.store.reachable {
            self.reachable_since = None;
            return;
        }
        self.reachable_since = Some(self.reachable_since.unwrap_or(now));
        let revision = view.sync().map(|sync| sync.revision);
        let seen = self.record_seen.filter(|(seen, _)| Some(*seen) == revision);
        self.record_seen = seen.or(revision.map(|revision| (revision, now)));
        self.note_leader(view, now);
        self.note_record(view);
        let down = view.local.server == Server::Down && view.store.leader_mine;
        self.down_since = down.then(|| self.down_since.unwrap_or(now));
        let ended = down && view.local.end.is_some();
        self.ended_since = ended.then(|| self.ended_since.unwrap_or(now));
        if !view.store.leader_mine || view.running().is_some_and(|r| r.primary) {
            self.handover_attempts = 0;
        }
        let offer = view.store.handover.as_ref().filter(|_| view.store.leader_mine);
        self.offered_since = offer.map(|_| self.offered_since.unwrap_or(now));
        self.note_voters(view, now);
        let standby = view.running().filter(|running| !running.primary && !running.streaming);
        let lacks = standby.is_some_and(|standby| standby.upstream.is_some());
        self.unstreamed_since = lacks.then(|| self.unstreamed_since.unwrap_or(now));
        self.handed_over &= view.running().is_none();
        let asked = view.store.intent.as_ref().map(|intent| &intent.value.id);
        self.switchover_begun = self.switchover_begun.take().filter(|id| Some(id) == asked);
    }

    fn note_leader(&mut self, view: &View, now: Tick) {
        let term = view.store.term;
        let Some(leader) = view.leader() else {
            let known = self.leaderless.filter(|(t, _)| *t == term);
            self.leaderless = Some(known.unwrap_or((term, now)));
            return;
        };
        self.leaderless = None;
        let member = view.store.members.get(&leader.node);
        let ended = member.and_then(|m| m.ended.as_ref()).filter(|e| e.term == leader.term);
        let known = self.leader_ended.filter(|(t, _)| *t == leader.term);
        self.leader_ended = ended.map(|_| known.unwrap_or((leader.term, now)));
        if let Some(position) = member.and_then(|m| m.position) {
            self.leader_seen = Some((leader.term, leader.node.clone(), position.lsn));
        }
    }

    /// A transaction without an answer may be applied at any later time, until what it compares
    /// has changed; an agent that starts does not know what the last one had on its way.
    fn note_record(&mut self, view: &View) {
        if view.failures.count(Job::Txn) > 0 || !view.store.leader_mine {
            self.settled = false;
        } else if view.sync().map(|sync| sync.revision) == self.sync_written {
            self.settled = true;
        }
    }

    fn note_voters(&mut self, view: &View, now: Tick) {
        let primary = view.running().filter(|running| running.primary);
        let have = view.sync().zip(primary).filter(|(sync, _)| !sync.voters.is_empty());
        let have = have.map(|(sync, r)| (voters::streaming(r, sync).count(), sync.needed as usize));
        self.note_absent(view, now);
        let lost = have.is_some_and(|(streaming, _)| streaming == 0);
        self.voterless_since = lost.then(|| self.voterless_since.unwrap_or(now));
        let short = have.is_some_and(|(streaming, needed)| streaming < needed);
        self.short_since = short.then(|| self.short_since.unwrap_or(now));
        let all = view.sync().map_or(0, |sync| sync.voters.len());
        let wanted = voters::needed_of(all) as usize;
        let enough = have.is_some_and(|(streaming, _)| streaming >= wanted);
        self.enough_since = enough.then(|| self.enough_since.unwrap_or(now));
    }

    fn note_absent(&mut self, view: &View, now: Tick) {
        let primary = view.running().filter(|running| running.primary);
        let voters = view.sync().zip(primary).map(|(sync, running)| {
            let streams = |id: &DirectoryId| {
                running.senders.iter().any(|s| s.streaming && s.directory == *id)
            };
            sync.voters.iter().filter(|id| !streams(id)).cloned().collect::<Vec<_>>()
        });
        let since = |id: DirectoryId| {
            let since = self.absent.get(&id).copied().unwrap_or(now);
            (id, since)
        };
        self.absent = voters.unwrap_or_default().into_iter().map(since).collect();
    }

    /// Takes in by which rule it was decided.
    pub(crate) fn part(&mut self, rule: Rule, view: &View) {
        use Rule::*;
        match rule {
            LeaveVoters | ReinitOrdered | Rewind | CopyAnew => self.parting = true,
            StartStandby | Follow | AwaitStream | Standby | TakeOver | AcceptHandover => {
                self.parting = false;
            }
            _ => self.parting &= !view.store.leader_mine,
        }
    }

    /// When the leader last gave a sign of life in the store, a renewal or a rewritten record;
    /// `None` when it marks none.
    pub(crate) fn signed_at(&self) -> Option<Tick> {
        let (_, beat) = self.beat?;
        Some(self.record_seen.map_or(beat, |(_, at)| at.max(beat)))
    }

    /// Takes in what has been decided.
    pub(crate) fn keep(&mut self, commands: &[Command], reason: &Reason, view: &View, now: Tick) {
        for command in commands {
            match command {
                Command::Stop(_) if reason.rule == Rule::EndStart => {
                    self.start_ended_for = revoke::standing(view);
                }
                Command::Stop(StopMode::Immediate) => self.ended_for = Some(reason.to_string()),
                Command::Stop(StopMode::Fast) if reason.rule == Rule::WalGone => {
                    self.replaces = view.directory().map(|facts| facts.id.clone());
                }
                Command::StartPrimary { .. } | Command::StartStandby { .. } => {
                    self.ended_for = None;
                }
                Command::SetSync { needed, .. } => {
                    let raises = view.sync().is_some_and(|sync| *needed > sync.needed);
                    self.raising_since = raises.then_some(now);
                }
                Command::WriteSync(sync) | Command::Retake(sync) => {
                    self.sync_written = Some(sync.revision);
                    self.raising_since = None;
                }
                Command::TakeOver(order) => self.sync_written = Some(order.sync.revision),
                Command::RecordInitialize { sync, .. } => {
                    self.sync_written = Some(sync.revision);
                }
                Command::OfferHandover(_) => {
                    self.handover_attempts += 1;
                    self.handed_over = true;
                }
                Command::Switchover { .. } => {
                    self.switchover_begun = view.store.intent.as_ref().map(|i| i.value.id.clone());
                }
                _ => {}
            }
        }
    }
}
