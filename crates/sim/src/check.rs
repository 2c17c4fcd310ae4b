//! What must hold at every moment, and at the end (PROTOCOL section 9).

use std::collections::{BTreeMap, BTreeSet};

use howdah_base::record::{Change, ChangeKind, Intent, IntentKind, Leader, Revocation, Sync, key};
use howdah_base::{DirectoryId, NodeName, Term, Tick, Timeline};
use howdah_store::Snapshot;

use crate::disk::Data;
use crate::server::Stage;
use crate::world::World;

/// A cluster counts as healed no earlier than this after the last fault, ms.
const SETTLED_MS: u64 = 2_000;

/// Keys of which a change is looked at: reading every record at each change costs too much.
const WATCHED: [&str; 7] =
    [key::LEADER, key::TERM, key::TIMELINE, key::SYNC, key::INTENT, key::PAUSE, key::HISTORY];

/// What the checker has seen so far.
#[derive(Debug)]
pub(crate) struct Checker {
    pub wrong: Option<String>,
    pub acknowledged: Vec<Acknowledged>,
    /// By node: when its server began to accept writes, and must be judged.
    open: Vec<Writes>,
    pub term: u64,
    pub timeline: u32,
    /// The revisions at which what is watched was last changed.
    marks: [u64; WATCHED.len()],
    revision: u64,
    /// Timelines that a server was promoted to.
    promoted: BTreeSet<Timeline>,
    pub sync: Option<Sync>,
    leader: Option<Leader>,
    /// The operator's request and the pause, as they stood before the last change.
    intent: Option<Intent>,
    paused: bool,
    /// Directories of voters that were deleted under the cluster: they held what they had
    /// confirmed, and never answer again.
    pub deleted: BTreeSet<DirectoryId>,
    /// Requests of which an operator was told that they are given up.
    given_up: BTreeSet<String>,
    /// A leader lost its lease because the store did not answer it in time.
    pub lapsed: bool,
    /// Whose lease the store ended before its time, and until when its right runs, true time.
    early: Option<(usize, u64)>,
    /// Whose terms the voters revoked, and until when the right of each may run, by its own clock.
    revoked: BTreeMap<usize, Tick>,
    /// By node: the promise of which it has told.
    pub answered: Vec<Revocation>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Writes {
    No,
    /// Has begun to accept writes at this step.
    Fresh,
    Judged,
}

/// A commit that a client was told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acknowledged {
    pub row: u64,
    pub lsn: u64,
    pub timeline: Timeline,
    pub at: u64,
}

impl Checker {
    pub fn new(nodes: usize) -> Checker {
        Checker {
            wrong: None,
            acknowledged: Vec::new(),
            open: vec![Writes::No; nodes],
            term: 0,
            timeline: 0,
            marks: [0; WATCHED.len()],
            revision: 0,
            promoted: BTreeSet::new(),
            sync: None,
            leader: None,
            intent: None,
            paused: false,
            deleted: BTreeSet::new(),
            given_up: BTreeSet::new(),
            lapsed: false,
            early: None,
            revoked: BTreeMap::new(),
            answered: vec![Revocation::default(); nodes],
        }
    }

    pub fn ended_early(&mut self, node: usize, until: u64) {
        self.early = Some((node, until));
    }

    pub fn opened(&mut self, node: usize) {
        self.open[node] = Writes::Fresh;
    }

    pub fn closed(&mut self, node: usize) {
        self.open[node] = Writes::No;
    }

    pub fn promoted(&mut self, node: usize, timeline: Timeline) {
        if !self.promoted.insert(timeline) {
            self.found(format!("n{} was promoted to timeline {timeline} again", node + 1));
        }
    }

    pub fn leads(&self, node: &NodeName) -> bool {
        self.leader.as_ref().is_some_and(|leader| leader.node == *node)
    }

    pub fn gave_up(&mut self, intent: Option<Intent>) {
        self.given_up.extend(intent.map(|intent| intent.id));
    }

    /// A primary is about to be shut down for this request.
    pub fn begins(&mut self, intent: &Intent) {
        if self.given_up.contains(&intent.id) {
            self.found(format!("a switchover that was given up is carried out: {intent:?}"));
        }
    }

    /// A pause that has been answered holds: only an operator makes another node the leader.
    fn check_pause(&mut self, snapshot: &Snapshot) {
        let intent = snapshot.get::<Intent>(key::INTENT).ok().flatten().map(|(intent, _)| intent);
        let before = std::mem::replace(&mut self.intent, intent);
        let paused = snapshot.entries.contains_key(key::PAUSE);
        let was_paused = std::mem::replace(&mut self.paused, paused);
        let history = snapshot.get::<Vec<Change>>(key::HISTORY).ok().flatten();
        let last = history.and_then(|(mut history, _)| history.pop());
        let Some(last) = last.filter(|last| last.term.0 > self.term && was_paused) else { return };
        let asked = before.is_some_and(
            |intent| matches!(intent.kind, IntentKind::Failover { to, .. } if to == last.leader),
        );
        if last.kind == ChangeKind::Failover && !asked {
            self.found(format!("a failover although the cluster is paused: {last:?}"));
        }
    }

    pub fn found(&mut self, wrong: String) {
        self.wrong.get_or_insert(wrong);
    }
}

impl World {
    /// After each step.
    pub(crate) fn check(&mut self) {
        for node in 0..self.nodes.len() {
            if !self.nodes[node].accepts_writes() {
                continue;
            }
            self.check_right(node);
            self.check_condition_c(node);
            // One that woke up in the middle of its start, deposed meanwhile, lets nobody in.
            let leads = self.checker.leads(&self.nodes[node].name);
            if self.checker.open[node] == Writes::Fresh && leads {
                self.checker.open[node] = Writes::Judged;
                if self.keeps_everything() {
                    self.check_holds_all(node, "the new primary");
                }
            }
        }
    }

    /// In `async` only while every end of a server left its disk within reach, and its leader too.
    pub(crate) fn keeps_everything(&self) -> bool {
        self.plan.quorum || self.plan.only_crashes() && !self.checker.lapsed
    }

    /// A1: who accepts writes holds the leader key, by the store's own clock. Whose key the store
    /// lost may go on until its time is over; so may one whose term the voters revoked: that no
    /// commit of it is acknowledged which its successor lacks is checked with each commit.
    fn check_right(&mut self, node: usize) {
        let holds = self.checker.leads(&self.nodes[node].name);
        let early = self.checker.early.is_some_and(|(n, until)| n == node && self.now <= until);
        // In `async` nothing is asked of voters: nobody may lead beside it.
        let early = early && (self.plan.quorum || self.checker.leader.is_none());
        let now = self.local(node);
        let in_time = self.nodes[node].deadline.is_some_and(|deadline| now <= deadline);
        let revoked = self.checker.revoked.get(&node).is_some_and(|until| now <= *until);
        // Enough others have promised that nobody else is elected.
        let grace = self.nodes[node].grace_until.is_some_and(|until| now <= until);
        let grace = grace && in_time && self.checker.leader.is_none();
        if !holds && !early && !revoked && !grace && !self.unguarded(node) {
            let leader = self.checker.leader.as_ref().map(|leader| leader.node.clone());
            let name = &self.nodes[node].name;
            self.checker.found(format!("{name} accepts writes; the leader is {leader:?}"));
        }
    }

    /// A2: `w - |S \ V| >= k` over every mixture of what is in force and what is recorded.
    fn check_condition_c(&mut self, node: usize) {
        let machine = &self.nodes[node];
        let (Some(sync), Some(server)) = (&self.checker.sync, &machine.server) else { return };
        if sync.voters.is_empty() || sync.leader != machine.name || !server.gate_open {
            return;
        }
        // A sender that does not count itself acknowledges nothing, and a name that no
        // directory has confirms nothing.
        let judges = server.senders.values().filter(|s| s.setting.names.contains(&s.directory));
        let named = server.setting.names.iter().filter(|id| id.as_str() != "howdah_nobody");
        let others = judges.clone().map(|s| &s.directory);
        let others = others.filter(|id| !server.setting.names.contains(*id));
        let outside = named.chain(others).filter(|id| !sync.voters.contains(*id)).count() as u64;
        let settings = judges.map(|sender| &sender.setting).chain([&server.setting]);
        let needed = settings.map(|setting| u64::from(setting.needed)).min().unwrap_or(0);
        let needed = if server.waits { needed } else { 0 };
        if needed < outside + u64::from(sync.needed) {
            let name = &machine.name;
            let why = format!(
                "{name} lets commits through with ANY {needed} ({:?}), {outside} outside, waiting: \
                 {}, while the record says {} of {:?}",
                server.setting.names, server.waits, sync.needed, sync.voters
            );
            self.checker.found(why);
        }
    }

    fn check_holds_all(&mut self, node: usize, what: &str) {
        let Some(data) = &self.nodes[node].disk.data else { return };
        let lost = self.checker.acknowledged.iter().find(|ack| !data.holds(ack.row, ack.lsn));
        if let Some(ack) = lost {
            let why = format!(
                "{what} {} lacks row {}, acknowledged at {:.3} s, which was record {} on \
                 timeline {}; its history: {:?}, {} records",
                self.nodes[node].name,
                ack.row,
                ack.at as f64 / 1000.0,
                ack.lsn,
                ack.timeline,
                data.history,
                data.log.len()
            );
            self.checker.found(why);
        }
    }

    /// A4: terms, revisions and reserved timelines only rise. Called when the store has changed.
    pub(crate) fn record_changed(&mut self) {
        let snapshot = self.snapshot();
        let marks = WATCHED.map(|key| snapshot.entries.get(key).map_or(0, |entry| entry.revision));
        if std::mem::replace(&mut self.checker.marks, marks) == marks {
            return;
        }
        let leader = snapshot.get::<Leader>(key::LEADER).ok().flatten().map(|(leader, _)| leader);
        let term = snapshot.get::<Term>(key::TERM).ok().flatten().map_or(0, |(term, _)| term.0);
        let timeline = snapshot.get::<Timeline>(key::TIMELINE).ok().flatten();
        let timeline = timeline.map_or(0, |(timeline, _)| timeline.0);
        let sync = snapshot.get::<Sync>(key::SYNC).ok().flatten().map(|(sync, _)| sync);
        let before = self.checker.sync.as_ref().map(|sync| self.index(&sync.leader));
        let next = leader.as_ref().map(|leader| self.index(&leader.node));
        let right =
            before.map_or(Tick(0), |node| self.local(node)) + self.plan.lease - self.plan.margin;
        let checker = &mut self.checker;
        let voted = checker.sync.as_ref().is_some_and(|sync| !sync.voters.is_empty());
        if let Some(deposed) = before.filter(|_| next.is_some() && next != before && voted) {
            // No renewal that comes later than this prolongs it.
            checker.revoked.insert(deposed, right);
        }
        checker.check_pause(&snapshot);
        if term < checker.term || timeline < checker.timeline {
            checker.found(format!("term {term} or timeline {timeline} went back"));
        }
        let changed = sync != checker.sync;
        if let Some(sync) = sync.as_ref().filter(|_| changed) {
            if sync.revision <= checker.revision {
                checker.found(format!("revision {} of sync was used twice", sync.revision));
            }
            checker.revision = sync.revision;
        }
        (checker.term, checker.timeline) = (term, timeline);
        checker.leader = leader;
        if changed && let Some(sync) = sync {
            self.say(|_| {
                let Sync { revision, term, leader, floor, voters, needed, .. } = &sync;
                format!("sync {revision}: term {term} of {leader}, {needed} of {voters:?}, floor {floor}")
            });
            self.check_added(&sync);
            self.checker.sync = Some(sync);
            self.check_meaning();
        }
    }

    /// A record that adds a voter and keeps the floor says that it is past the floor.
    fn check_added(&mut self, next: &Sync) {
        let same = |sync: &&Sync| sync.term == next.term && sync.floor == next.floor;
        let Some(before) = self.checker.sync.as_ref().filter(same) else { return };
        if before.voters.is_empty() {
            return;
        }
        let disks = || self.nodes.iter().filter_map(|node| node.disk.data.as_ref());
        let Some(leader) = disks().find(|data| data.id == next.directory) else { return };
        let is_added =
            |data: &&Data| next.voters.contains(&data.id) && !before.voters.contains(&data.id);
        let past =
            |data: &&Data| data.end().lsn >= next.floor.lsn && leader.history.contains(data.end());
        let behind = disks().filter(is_added).find(|data| !past(data));
        if let Some(id) = behind.map(|data| data.id.clone()) {
            let floor = next.floor;
            self.checker.found(format!("{id} becomes a voter, and is not past the floor {floor}"));
        }
    }

    /// A6: what is about to be destroyed is not the last copy.
    pub(crate) fn check_destruction(&mut self, node: usize, what: &str) {
        if !self.keeps_everything() {
            return;
        }
        let Some(own) = self.nodes[node].disk.data.as_ref() else { return };
        let others = self.nodes.iter().enumerate().filter(|(n, _)| *n != node);
        let others: Vec<_> = others.filter_map(|(_, node)| node.disk.data.as_ref()).collect();
        let last = self.checker.acknowledged.iter().find(|ack| {
            own.holds(ack.row, ack.lsn) && !others.iter().any(|d| d.holds(ack.row, ack.lsn))
        });
        let leads = self.checker.sync.as_ref().is_some_and(|sync| sync.directory == own.id);
        if leads || last.is_some() {
            let name = &self.nodes[node].name;
            self.checker.found(format!("{name}: {what} destroys a last copy, {last:?}"));
        }
    }

    /// All is quiet, one primary serves, all nodes follow it, and clients are answered.
    pub(crate) fn is_healed(&self) -> bool {
        self.quiet()
            && self.now > self.plan.quiet_from + SETTLED_MS
            && (0..self.nodes.len()).all(|node| self.serves(node))
            && self.why_not_healed().is_empty()
    }

    pub(crate) fn why_not_healed(&self) -> String {
        let primaries = self.nodes.iter().filter(|n| n.accepts_writes()).count();
        let idle: Vec<_> = (0..self.nodes.len()).filter(|node| !self.serves(*node)).collect();
        if primaries != 1 || !idle.is_empty() {
            let rules = idle.iter().map(|node| self.rule_of(*node)).collect::<Vec<_>>();
            return format!("{primaries} primaries; {}", rules.join("; "));
        }
        let unanswered = self.unanswered();
        if !unanswered.is_empty() {
            return format!("never answered: {}", unanswered.join(", "));
        }
        let since = self.plan.quiet_from;
        let answered = self.checker.acknowledged.last().is_some_and(|ack| ack.at > since);
        let waits = self.clients.iter().filter_map(|client| client.waits);
        let waits = waits.filter(|(_, asked)| self.now > asked + 5_000).count();
        if !answered || waits > 0 {
            return format!("{waits} clients wait, answered since the quiet: {answered}");
        }
        String::new()
    }

    fn rule_of(&self, node: usize) -> String {
        let machine = &self.nodes[node];
        let decision = machine.agent.as_ref().and_then(|agent| agent.decision.as_ref());
        let reason = decision.map(|d| format!("{} {}", d.reason.rule.number(), d.reason));
        let stage = machine.server.as_ref().map(|server| server.stage);
        format!("{}: {stage:?}, {}", machine.name, reason.unwrap_or_default())
    }

    pub(crate) fn missing_at_the_end(&mut self) -> Option<String> {
        if !self.keeps_everything() {
            return None;
        }
        let primary = (0..self.nodes.len()).find(|node| {
            self.nodes[*node].server.as_ref().is_some_and(|s| s.stage == Stage::Primary)
        })?;
        self.check_holds_all(primary, "at the end");
        self.checker.wrong.take()
    }
}
