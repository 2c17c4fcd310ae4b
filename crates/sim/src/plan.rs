//! What one seed means: the cluster, its timings, its clients, and what befalls it.

use std::time::Duration;

use crate::rng::Rng;

/// One run, drawn from a seed and nothing else.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub nodes: usize,
    pub quorum: bool,
    pub strict: bool,
    pub lease: Duration,
    pub renew: Duration,
    pub margin: Duration,
    pub clients: usize,
    /// A client's longest pause between two commits, ms.
    pub pause_ms: u64,
    /// By how much each node's clock is fast, in millionths.
    pub drift_ppm: Vec<i64>,
    /// The longest way between a node and the store, ms.
    pub store_ms: u64,
    /// By node: the longest way of a packet of its replication, ms.
    pub link_ms: Vec<u64>,
    /// By node: how long its standby may take to replay, ms.
    pub replay_ms: Vec<u64>,
    /// The longest time from letting clients in to the end of the checkpoint after a promotion, ms.
    pub checkpoint_ms: u64,
    /// Of a hundred answers of the store, how many come late or never.
    pub late_percent: u64,
    /// Of a hundred local steps (a reload, a probe, a flush), how many take very long.
    pub slow_percent: u64,
    /// Of a hundred times that a leader is asked for a sign of life, how often none arrives.
    pub deaf_percent: u64,
    pub faults: Vec<Fault>,
    /// From then on nothing befalls the cluster any more, ms.
    pub quiet_from: u64,
}

/// Something that befalls the cluster at `at` and lasts for `lasts`, both in ms.
#[derive(Clone, Debug)]
pub struct Fault {
    pub at: u64,
    pub lasts: u64,
    pub kind: FaultKind,
}

/// On whom: a node by number, or whichever node leads then.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    Node(usize),
    Leader,
    /// Whom the last fault was aimed at.
    Again,
}

/// What an operator asks for: of nodes by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    Switchover(Option<usize>),
    /// Without accepting a loss.
    Failover(usize),
    /// A switchover in so many ms.
    Plan(Option<usize>, u64),
    Abort,
    Pause,
    Fence(usize),
    Restart(usize),
    /// A new copy, from a node or from whichever gives it.
    Reinit(usize, Option<usize>),
}

#[derive(Clone, Copy, Debug)]
pub enum FaultKind {
    /// SIGKILL to the postmaster: the agent and the guard live on.
    KillPostmaster(Who),
    /// The host is gone: agent, guard and PostgreSQL; it comes back after `lasts`.
    KillNode(Who),
    /// SIGSTOP to the agent: the guard goes on.
    FreezeAgent(Who),
    RestartAgent(Who),
    /// The store does not answer this node, or none.
    StoreAway(Option<Who>),
    /// Neither the store nor any other node is reached from this one.
    Isolate(Who),
    /// No packet passes between two nodes.
    Cut(Who, usize),
    /// An operator asks for something; a pause and a fence are taken back after `lasts`.
    Asked(Request),
    /// The store ends every lease before its time, as etcd with its fault 15247.
    EndLeases,
    /// The directory of a healthy standby is deleted under its server.
    DeleteStandby(usize),
    /// SIGSTOP to the agent and the guard: PostgreSQL goes on.
    FreezeBoth(Who),
    /// SIGKILL to the guard: PostgreSQL ends with it.
    KillGuard(Who),
    /// The whole machine stands still, and its boot-time clock moves on.
    Suspend(Who),
    /// Packets pass between two nodes one way only: not from the first, or not to it.
    OneWay(Who, usize, bool),
    /// The time of day is set forward or back, ms.
    WallJump(Who, i64),
    /// Nothing is written to the disk; the agent and its lease go on.
    StalledDisk(Who),
    /// No space is left: whatever server writes WAL there ends.
    FullDisk(Who),
    /// Hardly any space is left, which its agent sees in time.
    FillingDisk(Who),
    /// SIGSTOP to the postmaster: sessions that are open go on.
    HangPostmaster(Who),
    /// WAL that this standby needs is thrown away.
    LoseWal(usize),
    /// Servers of this node take long to start.
    SlowStart(Who),
    /// This node does not notice changes of the store, though it answers.
    Unwatched(Who),
    /// One transaction writes more WAL than all others together, and has not ended yet.
    WriteMuch(Who),
}

/// The clocks of two nodes differ by at most twice this, in millionths.
const DRIFT_PPM_MAX: u64 = 10_000;
/// A fault lasts at most this long, ms: longer than a leader waits for its voters.
const LASTS_MS_MAX: u64 = 20_000;
/// A slow link takes at most this long for a packet, ms.
const LINK_MS_MAX: u64 = 600;
/// A standby that replays slowly lags at most so much, ms.
const REPLAY_MS_MAX: u64 = 8_000;
/// The time of day is set forward or back by at most this, ms.
const JUMP_MS_MAX: u64 = 7_200_000;
/// A checkpoint after a promotion takes at most this long, ms.
const CHECKPOINT_MS_MAX: u64 = 6_000;
/// The cluster is left in peace at first, so that it forms, ms.
const CALM_MS: u64 = 8_000;

impl Plan {
    pub fn of(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let nodes = rng.between(2, 5) as usize;
        let lease = rng.between(1_800, 6_000);
        let drift =
            |rng: &mut Rng| rng.between(0, 2 * DRIFT_PPM_MAX) as i64 - DRIFT_PPM_MAX.cast_signed();
        let storm = rng.between(5_000, 25_000);
        let mut plan = Plan {
            seed,
            nodes,
            quorum: rng.percent(75),
            strict: rng.percent(20),
            lease: Duration::from_millis(lease),
            renew: Duration::from_millis(lease / 6),
            margin: Duration::from_millis((lease / 12).max(200)),
            clients: rng.between(1, 3) as usize,
            pause_ms: seldom(&mut rng, 30, 400),
            drift_ppm: (0..nodes).map(|_| drift(&mut rng)).collect(),
            store_ms: rng.between(2, 40),
            link_ms: (0..nodes).map(|_| seldom(&mut rng, 15, LINK_MS_MAX)).collect(),
            replay_ms: (0..nodes).map(|_| seldom(&mut rng, 800, REPLAY_MS_MAX)).collect(),
            checkpoint_ms: 600,
            late_percent: if rng.percent(50) { rng.between(1, 25) } else { 0 },
            slow_percent: if rng.percent(40) { rng.between(1, 10) } else { 0 },
            deaf_percent: if rng.percent(30) { 97 } else { 0 },
            faults: Vec::new(),
            quiet_from: CALM_MS + storm,
        };
        let count = rng.between(1, 8);
        plan.faults = (0..count).map(|_| fault(&mut rng, &plan)).collect();
        if rng.percent(50) {
            let count = rng.between(1, 6);
            for _ in 0..count {
                let fault = asked(&mut rng, &plan);
                let changed = given_up(&mut rng, &fault);
                plan.faults.extend([fault].into_iter().chain(changed));
            }
        }
        if plan.nodes >= 4 && rng.percent(25) {
            plan.faults.extend(room(&mut rng, &plan));
        }
        if rng.percent(30) {
            let ends = (0..rng.between(1, 3)).map(|_| early_end(&mut rng, &plan));
            plan.faults.extend(ends.collect::<Vec<_>>());
        }
        plan.checkpoint_ms = seldom(&mut rng, 600, CHECKPOINT_MS_MAX);
        // Drawn apart: what else befalls a seed is not to depend on it.
        let mut apart = Rng::new(!seed);
        if apart.percent(20) {
            plan.faults.push(of_the_body(&mut apart, &plan));
        }
        plan.settled()
    }

    /// Faults in their order, and the quiet after the last.
    pub(crate) fn settled(mut self) -> Plan {
        self.faults.sort_by_key(|fault| fault.at);
        self.quiet_from = self.faults.iter().map(|f| f.at + f.lasts).max().unwrap_or(CALM_MS) + 1;
        self
    }

    /// Nothing but ends of the postmaster, whose disk stays within reach: then even `async`
    /// loses nothing. A primary that an operator fences lets go although nobody has everything.
    pub fn only_crashes(&self) -> bool {
        self.faults.iter().all(|fault| match fault.kind {
            FaultKind::Asked(Request::Fence(_)) => false,
            FaultKind::KillPostmaster(_) | FaultKind::Asked(_) => true,
            _ => false,
        })
    }
}

/// Mostly `usual`; now and then anything up to `longest`.
fn seldom(rng: &mut Rng, usual: u64, longest: u64) -> u64 {
    if rng.percent(30) { rng.between(usual, longest) } else { usual }
}

fn fault(rng: &mut Rng, plan: &Plan) -> Fault {
    let node = rng.index(plan.nodes);
    let who = if rng.percent(60) { Who::Leader } else { Who::Node(node) };
    let kind = match rng.between(0, 24) {
        0 | 1 => FaultKind::KillPostmaster(who),
        2..=4 => FaultKind::KillNode(who),
        5 => FaultKind::FreezeAgent(who),
        6 => FaultKind::RestartAgent(who),
        7 => FaultKind::StoreAway(Some(who)),
        8 => FaultKind::StoreAway(rng.percent(50).then_some(who)),
        9 => FaultKind::Cut(who, node),
        10 => FaultKind::Asked(Request::Switchover(rng.percent(50).then_some(node))),
        11 | 12 => FaultKind::Isolate(who),
        13 => FaultKind::DeleteStandby(node),
        14 => FaultKind::FreezeBoth(who),
        15 => FaultKind::KillGuard(who),
        16 | 17 => FaultKind::Suspend(who),
        18 | 19 => FaultKind::OneWay(who, node, rng.percent(50)),
        20 => FaultKind::WallJump(who, rng.between(0, 2 * JUMP_MS_MAX) as i64 - JUMP_MS_MAX as i64),
        21 => FaultKind::StalledDisk(who),
        22 => FaultKind::FullDisk(who),
        23 => FaultKind::SlowStart(who),
        _ => FaultKind::Unwatched(who),
    };
    let longest = if rng.percent(35) { LASTS_MS_MAX } else { LASTS_MS_MAX / 4 };
    Fault {
        at: rng.between(CALM_MS, plan.quiet_from - 1_000),
        lasts: rng.between(100, longest),
        kind,
    }
}

fn of_the_body(rng: &mut Rng, plan: &Plan) -> Fault {
    let node = rng.index(plan.nodes);
    let who = if rng.percent(70) { Who::Leader } else { Who::Node(node) };
    let kind = match rng.between(0, 9) {
        0..=3 => FaultKind::HangPostmaster(who),
        4 | 5 => FaultKind::FillingDisk(who),
        6 | 7 => FaultKind::StalledDisk(who),
        _ => FaultKind::LoseWal(node),
    };
    let at = rng.between(CALM_MS, plan.quiet_from - 1_000);
    Fault { at, lasts: rng.between(LASTS_MS_MAX / 4, LASTS_MS_MAX), kind }
}

/// A room with two machines is lost, or cut off.
fn room(rng: &mut Rng, plan: &Plan) -> [Fault; 2] {
    let at = rng.between(CALM_MS, plan.quiet_from - 1_000);
    let lasts = rng.between(LASTS_MS_MAX / 2, LASTS_MS_MAX);
    let (lost, node) = (rng.percent(50), rng.index(plan.nodes));
    [node, (node + 1) % plan.nodes].map(|node| {
        let who = Who::Node(node);
        let kind = if lost { FaultKind::KillNode(who) } else { FaultKind::Isolate(who) };
        Fault { at, lasts, kind }
    })
}

fn early_end(rng: &mut Rng, plan: &Plan) -> Fault {
    let at = rng.between(CALM_MS, plan.quiet_from - 1_000);
    Fault { at, lasts: 100, kind: FaultKind::EndLeases }
}

fn asked(rng: &mut Rng, plan: &Plan) -> Fault {
    let node = rng.index(plan.nodes);
    let other = rng.index(plan.nodes);
    let named = rng.percent(50).then_some(node);
    let lasts = rng.between(100, LASTS_MS_MAX / 2);
    let request = match rng.between(0, 11) {
        0 | 1 => Request::Switchover(named),
        2 => Request::Failover(node),
        3 => Request::Plan(named, rng.between(10, lasts.max(20))),
        4 => Request::Abort,
        5 | 6 => Request::Pause,
        7 | 8 => Request::Fence(node),
        9 | 10 => Request::Restart(node),
        _ => Request::Reinit(node, rng.percent(50).then_some(other)),
    };
    let at = rng.between(CALM_MS, plan.quiet_from - 1_000);
    Fault { at, lasts, kind: FaultKind::Asked(request) }
}

/// Often he changes his mind while the primary is still being prepared for it.
fn given_up(rng: &mut Rng, fault: &Fault) -> Option<Fault> {
    let FaultKind::Asked(Request::Switchover(_)) = fault.kind else { return None };
    let at = fault.at + rng.between(20, 800);
    rng.percent(50).then_some(Fault { at, lasts: 100, kind: FaultKind::Asked(Request::Abort) })
}
