//! Waits until a cluster is complete: a primary that takes clients, and every standby
//! streaming from it. Says what each node does on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use howdah_base::NodeName;
use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, NodeStatus};
use howdah_ha::Rule;
use howdah_spec::{ClusterSpec, NodeKind};
use tokio::time::{Instant, sleep};

use super::given_up::GivenUp;
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
    /// It is complete but for these nodes, which were refused for good.
    Without(Box<ClusterStatus>, BTreeSet<NodeName>),
    /// The last status, if any node ever answered.
    TimedOut(Option<Box<ClusterStatus>>),
}

pub async fn until_ready(spec: &ClusterSpec, asker: &Asker, given_up: &GivenUp) -> Outcome {
    let deadline = Instant::now() + READY_TIMEOUT;
    let mut progress = Progress::new();
    let mut last = None;
    while Instant::now() < deadline {
        if let Ok(status) = asker.status().await {
            progress.tell(&status);
            let without = given_up.now();
            if is_ready(spec, &status, &without) {
                let status = Box::new(status);
                let all = without.is_empty();
                return if all {
                    Outcome::Ready(status)
                } else {
                    Outcome::Without(status, without)
                };
            }
            last = Some(Box::new(status));
        }
        sleep(ASK_EVERY).await;
    }
    Outcome::TimedOut(last)
}

fn is_ready(spec: &ClusterSpec, status: &ClusterStatus, without: &BTreeSet<NodeName>) -> bool {
    let is_up = |name: &NodeName| {
        let node = status.nodes.iter().find(|node| node.node == *name && node.alive);
        let is_leader = status.leader.as_ref() == Some(name);
        if spec.nodes[name].kind == NodeKind::Witness {
            return node.is_some();
        }
        let wanted = if is_leader { ServerState::Primary } else { ServerState::Streaming };
        node.is_some_and(|node| node.state == wanted)
    };
    let mut wanted = spec.nodes.keys().filter(|name| !without.contains(*name));
    status.leader.is_some()
        && wanted.all(is_up)
        && (!without.is_empty() || may_lose_a_node(spec, status))
}

/// What the operator will try next is to kill the primary: standbys must count by then.
fn may_lose_a_node(spec: &ClusterSpec, status: &ClusterStatus) -> bool {
    let data = || spec.nodes.values().filter(|node| node.kind == NodeKind::Data);
    let may_vote = data().filter(|node| !node.tags.no_sync).count();
    status.nodes_spare.is_none_or(|spare| spare > 0) || data().count() == 1 || may_vote < 2
}

/// When each sentence was last said, so that a node that goes to and fro does not fill the
/// screen.
struct Progress {
    said: BTreeMap<(NodeName, String), Instant>,
    now: BTreeMap<NodeName, String>,
    spoke: Instant,
}

impl Progress {
    fn new() -> Progress {
        Progress { said: BTreeMap::new(), now: BTreeMap::new(), spoke: Instant::now() }
    }

    fn tell(&mut self, status: &ClusterStatus) {
        let remind = self.spoke.elapsed() >= REMIND_EVERY;
        for node in status.nodes.iter().filter(|node| node.alive) {
            let doing = doing(node, status);
            let before = self.now.insert(node.node.clone(), doing.clone());
            if before.as_ref() != Some(&doing) {
                self.say_once_in_a_while(&node.node, doing);
            } else if remind && !is_settled(node.state) && !is_witness(node) {
                let why = format!(" ({})", node.reason);
                let why = if doing.contains(&node.reason) { "" } else { &why };
                say(format!("{}: still: {doing}{why}", node.node));
                self.spoke = Instant::now();
            }
        }
    }

    fn say_once_in_a_while(&mut self, node: &NodeName, doing: String) {
        let key = (node.clone(), doing);
        if self.said.get(&key).is_some_and(|said| said.elapsed() < REMIND_EVERY) {
            return;
        }
        say(format!("{node}: {}", key.1));
        self.spoke = Instant::now();
        self.said.insert(key, self.spoke);
    }
}

fn is_witness(node: &NodeStatus) -> bool {
    node.member.as_ref().is_some_and(|member| member.witness)
}

fn is_settled(state: ServerState) -> bool {
    matches!(state, ServerState::Primary | ServerState::Streaming)
}

/// One line for one node.
fn doing(node: &NodeStatus, status: &ClusterStatus) -> String {
    let upstream = status.leader.as_ref().filter(|leader| **leader != node.node);
    let leads = status.leader.is_some() && upstream.is_none();
    let words = match (node.state, upstream) {
        (ServerState::Creating, _) => return creating(node, upstream),
        _ if is_witness(node) => "witness",
        (ServerState::Stopped, _) if leads => "starting",
        (ServerState::Stopped, Some(_)) => "not started yet",
        (ServerState::Stopped, None) => "stopped",
        (ServerState::Starting, _) => "starting",
        (ServerState::PrimaryGated, _) => "primary, making roles and databases",
        (ServerState::Primary, _) => "primary",
        (ServerState::Standby, _) => "standby, not streaming yet",
        (ServerState::Streaming, Some(leader)) => return format!("streaming from {leader}"),
        (ServerState::Streaming, None) => "streaming",
        (ServerState::Stopping, _) => "stopping",
        (ServerState::Refused, _) => return format!("refused: {}", node.reason),
        (ServerState::Unknown, _) => "not answering yet",
    };
    words.to_owned()
}

/// A node without a directory makes one, copies one, or waits for something that it names.
fn creating(node: &NodeStatus, upstream: Option<&NodeName>) -> String {
    let decided = |rules: &[Rule]| rules.iter().any(|rule| rule.number() == node.rule);
    match upstream {
        Some(leader) if decided(&[Rule::Copy, Rule::Busy]) => format!("copying from {leader}"),
        None if decided(&[Rule::Initdb, Rule::RecordInitialize, Rule::Busy]) => {
            "creating database cluster".to_owned()
        }
        _ => node.reason.clone(),
    }
}
