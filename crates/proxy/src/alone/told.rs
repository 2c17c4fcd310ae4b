//! What the console of a pooler without a cluster knows beside its pools.

use std::sync::Arc;

use howdah_base::topology::Topology;
use tokio::sync::{mpsc, watch};

use super::Settings;
use crate::console::{Console, ConsoleConfig, Operators, Shown, Wish};
use crate::data::Handle;
use crate::policy::Policy;

/// Told anew when the settings are read anew.
pub(super) struct Told {
    operators: watch::Sender<Arc<Operators>>,
    policy: watch::Sender<Arc<Policy>>,
    settings: watch::Sender<Arc<Vec<Shown>>>,
    /// There is no cluster: nothing is ever told of one.
    topology: watch::Sender<Topology>,
    port: u16,
}

impl Told {
    pub fn new(now: &Settings) -> Told {
        Told {
            operators: watch::channel(Arc::new(operators(now))).0,
            policy: watch::channel(Arc::new(now.policy.clone())).0,
            settings: watch::channel(Arc::new(now.console.shown.clone())).0,
            topology: watch::channel(Topology::default()).0,
            port: now.console.port,
        }
    }

    pub fn follow(&self, now: &Settings) {
        self.operators.send_replace(Arc::new(operators(now)));
        self.policy.send_replace(Arc::new(now.policy.clone()));
        self.settings.send_replace(Arc::new(now.console.shown.clone()));
    }

    pub fn console(&self, pooler: &Handle, wishes: mpsc::Sender<Wish>) -> Console {
        let config = ConsoleConfig {
            operators: self.operators.subscribe(),
            wishes,
            settings: self.settings.subscribe(),
            port: self.port,
        };
        let (policy, topology) = (self.policy.subscribe(), self.topology.subscribe());
        Console::new(vec![pooler.clone()], config, policy, topology)
    }
}

fn operators(now: &Settings) -> Operators {
    let set = |names: &[String]| names.iter().cloned().collect();
    Operators { command: set(&now.console.admins), look: set(&now.console.watchers) }
}
