//! The whole cluster at one moment, and the loop that moves it from event to event.

use std::collections::BTreeMap;
use std::sync::Arc;

use howdah_base::record::key;
use howdah_base::{NodeName, Tick};
use howdah_ha::StoreView;
use howdah_ledger::Reader;
use howdah_store::memory::State;
use howdah_store::{LeaseId, Snapshot};

use crate::check::Checker;
use crate::client::Client;
use crate::disk::Disk;
use crate::effect::{Effect, Effects};
use crate::event::{Event, ForAgent, Queue};
use crate::machine::Ailments;
use crate::node::{Clock, Node};
use crate::plan::Plan;
use crate::rng::Rng;
use crate::stream::{Conn, ConnId};
use crate::trail::Trail;
use crate::{Mistakes, Verdict};

#[derive(Debug)]
pub(crate) struct World {
    pub plan: Plan,
    pub planted: Mistakes,
    /// True time, ms.
    pub now: u64,
    pub rng: Rng,
    pub queue: Queue,
    pub store: State,
    /// The store answers nobody as long as this is above zero.
    pub store_cuts: u32,
    /// The node that the last fault of a whole machine was aimed at.
    pub hit_last: usize,
    pub nodes: Vec<Node>,
    pub conns: BTreeMap<ConnId, Conn>,
    pub conns_opened: u64,
    /// Pairs of nodes between which no packet passes.
    pub cuts: Vec<(usize, usize)>,
    /// From the first to the second no packet passes.
    pub one_way: Vec<(usize, usize)>,
    pub effects: Effects,
    pub trail: Trail,
    pub clients: Vec<Client>,
    pub rows: u64,
    pub calls: u64,
    pub intents: u64,
    pub checker: Checker,
    pub trace: bool,
    /// Records as parsed at a revision, once for all nodes: parsing is most of the work.
    pictures: BTreeMap<(u64, bool), Arc<StoreView>>,
    reader: Reader,
    snapshot: Arc<Snapshot>,
}

/// After the quiet has begun the cluster gets this long to heal, ms.
const HEAL_MS: u64 = 150_000;
/// What takes long takes at most this long, ms.
const SLOW_MS: u64 = 2_500;
/// Pictures of the store kept.
const PICTURES_MAX: usize = 64;

impl World {
    pub fn new(plan: Plan, planted: Mistakes, trace: bool) -> World {
        let mut rng = Rng::new(plan.seed ^ 0x5EED);
        let nodes = plan.drift_ppm.iter().enumerate();
        let nodes = nodes.map(|(n, drift)| node(n, *drift, &mut rng)).collect();
        let clients = (0..plan.clients).map(|_| Client::default()).collect();
        let mut world = World {
            planted,
            now: 0,
            rng,
            queue: Queue::default(),
            store: State::new(),
            store_cuts: 0,
            hit_last: 0,
            nodes,
            conns: BTreeMap::new(),
            conns_opened: 0,
            cuts: Vec::new(),
            one_way: Vec::new(),
            effects: Effects::default(),
            trail: Trail::default(),
            clients,
            rows: 0,
            calls: 0,
            intents: 0,
            checker: Checker::new(plan.nodes),
            trace,
            pictures: BTreeMap::new(),
            reader: Reader::default(),
            snapshot: Arc::default(),
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for node in 0..self.nodes.len() {
            self.start_agent(node);
        }
        for client in 0..self.clients.len() {
            self.queue.push(1_000, Event::Client(client));
        }
        for (index, fault) in self.plan.faults.iter().enumerate() {
            self.queue.push(fault.at, Event::Fault(index));
            self.queue.push(fault.at + fault.lasts, Event::FaultOver(index));
        }
    }

    /// Moves on until the cluster has healed after all faults, or something is wrong.
    pub fn run(mut self) -> Verdict {
        let until = self.plan.quiet_from + HEAL_MS;
        let mut steps = 0_u64;
        while let Some((at, event)) = self.queue.pop() {
            self.now = at;
            steps += 1;
            let revision = self.store.revision();
            self.step(event);
            self.store_moved(revision);
            self.check();
            if let Some(wrong) = self.checker.wrong.take() {
                return self.verdict(steps, Some(wrong));
            }
            if self.is_healed() {
                let lost = self.missing_at_the_end();
                return self.verdict(steps, lost);
            }
            if self.now > until {
                let why = self.why_not_healed();
                return self.verdict(steps, Some(format!("the cluster did not heal: {why}")));
            }
        }
        self.verdict(steps, Some("nothing happens any more".to_owned()))
    }

    fn verdict(&self, steps: u64, wrong: Option<String>) -> Verdict {
        Verdict {
            seed: self.plan.seed,
            wrong,
            at_ms: self.now,
            steps,
            acknowledged: self.checker.acknowledged.len() as u64,
            terms: self.checker.term,
            effects: self.effects.clone(),
            trail: self.trail.clone(),
        }
    }

    fn step(&mut self, event: Event) {
        let Some(event) = self.stands_still(event) else { return };
        match event {
            Event::Agent { node, incarnation, what } => self.at_agent(node, incarnation, what),
            Event::AtStore { node, incarnation, call, ask } => {
                self.at_store(node, incarnation, call, ask);
            }
            Event::Server { node, epoch, what } => {
                if self.nodes[node].server(epoch).is_some() {
                    self.at_server(node, what);
                }
            }
            Event::Guard { node } => self.guard(node),
            Event::Deliver(conn) => self.deliver(conn),
            Event::Beat(conn) => self.beat(conn),
            Event::Client(client) => self.client(client),
            Event::Fault(index) => self.fault(index),
            Event::FaultOver(index) => self.fault_over(index),
            Event::Nothing => {}
        }
    }

    /// Watchers learn of a change; a lease that now lives gets an event for its end.
    fn store_moved(&mut self, before: u64) {
        let now = Tick(self.now);
        if self.store.next_expiry().is_some_and(|ends| ends <= now) {
            self.expire(now);
        }
        if self.store.revision() == before {
            return;
        }
        self.snapshot = Arc::new(self.store.snapshot());
        self.record_changed();
        for node in 0..self.nodes.len() {
            if self.reaches_store(node) {
                let delay = self.rng.between(1, self.plan.store_ms);
                self.after_agent(node, delay, ForAgent::Changed);
            }
        }
    }

    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// What `snapshot` says to the holder of `lease`, read by the real ledger.
    pub fn picture(&mut self, snapshot: &Snapshot, lease: Option<LeaseId>) -> Arc<StoreView> {
        let mine = lease.is_some() && snapshot.lease(key::LEADER) == lease;
        let key = (snapshot.revision, mine);
        if let Some(known) = self.pictures.get(&key) {
            return Arc::clone(known);
        }
        let lease = lease.filter(|_| mine);
        let view = self.reader.view_of(snapshot, lease).expect("what was written can be read");
        let view = Arc::new(view);
        self.pictures.insert(key, Arc::clone(&view));
        if self.pictures.len() > PICTURES_MAX {
            self.pictures.pop_first();
        }
        view
    }

    pub fn local(&self, node: usize) -> Tick {
        self.nodes[node].clock.local(self.now)
    }

    pub fn index(&self, name: &NodeName) -> usize {
        self.nodes.iter().position(|node| node.name == *name).expect("a node of this cluster")
    }

    /// Packets pass both ways, so that a connection can be made.
    pub fn passes(&self, a: usize, b: usize) -> bool {
        self.arrives(a, b) && self.arrives(b, a) && self.nodes[a].up && self.nodes[b].up
    }

    /// One that is sent now gets there.
    pub fn passes_from(&self, from: usize, to: usize) -> bool {
        self.nodes[from].up && self.arrives(from, to)
    }

    /// A packet on its way arrives.
    pub fn arrives(&self, from: usize, to: usize) -> bool {
        let cut = self.cuts.contains(&(from.min(to), from.max(to)));
        let lives = self.nodes[to].up && !self.is_suspended(to);
        lives && !cut && !self.one_way.contains(&(from, to))
    }

    pub fn reaches_store(&self, node: usize) -> bool {
        self.store_cuts == 0 && self.nodes[node].store_cuts == 0 && self.nodes[node].up
    }

    /// How long a local step takes: now and then very long.
    pub fn step_ms(&mut self, low: u64, high: u64) -> u64 {
        let slow = self.plan.slow_percent > 0 && !self.quiet();
        if slow && self.rng.percent(self.plan.slow_percent) {
            self.effects.note(Effect::SlowStep);
            return self.rng.between(high, SLOW_MS.max(high));
        }
        self.rng.between(low, high)
    }

    pub fn after_agent(&mut self, node: usize, delay: u64, what: ForAgent) {
        let incarnation = self.nodes[node].incarnation;
        self.queue.push(self.now + delay, Event::Agent { node, incarnation, what });
    }

    #[expect(clippy::print_stderr, reason = "the trace is what a person asked for")]
    pub fn say(&self, line: impl FnOnce(&World) -> String) {
        if self.trace {
            eprintln!("{:>8.3}  {}", self.now as f64 / 1000.0, line(self));
        }
    }
}

fn node(number: usize, drift_ppm: i64, rng: &mut Rng) -> Node {
    Node {
        name: format!("n{}", number + 1).parse().expect("a name"),
        clock: Clock { offset: rng.between(1, 1_000_000), drift_ppm, wall_jump: 0 },
        up: true,
        disk: Disk::default(),
        server: None,
        deadline: None,
        grace_until: None,
        agent: None,
        incarnation: 0,
        epoch: 0,
        store_cuts: 0,
        ails: Ailments::default(),
    }
}
