//! Nodes that are held: none starts while directories change their places, whoever starts it.
//!
//! A mark lies with each node. A node looks for it under its own lock, so none gets past a mark that was
//! there before it came; one that finds it waits, and then ends, for its supervisor to try again.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use howdah_postgres::write_durably;
use howdah_spec::{ClusterSpec, NodeSpec};

use super::journal::{self, remove};
use crate::failure::{Exit, Failure};
use crate::prepare::lock::Lock;
use crate::talk::say;

const MARK: &str = "held";
/// A switch-over takes seconds. One that was killed is told of again with each try.
const WAIT_AT_MOST: Duration = Duration::from_secs(60);
/// For whoever only waits for the cluster.
const LONG: Duration = Duration::from_secs(15);
const WHAT_NEXT: &str = "howdah restore --cluster --continue, or --undo to give it up";
const LOOK_EVERY: Duration = Duration::from_millis(100);

fn mark(node: &NodeSpec) -> PathBuf {
    node.state_dir.join(MARK)
}

/// From here on no node of the cluster starts.
pub fn all(spec: &ClusterSpec) -> anyhow::Result<()> {
    for node in spec.nodes.values().filter(|node| node.state_dir.is_dir()) {
        write_durably(&mark(node), "by `howdah restore --cluster`\n")?;
    }
    Ok(())
}

pub fn any(spec: &ClusterSpec) -> bool {
    spec.nodes.values().any(is_held)
}

pub fn lift(spec: &ClusterSpec) -> anyhow::Result<()> {
    spec.nodes.values().try_for_each(|node| remove(&mark(node)))
}

/// Asked by a node that holds its own lock.
pub fn is_held(node: &NodeSpec) -> bool {
    mark(node).exists()
}

/// For whoever starts a cluster whose nodes may be held.
pub fn tell(spec: &ClusterSpec) {
    if any(spec) {
        say(
            "howdah: the cluster is being taken to another moment; no node starts before that is done",
        );
        say(format!("hint: was it interrupted? {WHAT_NEXT}"));
    }
}

/// Ends once nodes are held although nobody is at it any more. Never otherwise.
pub async fn for_long(spec: &ClusterSpec) -> Failure {
    let mut since = Instant::now();
    loop {
        let is_at_it = journal::lock(spec).is_some_and(|path| Lock::is_held(&path));
        if !any(spec) || is_at_it {
            since = Instant::now();
        }
        if since.elapsed() >= LONG {
            let what = "no node starts: the cluster is being taken to another moment, and that was \
                        interrupted";
            return Failure::new(Exit::TimedOut, what).hint(WHAT_NEXT);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How a node ends that was told to: one that is held, so that a service manager starts it again, as it
/// does where an agent has left for another.
pub fn ended(node: &NodeSpec) -> anyhow::Result<()> {
    if !is_held(node) {
        return Ok(());
    }
    let what = "the node has ended for a moment: the cluster is being taken to another one";
    Err(Failure::new(Exit::TimedOut, what).into())
}

/// Until it is not held; not for ever.
pub fn wait(node: &NodeSpec) -> anyhow::Result<()> {
    if !is_held(node) {
        return Ok(());
    }
    say("howdah: the cluster is being taken to another moment; this node waits for that");
    let deadline = Instant::now() + WAIT_AT_MOST;
    while is_held(node) {
        if Instant::now() >= deadline {
            let what = "the cluster is being taken to another moment, and no node starts meanwhile";
            let hint = format!("was it interrupted? {WHAT_NEXT}");
            return Err(Failure::new(Exit::TimedOut, what).hint(hint).into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}
