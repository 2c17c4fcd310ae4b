//! What the console of a pooler without a cluster knows beside its pools.

use std::sync::Arc;

use howdah_base::topology::Topology;
use tokio::sync::{mpsc, watch};

use super::{Address, Database, Settings};
use crate::console::{Console, ConsoleConfig, Operators, Place, Places, Shown, Wish};
use crate::data::Threads;
use crate::policy::Policy;

/// Told anew when the settings are read anew.
pub(super) struct Told {
    operators: watch::Sender<Arc<Operators>>,
    policy: watch::Sender<Arc<Policy>>,
    settings: watch::Sender<Arc<Vec<Shown>>>,
    /// There is no cluster: nothing is ever told of one.
    topology: watch::Sender<Topology>,
    places: watch::Sender<Arc<Places>>,
    port: u16,
}

impl Told {
    pub fn new(now: &Settings) -> Told {
        Told {
            operators: watch::channel(Arc::new(operators(now))).0,
            policy: watch::channel(Arc::new(now.policy.clone())).0,
            settings: watch::channel(Arc::new(now.console.shown.clone())).0,
            topology: watch::channel(Topology::default()).0,
            places: watch::channel(Arc::new(places(now))).0,
            port: now.console.port,
        }
    }

    pub fn follow(&self, now: &Settings) {
        self.operators.send_replace(Arc::new(operators(now)));
        self.policy.send_replace(Arc::new(now.policy.clone()));
        self.settings.send_replace(Arc::new(now.console.shown.clone()));
        self.places.send_replace(Arc::new(places(now)));
    }

    pub fn console(&self, pooler: &Threads, wishes: mpsc::Sender<Wish>) -> Console {
        let config = ConsoleConfig {
            operators: self.operators.subscribe(),
            wishes,
            settings: self.settings.subscribe(),
            port: self.port,
        };
        let (policy, topology) = (self.policy.subscribe(), self.topology.subscribe());
        let console = Console::new(pooler.all().to_vec(), config, policy, topology);
        console.placed(self.places.subscribe())
    }
}

fn places(now: &Settings) -> Places {
    Places {
        named: now.databases.iter().map(|(name, of)| (name.clone(), place(of))).collect(),
        fallback: now.fallback.as_deref().map(place),
    }
}

/// Several hosts stand with commas between, as in the file.
fn place(of: &Database) -> Place {
    let mut port = 0;
    let hosts = of.addresses.iter().map(|address| match address {
        Address::Tcp { host, port: there } => {
            port = *there;
            host.clone()
        }
        Address::Unix(path) => {
            // `.s.PGSQL.5432`.
            let number = path.extension().and_then(|number| number.to_str());
            port = number.and_then(|number| number.parse().ok()).unwrap_or(port);
            path.parent().unwrap_or(path).display().to_string()
        }
    });
    let host = hosts.collect::<Vec<_>>().join(",");
    Place { host, port, name: of.name.clone(), user: of.user.clone() }
}

fn operators(now: &Settings) -> Operators {
    let set = |names: &[String]| names.iter().cloned().collect();
    Operators { command: set(&now.console.admins), look: set(&now.console.watchers) }
}
