//! What has changed since the last look. Pure: what was told is in [`State`], time an argument.
//!
//! The state outlives the agent (in the journal), so that a change is told once although the
//! agent is restarted in the middle of it, and is told late when it came while no agent ran.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use howdah_base::{NodeName, Term, Tick};
use howdah_spec::HookEvent;
use serde::{Deserialize, Serialize};

use crate::firing::Firing;
use crate::seen::{Role, Seen};

/// A problem is told once it has stood so long: what comes and goes with a failover is not one.
pub const PROBLEM_STANDS: Duration = Duration::from_secs(5);

/// What was seen and told last.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Of the next firing's id.
    counter: u64,
    role: Option<(Role, Term)>,
    up: Option<bool>,
    /// The run of the server that was seen last.
    started_unix_ms: Option<u64>,
    /// It is down by an order to restart it, and its end was not told.
    restarting: bool,
    #[serde(skip)]
    reloads: Option<u64>,
    leader: Option<(NodeName, Term)>,
    paused: bool,
    /// Other nodes that were alive once, and whether they were at the last look.
    others: BTreeMap<NodeName, bool>,
    /// Problems that were told and still stand, by [`kind`].
    told: BTreeSet<String>,
    /// Problems that stand, not yet told, and since when.
    #[serde(skip)]
    standing: BTreeMap<String, Tick>,
}

impl State {
    /// For a node without a journal. `first` is the first firing's number: ids of an earlier
    /// journal that was lost must not come again.
    pub fn new(first: u64) -> State {
        State { counter: first, ..State::default() }
    }

    /// When a problem that stands now is to be told.
    pub fn wake_at(&self, now: Tick) -> Option<Tick> {
        let due = self.standing.values().map(|since| *since + PROBLEM_STANDS);
        due.filter(|due| *due > now).min()
    }
}

/// Each change since the last call, once, in the order in which hooks are to hear of them.
pub fn plan(state: &mut State, seen: &Seen, now: Tick) -> Vec<Firing> {
    let mut plan = Plan { state, seen, firings: Vec::new() };
    plan.server();
    plan.role();
    plan.reload();
    plan.leader();
    // What concerns the cluster waits for somebody to tell it: all nodes notice it then, and
    // one of them tells.
    if let Some(teller) = teller(seen) {
        plan.pause(&teller);
        plan.others(&teller);
    }
    plan.problems(now);
    plan.firings
}

/// The primary, while it is alive.
fn teller(seen: &Seen) -> Option<NodeName> {
    let leader = &seen.leader.as_ref()?.node;
    let alive = *leader == seen.node || seen.others.get(leader) == Some(&true);
    alive.then(|| leader.clone())
}

struct Plan<'a> {
    state: &'a mut State,
    seen: &'a Seen,
    firings: Vec<Firing>,
}

impl Plan<'_> {
    /// Start, stop and restart of the own server.
    fn server(&mut self) {
        let Some(up) = self.seen.role.up() else { return };
        let was = self.state.up.replace(up);
        let run = self.seen.server_started_unix_ms;
        if !up {
            let quiet = self.seen.restarting;
            match was {
                Some(true) if quiet => self.state.restarting = true,
                Some(true) => self.fire(HookEvent::Stop),
                _ if self.state.restarting && !quiet => {
                    self.state.restarting = false;
                    self.fire(HookEvent::Stop);
                }
                _ => {}
            }
            return;
        }
        let restarted = std::mem::take(&mut self.state.restarting);
        let known = run.zip(self.state.started_unix_ms);
        let another_run = known.is_some_and(|(run, last)| run != last);
        self.state.started_unix_ms = run.or(self.state.started_unix_ms);
        match was {
            Some(true) if another_run => self.fire(HookEvent::Restart),
            Some(true) => {}
            _ if restarted => self.fire(HookEvent::Restart),
            _ => self.fire(HookEvent::Start),
        }
    }

    /// A primary counts once a term, and only while it leads: the term that is known may already
    /// be another node's. A standby stays one through all terms.
    fn role(&mut self) {
        let last = self.state.role;
        let now = (self.seen.role, self.seen.term);
        let changed = match self.seen.role {
            Role::Primary => self.seen.leads() && last != Some(now),
            Role::Standby => last.is_none_or(|(role, _)| role != Role::Standby),
            _ => false,
        };
        if changed {
            self.fire(HookEvent::RoleChange);
            self.state.role = Some(now);
        }
    }

    /// A counter that is lower than before is another agent's.
    fn reload(&mut self) {
        let last = self.state.reloads.replace(self.seen.reloads);
        if last.is_some_and(|last| self.seen.reloads > last) {
            self.fire(HookEvent::Reload);
        }
    }

    fn leader(&mut self) {
        let Some(leader) = &self.seen.leader else { return };
        // Of the own lead nothing is said before the own server shows it.
        if leader.node == self.seen.node && !self.seen.leads() {
            return;
        }
        let now = Some((leader.node.clone(), self.seen.term));
        if self.state.leader != now {
            let own = leader.node == self.seen.node;
            self.state.leader = now;
            self.tell(HookEvent::LeaderChange, own, None);
        }
    }

    fn pause(&mut self, teller: &NodeName) {
        let paused = self.seen.paused;
        if std::mem::replace(&mut self.state.paused, paused) != paused {
            let event = if paused { HookEvent::Pause } else { HookEvent::Resume };
            self.tell(event, *teller == self.seen.node, None);
        }
    }

    /// A node that was never seen alive is not lost, and one that joins is not back.
    fn others(&mut self, teller: &NodeName) {
        if self.seen.store_away {
            return;
        }
        let own = *teller == self.seen.node;
        for (node, alive) in &self.seen.others {
            let was = self.state.others.get(node).copied();
            if *alive || was.is_some() {
                self.state.others.insert(node.clone(), *alive);
            }
            if was.is_some_and(|was| was != *alive) {
                let event = if *alive { HookEvent::NodeBack } else { HookEvent::NodeLost };
                self.tell(event, own, Some(node.clone()));
            }
        }
        self.state.others.retain(|node, _| self.seen.others.contains_key(node));
    }

    /// Also without a leader, which is the worst of problems: then the first node tells.
    fn problems(&mut self, now: Tick) {
        let standing: BTreeMap<String, &String> =
            self.seen.problems.iter().map(|problem| (kind(problem), problem)).collect();
        self.state.told.retain(|kind| standing.contains_key(kind));
        self.state.standing.retain(|kind, _| standing.contains_key(kind));
        for kind in standing.keys().filter(|kind| !self.state.told.contains(*kind)) {
            self.state.standing.entry(kind.clone()).or_insert(now);
        }
        let due = |since: &Tick| *since + PROBLEM_STANDS <= now;
        let due: Vec<String> = self
            .state
            .standing
            .iter()
            .filter(|(_, since)| due(since))
            .map(|(kind, _)| kind.clone())
            .collect();
        if due.is_empty() {
            return;
        }
        let new = due.iter().filter_map(|kind| standing.get(kind)).map(|text| (*text).clone());
        let mut firing = self.firing(HookEvent::Problem);
        firing.problems = new.collect();
        firing.reason.text = firing.problems.join("; ");
        firing.teller = self.tells_problems();
        self.firings.push(firing);
        for kind in due {
            self.state.standing.remove(&kind);
            self.state.told.insert(kind);
        }
    }

    fn tells_problems(&self) -> bool {
        let alive = |(node, alive): (&NodeName, &bool)| alive.then(|| node.clone());
        let first = || self.seen.others.iter().find_map(alive).unwrap_or(self.seen.node.clone());
        let teller = teller(self.seen).unwrap_or_else(|| first().min(self.seen.node.clone()));
        teller == self.seen.node
    }

    fn fire(&mut self, event: HookEvent) {
        self.tell(event, true, None);
    }

    fn tell(&mut self, event: HookEvent, teller: bool, subject: Option<NodeName>) {
        let firing = Firing { teller, subject, ..self.firing(event) };
        self.firings.push(firing);
    }

    fn firing(&mut self, event: HookEvent) -> Firing {
        let seen = self.seen;
        let counter = self.state.counter;
        self.state.counter += 1;
        Firing {
            id: id(seen, event, counter),
            event,
            cluster: seen.cluster.clone(),
            node: seen.node.clone(),
            role: seen.role,
            previous: self.state.role.map_or(Role::None, |(role, _)| role),
            term: seen.term,
            timeline: seen.timeline,
            leader: seen.leader.clone(),
            subject: None,
            reason: seen.reason.clone(),
            problems: Vec::new(),
            teller: true,
        }
    }
}

/// The same for no other change, of this cluster or of another one.
fn id(seen: &Seen, event: HookEvent, counter: u64) -> String {
    let dot = if seen.identity.is_empty() { "" } else { "." };
    let cluster = format!("{}{dot}{}", seen.cluster, seen.identity);
    format!("{cluster}-{}-{}-{}-{counter}", event.word(), seen.term, seen.node)
}

/// What tells two problems apart: not the figures in a sentence, which change with each look,
/// and not the details after its colon. A name in backticks counts whole, also before a colon.
fn kind(problem: &str) -> String {
    let mut kind = String::with_capacity(problem.len());
    for (index, part) in problem.split('`').enumerate() {
        let name = index % 2 == 1;
        let whose = index == 2 && kind.starts_with('`') && part.starts_with(": ");
        let (skipped, rest) = if whose { part.split_at(2) } else { ("", part) };
        let head = if name { None } else { rest.split_once(": ").map(|(head, _)| head) };
        if index > 0 {
            kind.push('`');
        }
        kind.push_str(skipped);
        let digits = |c: char| c.is_ascii_digit() && !name;
        kind.extend(head.unwrap_or(rest).split(digits).filter(|text| !text.is_empty()));
        if head.is_some() {
            break;
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_and_details_do_not_make_another_problem() {
        for (one, other) in [
            ("1 of 2 voters stream: if `n1` is lost", "0 of 2 voters stream: if `n3` is lost"),
            ("`n2` is 12 MB behind", "`n2` is 137 MB behind"),
            ("`n1`: hook `dns` failed 3 times: x", "`n1`: hook `dns` failed 4 times: y"),
            ("the store does not answer: a", "the store does not answer: b"),
        ] {
            assert_eq!(kind(one), kind(other));
        }
    }

    #[test]
    fn names_do() {
        for (one, other) in [
            ("`n2` is gone: its agent", "`n3` is gone: its agent"),
            ("`n1`: disk is full: a", "`n1`: clock is off: a"),
            ("`n1`: disk is full", "`n2`: disk is full"),
            ("hook `a` failed: x", "hook `b` failed: x"),
        ] {
            assert_ne!(kind(one), kind(other));
        }
    }
}
