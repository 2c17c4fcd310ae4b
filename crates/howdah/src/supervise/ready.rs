//! Waits until a cluster is complete: a primary that takes clients, and every standby
//! streaming from it. Says what each node does on the way.

use std::collections::BTreeMap;
use std::time::Duration;

use howdah_base::NodeName;
use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, NodeStatus};
use howdah_spec::ClusterSpec;
use tokio::time::{Instant, sleep};

use crate::ask::Asker;
use crate::talk::say;

/// How long `up` waits for a complete cluster before it says what it has.
pub const READY_TIMEOUT: Duration = Duration::from_secs(300);
const ASK_EVERY: Duration = Duration::from_millis(300);
/// Silence makes people press Ctrl-C: after this long, the state is said again, with its reason.
const REMIND_EVERY: Duration = Duration::from_secs(20);

/// What the wait came to.
#[derive(Debug)]
pub enum Outcome {
    Ready(Box<ClusterStatus>),
    /// The last status, if any node ever answered.
    TimedOut(Option<Box<ClusterStatus>>),
}

pub async fn until_ready(spec: &ClusterSpec, asker: &Asker) -> Outcome {
    let deadline = Instant::now() + READY_TIMEOUT;
    let mut progress = Progress::new();
    let mut last = None;
    while Instant::now() < deadline {
        if let Ok(status) = asker.status().await {
            progress.tell(&status);
            if is_ready(spec, &status) {
                return Outcome::Ready(Box::new(status));
            }
            last = Some(Box::new(status));
        }
        sleep(ASK_EVERY).await;
    }
    Outcome::TimedOut(last)
}

fn is_ready(spec: &ClusterSpec, status: &ClusterStatus) -> bool {
    spec.nodes.keys().all(|name| {
        let node = status.nodes.iter().find(|node| node.node == *name && node.alive);
        let is_leader = status.leader.as_ref() == Some(name);
        let wanted = if is_leader { ServerState::Primary } else { ServerState::Streaming };
        node.is_some_and(|node| node.state == wanted)
    }) && status.leader.is_some()
}

/// What has been said of each node, so that it is said once.
struct Progress {
    said: BTreeMap<NodeName, String>,
    spoke: Instant,
}

impl Progress {
    fn new() -> Progress {
        Progress { said: BTreeMap::new(), spoke: Instant::now() }
    }

    fn tell(&mut self, status: &ClusterStatus) {
        let remind = self.spoke.elapsed() >= REMIND_EVERY;
        for node in status.nodes.iter().filter(|node| node.alive) {
            let doing = doing(node, status);
            if self.said.get(&node.node) != Some(&doing) {
                say(format!("{}: {doing}", node.node));
                self.said.insert(node.node.clone(), doing);
                self.spoke = Instant::now();
            } else if remind && !is_settled(node.state) {
                say(format!("{}: still {doing} ({})", node.node, node.reason));
                self.spoke = Instant::now();
            }
        }
    }
}

fn is_settled(state: ServerState) -> bool {
    matches!(state, ServerState::Primary | ServerState::Streaming)
}

/// One line for one node.
fn doing(node: &NodeStatus, status: &ClusterStatus) -> String {
    let leader = status.leader.as_ref().filter(|leader| **leader != node.node);
    match (node.state, leader) {
        (ServerState::Creating, Some(leader)) => format!("copying from {leader}"),
        (ServerState::Creating, None) if status.leader.is_some() => {
            "creating database cluster".to_owned()
        }
        (ServerState::Creating, None) => "waiting for a primary".to_owned(),
        (ServerState::Stopped, _) => "stopped".to_owned(),
        (ServerState::Starting, _) => "starting".to_owned(),
        (ServerState::PrimaryGated, _) => "primary, making roles and databases".to_owned(),
        (ServerState::Primary, _) => "primary".to_owned(),
        (ServerState::Standby, _) => "standby, not streaming yet".to_owned(),
        (ServerState::Streaming, Some(leader)) => format!("streaming from {leader}"),
        (ServerState::Streaming, None) => "streaming".to_owned(),
        (ServerState::Stopping, _) => "stopping".to_owned(),
        (ServerState::Refused, _) => format!("refused: {}", node.reason),
        (ServerState::Unknown, _) => "not answering yet".to_owned(),
    }
}
