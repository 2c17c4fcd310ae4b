//! The machines' service manager, as `howdah install` sets it up: who ends is started again after
//! a second, but not who was asked to end, and not who says that a person must look.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use howdah_testkit::{Cluster, wait};

/// `EX_CONFIG`: a wrong file, directory or cluster, for a person to mend.
const FOR_A_PERSON: i32 = 78;
/// Between the end of an agent and its next beginning.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// What the service manager did.
#[derive(Debug, Default)]
pub struct Manager {
    /// Nodes whose machine has no power, or whose agent is to stay away for now.
    held: Mutex<BTreeSet<String>>,
    stopping: AtomicBool,
    restarts: AtomicU64,
    /// Agents that ended for a person to look.
    refused: Mutex<Vec<String>>,
}

impl Manager {
    /// This node's agent is not started until [`Manager::release`].
    pub fn hold(&self, node: &str) {
        lock(&self.held).insert(node.to_owned());
    }

    pub fn release(&self, node: &str) {
        lock(&self.held).remove(node);
    }

    pub fn is_held(&self, node: &str) -> bool {
        lock(&self.held).contains(node)
    }

    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    pub fn refused(&self) -> Vec<String> {
        lock(&self.refused).clone()
    }

    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Works until [`Manager::stop`].
    pub fn work(&self, cluster: &Cluster) {
        let stopping = || self.stopping.load(Ordering::Relaxed);
        while wait::stays(RESTART_AFTER, || !stopping()) {
            for node in cluster.nodes() {
                let Some(end) = node.agent_end() else { continue };
                if end.code() == Some(FOR_A_PERSON) {
                    let mut refused = lock(&self.refused);
                    if !refused.contains(&node.name) {
                        refused.push(node.name.clone());
                    }
                } else if !self.is_held(&node.name) && !end.success() {
                    self.restarts.fetch_add(1, Ordering::Relaxed);
                    node.start();
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
