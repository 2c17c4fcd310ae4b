//! Plans for one planted mistake: drawn like all others, and then made richer in what it takes
//! for that mistake to matter.

use std::time::Duration;

use crate::plan::{Fault, FaultKind, Plan, Request, Who};
use crate::planted::Planted;
use crate::rng::Rng;

/// The slowest link of a standby that lags, ms.
const LAG_MS: u64 = 600;
/// A host that is lost for long is away longer than any election takes, ms.
const LONG_MS: u64 = 20_000;
/// A checkpoint after a promotion that takes long, ms.
const CHECKPOINT_MS: u64 = 8_000;
/// When the first of the added faults comes, ms.
const FROM_MS: u64 = 9_000;

impl Plan {
    /// The plan of `seed`, leaning towards what `planted` needs.
    pub fn with(seed: u64, planted: Planted) -> Plan {
        let mut plan = Plan::of(seed);
        let mut rng = Rng::new(seed ^ 0xB1A5);
        match planted {
            Planted::ReplayedAsEnd => {
                plan.elects(&mut rng);
                plan.replay_ms.fill(8_000);
            }
            Planted::QuorumOffByOne => plan.elects(&mut rng),
            Planted::FloorIgnored | Planted::TimelineNotReserved => plan.elects_twice(&mut rng),
            Planted::FloorWithoutTimeline
            | Planted::TimelineIgnored
            | Planted::NoNewTimeline
            | Planted::SilentVoter => plan.leaves_a_branch(&mut rng),
            Planted::EarlyReport => plan.alarms_falsely(&mut rng),
            Planted::BlindTakeover | Planted::StaleView => plan.acts_late(&mut rng),
            Planted::PromiseNotDurable => plan.restarts_voters(&mut rng),
            Planted::PromiseLowered => plan.promises_often(&mut rng),
            Planted::BlindRenewal | Planted::PromiseTakenBack => plan.deposes_unseen(&mut rng),
            Planted::GraceBesidePromise => plan.loses_the_store(&mut rng),
            Planted::GraceForgotten => plan.finds_the_store_late(&mut rng),
            Planted::VoterFarBehind => plan.reconnects(&mut rng),
            Planted::VotersByName => plan.empties_a_disk(&mut rng),
            Planted::NoObserverClock => plan.ends_early(&mut rng),
            Planted::Unsettled => plan.loses_answers(&mut rng),
            Planted::SlotOfAnyTerm => plan.returns_to_a_deposed(&mut rng),
            Planted::DivergedStandby => plan.freezes_standbys(&mut rng),
            Planted::TwoSendersASlot => plan.reconnects(&mut rng),
            Planted::RewindEarly => {
                plan.rewinds(&mut rng);
                plan.checkpoint_ms = CHECKPOINT_MS;
            }
            Planted::InterruptedRewind => plan.rewinds(&mut rng),
            Planted::RewindAsVoter => plan.copies_anew(&mut rng),
            _ => return plan,
        }
        plan.settled()
    }

    /// Quorum, and standbys of which some lag: what one holds another lacks.
    fn lags(&mut self, rng: &mut Rng, nodes: usize) {
        self.quorum = true;
        self.nodes = nodes;
        self.lease = Duration::from_millis(rng.between(1_800, 2_500));
        self.renew = self.lease / 6;
        self.drift_ppm.resize(nodes, 0);
        self.replay_ms.resize(nodes, 800);
        self.link_ms = (0..nodes).map(|_| if rng.percent(50) { LAG_MS } else { 15 }).collect();
        self.clients = 3;
        self.pause_ms = 20;
        self.faults.clear();
    }

    fn hit(&mut self, at: u64, lasts: u64, kind: FaultKind) {
        self.faults.push(Fault { at, lasts, kind });
    }

    /// The leader's host is lost for long.
    fn elects(&mut self, rng: &mut Rng) {
        let nodes = rng.between(3, 5) as usize;
        self.lags(rng, nodes);
        self.hit(FROM_MS + rng.between(0, 3_000), LONG_MS, FaultKind::KillNode(Who::Leader));
    }

    /// And then the next leader's, before others have got what it holds.
    fn elects_twice(&mut self, rng: &mut Rng) {
        self.elects(rng);
        let last = self.faults.last().map_or(FROM_MS, |fault| fault.at);
        let lease = self.lease.as_millis() as u64;
        let at = last + lease / 2 + rng.between(200, 2 * lease + 1_500);
        self.hit(at, LONG_MS, FaultKind::KillNode(Who::Leader));
    }

    /// The directory of the standby that confirms is deleted, and the leader's host lost.
    fn empties_a_disk(&mut self, rng: &mut Rng) {
        self.lags(rng, 3);
        let (quick, at) = (rng.index(3), FROM_MS + rng.between(0, 3_000));
        self.link_ms = (0..3).map(|node| if node == quick { 5 } else { LAG_MS }).collect();
        self.hit(at, 100, FaultKind::DeleteStandby(quick));
        self.hit(at + rng.between(10, 200), LONG_MS, FaultKind::KillNode(Who::Leader));
    }

    /// The store ends the leases of an `async` cluster whose leader does not hear of it.
    fn ends_early(&mut self, rng: &mut Rng) {
        self.quorum = false;
        let at = FROM_MS + rng.between(0, 3_000);
        self.hit(at, 6_000, FaultKind::StoreAway(Some(Who::Leader)));
        self.hit(at + 10, 100, FaultKind::EndLeases);
    }

    /// Answers of the store are lost while operators want voters gone and back again.
    fn loses_answers(&mut self, rng: &mut Rng) {
        let nodes = rng.between(3, 4) as usize;
        self.lags(rng, nodes);
        self.link_ms.fill(5);
        self.late_percent = 40;
        for number in 0..8 {
            let (at, node) = (FROM_MS + number * 2_500, rng.index(self.nodes));
            let lasts = rng.between(50, 2_000);
            self.hit(at + rng.between(0, 1_000), lasts, FaultKind::Asked(Request::Fence(node)));
        }
    }

    /// The leader's agent stands still for so long that it is suspected, and goes on in time.
    fn alarms_falsely(&mut self, rng: &mut Rng) {
        let nodes = rng.between(3, 4) as usize;
        self.lags(rng, nodes);
        self.link_ms.fill(15);
        self.lease = Duration::from_millis(rng.between(5_000, 6_000));
        self.renew = self.lease / 6;
        self.margin = self.lease / 10;
        self.late_percent = 40;
        self.pause_ms = 100;
        for number in 0..4 {
            let at = FROM_MS + number * 7_000;
            self.hit(at, rng.between(1_900, 3_300), FaultKind::FreezeAgent(Who::Leader));
        }
    }

    /// And agents of voters stand still while it goes on: they act on what they have seen before.
    fn acts_late(&mut self, rng: &mut Rng) {
        self.alarms_falsely(rng);
        self.late_percent = 10;
        for number in 0..4 {
            for node in 0..self.nodes {
                let at = FROM_MS + number * 7_000 + rng.between(1_700, 3_300);
                self.hit(at, rng.between(300, 3_000), FaultKind::FreezeAgent(Who::Node(node)));
            }
        }
    }

    /// And agents of voters are started anew meanwhile.
    fn restarts_voters(&mut self, rng: &mut Rng) {
        self.alarms_falsely(rng);
        (self.late_percent, self.slow_percent) = (0, 30);
        for _ in 0..24 {
            let (at, node) = (FROM_MS + rng.between(1_500, 28_000), rng.index(self.nodes));
            self.hit(at, 100, FaultKind::RestartAgent(Who::Node(node)));
        }
    }

    /// One false alarm follows the other while writes of promises take long.
    fn promises_often(&mut self, rng: &mut Rng) {
        let nodes = rng.between(3, 4) as usize;
        self.lags(rng, nodes);
        self.link_ms.fill(15);
        self.lease = Duration::from_millis(6_000);
        self.renew = self.lease / 6;
        self.margin = self.lease / 10;
        (self.late_percent, self.slow_percent, self.pause_ms) = (0, 60, 200);
        for number in 0..6 {
            let at = FROM_MS + number * 5_500;
            self.hit(at, rng.between(3_200, 4_200), FaultKind::FreezeAgent(Who::Leader));
            // A write that was given up ends with its agent: so every second time.
            for node in (0..self.nodes).filter(|_| number % 2 == 1) {
                let at = at + rng.between(2_800, 4_000);
                self.hit(at, 100, FaultKind::RestartAgent(Who::Node(node)));
            }
        }
    }

    /// The store is away for all, and the leader is the last to have it back.
    fn finds_the_store_late(&mut self, rng: &mut Rng) {
        let nodes = rng.between(2, 3) as usize;
        self.lags(rng, nodes);
        self.link_ms.fill(15);
        (self.quorum, self.late_percent, self.slow_percent) = (false, 0, 0);
        self.lease = Duration::from_millis(5_000);
        (self.renew, self.margin) = (self.lease / 6, self.lease / 12);
        let at = FROM_MS + rng.between(0, 2_000);
        self.hit(at, 8_000, FaultKind::StoreAway(None));
        self.hit(at, rng.between(9_500, 12_000), FaultKind::StoreAway(Some(Who::Leader)));
    }

    /// The leader alone has lost the store.
    fn loses_the_store(&mut self, rng: &mut Rng) {
        let nodes = rng.between(3, 5) as usize;
        self.lags(rng, nodes);
        self.link_ms.fill(15);
        self.lease = Duration::from_millis(4_000);
        (self.renew, self.margin) = (self.lease / 6, self.lease / 12);
        for number in 0..2 {
            let at = FROM_MS + number * 16_000 + rng.between(0, 2_000);
            self.hit(at, 12_000, FaultKind::StoreAway(Some(Who::Leader)));
        }
    }

    /// And it does not see what has become of its term.
    fn deposes_unseen(&mut self, rng: &mut Rng) {
        self.alarms_falsely(rng);
        self.late_percent = 0;
        for number in 0..4 {
            let at = FROM_MS + number * 7_000;
            self.hit(at, 6_500, FaultKind::Unwatched(Who::Leader));
        }
    }

    /// A standby whose agent stands still goes on receiving from a leader that is cut off from all
    /// others; it comes back when the next leader is lost.
    fn leaves_a_branch(&mut self, rng: &mut Rng) {
        self.lags(rng, 4);
        self.link_ms.fill(5);
        (self.late_percent, self.slow_percent, self.deaf_percent) = (0, 0, 0);
        (self.clients, self.pause_ms) = (40, 400);
        let (at, odd) = (FROM_MS + rng.between(1_000, 3_000), rng.index(4));
        for node in (0..4).filter(|node| *node != odd) {
            self.hit(at, 9_000, FaultKind::Cut(Who::Leader, node));
        }
        self.hit(at, 9_000, FaultKind::StoreAway(Some(Who::Leader)));
        let lost = rng.between(900, 2_500);
        self.hit(at, lost + rng.between(0, 500), FaultKind::FreezeAgent(Who::Node(odd)));
        self.hit(at + lost, LONG_MS, FaultKind::KillNode(Who::Leader));
    }

    /// A standby does not see that the leader, which is cut off from all others, is deposed; and
    /// once that one has been repaired it leads again.
    fn returns_to_a_deposed(&mut self, rng: &mut Rng) {
        self.lags(rng, 5);
        (self.clients, self.pause_ms) = (10, 200);
        (self.late_percent, self.slow_percent, self.deaf_percent) = (0, 0, 0);
        let odd = rng.between(1, 4) as usize;
        let at = FROM_MS + 6_000;
        self.hit(FROM_MS, 100, FaultKind::Asked(Request::Switchover(Some(0))));
        self.hit(at, 45_000, FaultKind::Unwatched(Who::Node(odd)));
        for node in (1..5).filter(|node| *node != odd) {
            self.hit(at + 500, 4_000, FaultKind::Cut(Who::Node(0), node));
        }
        self.hit(at + 500, 4_000, FaultKind::StoreAway(Some(Who::Node(0))));
        // Only the odd one gets it: its branch is dead soon, and longer than what lives.
        self.hit(at + 700, 100, FaultKind::WriteMuch(Who::Node(0)));
        for number in 0..6 {
            let at = at + 7_000 + number * rng.between(1_000, 2_500);
            self.hit(at, 100, FaultKind::Asked(Request::Switchover(Some(0))));
        }
    }

    /// Agents of standbys do not see that leaders change.
    fn freezes_standbys(&mut self, rng: &mut Rng) {
        let nodes = rng.between(3, 5) as usize;
        self.lags(rng, nodes);
        let at = FROM_MS + rng.between(0, 3_000);
        let frozen = rng.index(self.nodes);
        self.hit(at, LONG_MS, FaultKind::FreezeAgent(Who::Node(frozen)));
        self.hit(at + 100, rng.between(2_000, 8_000), FaultKind::Isolate(Who::Leader));
        for number in 1..4 {
            let at = at + number * rng.between(2_000, 5_000);
            let kind = match rng.between(0, 2) {
                0 => FaultKind::KillNode(Who::Leader),
                1 => FaultKind::KillPostmaster(Who::Leader),
                _ => FaultKind::Asked(Request::Switchover(None)),
            };
            self.hit(at, rng.between(100, 4_000), kind);
        }
    }

    /// One standby is lost for a moment and comes back while the others confirm nothing.
    fn reconnects(&mut self, rng: &mut Rng) {
        self.lags(rng, 4);
        self.link_ms.fill(5);
        self.slow_percent = 0;
        for number in 0..3 {
            let at = FROM_MS + number * 8_000;
            let lost = rng.index(4);
            for node in (0..4).filter(|node| *node != lost) {
                self.hit(at, 7_000, FaultKind::Cut(Who::Leader, node));
            }
            self.hit(
                at + rng.between(100, 400),
                rng.between(50, 500),
                FaultKind::KillNode(Who::Node(lost)),
            );
        }
    }

    /// The leader's host is lost with WAL that nobody has, and lost again while it is repaired.
    fn rewinds(&mut self, rng: &mut Rng) {
        let nodes = rng.between(3, 4) as usize;
        self.lags(rng, nodes);
        let (at, lasts) = (FROM_MS + rng.between(0, 3_000), rng.between(5_000, 9_000));
        self.hit(at, 3_000, FaultKind::Isolate(Who::Leader));
        self.hit(at + rng.between(100, 900), lasts, FaultKind::KillNode(Who::Again));
        let back = at + lasts + rng.between(300, 3_500);
        self.hit(back, rng.between(100, 1_000), FaultKind::KillNode(Who::Again));
        self.hit(back + 12_000, LONG_MS, FaultKind::KillNode(Who::Leader));
    }

    /// New copies of voters are ordered.
    fn copies_anew(&mut self, rng: &mut Rng) {
        let nodes = rng.between(3, 4) as usize;
        self.lags(rng, nodes);
        for _ in 0..3 {
            let at = FROM_MS + rng.between(0, 9_000);
            let node = rng.index(self.nodes);
            self.hit(at, 100, FaultKind::Asked(Request::Reinit(node, None)));
        }
    }
}
