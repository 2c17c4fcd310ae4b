//! The probe as crates/agent/src/observe.rs sends it: every second and when it is told to, its
//! answer always a little older than the moment at which it is taken in.

use howdah_base::Tick;

use crate::event::{Facts, ForAgent};
use crate::world::World;

const PROBE_MS: u64 = 1_000;
/// A probe that failed is repeated after this, ms.
const PROBE_AGAIN_MS: u64 = 100;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Probing {
    Idle,
    Pausing(u64),
    /// A question is under way; once it is answered, ask again at once.
    Asking {
        again: bool,
    },
}

impl World {
    pub(crate) fn probe_if_idle(&mut self, node: usize) {
        let agent = self.agent(node);
        if agent.alive && agent.probing == Probing::Idle {
            self.probe_in(node, 1);
        }
    }

    pub(crate) fn probe_now(&mut self, node: usize) {
        match &mut self.agent(node).probing {
            Probing::Asking { again } => *again = true,
            Probing::Pausing(_) => self.probe_in(node, 1),
            Probing::Idle => {}
        }
    }

    fn probe_in(&mut self, node: usize, pause: u64) {
        let at = self.now + pause;
        self.agent(node).probing = Probing::Pausing(at);
        self.after_agent(node, pause, ForAgent::Probe);
    }

    pub(crate) fn probe(&mut self, node: usize) -> bool {
        let now = self.now;
        let asked_at = self.local(node);
        let delay = self.rng.between(1, 10);
        let agent = self.agent(node);
        // A machine that stood still comes to it late.
        if !matches!(agent.probing, Probing::Pausing(at) if at <= now) {
            return false;
        }
        if !agent.alive {
            agent.probing = Probing::Idle;
            return false;
        }
        agent.probing = Probing::Asking { again: false };
        self.after_agent(node, delay, ForAgent::Read { asked_at });
        false
    }

    pub(crate) fn probed(&mut self, node: usize, facts: Option<Box<Facts>>, asked_at: Tick) {
        let agent = self.agent(node);
        let again = agent.probing == Probing::Asking { again: true };
        let pause = match (&facts, again) {
            (_, true) => 1,
            (Some(_), _) => PROBE_MS,
            (None, _) => PROBE_AGAIN_MS,
        };
        if agent.alive {
            match facts {
                Some(_) if asked_at < agent.facts_after => {}
                Some(facts) => {
                    agent.facts = Some(*facts);
                    agent.observed_at = asked_at;
                    agent.silent_since = None;
                }
                None => agent.silent_since = agent.silent_since.or(Some(asked_at)),
            }
        }
        self.probe_in(node, pause);
    }
}
