//! A proxy on a host without a node: everything that it knows, nodes have told it.
//!
//! ```text
//! node n1 ── News ──► stream ─┐
//! node n2 ── News ──► stream ─┼─► Views: the highest term, the freshest ─► topology ─► the proxy
//! node n3 ── News ──► stream ─┘        └ nobody tells any more: clients are held
//!                                      └ which nodes there are: which streams there are
//! clients' roles ─► ask_nodes ─► a node's own server
//! ```

mod ask;
mod kept;
mod stream;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use howdah_base::topology::Topology;
use howdah_base::{ClusterName, NodeName};
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep_until;

use crate::tell::Rules;
use view::Views;

pub use ask::ask_nodes;

/// News that waits.
const NEWS_MAX: usize = 64;
/// Of all nodes' and first addresses together.
const STREAMS_MAX: usize = 64;

/// How nodes are found and known.
#[derive(Clone, Debug)]
pub struct Following {
    pub cluster: ClusterName,
    /// With the proxy's own certificate.
    pub tls: Arc<ClientConfig>,
    /// Peer ports, `host:port`, of some nodes: the first that are asked.
    pub first: Vec<String>,
}

/// What nodes have told.
#[derive(Clone, Debug)]
pub struct Hearsay {
    pub topology: watch::Receiver<Topology>,
    /// `None` until the first node has told.
    pub rules: watch::Receiver<Option<Arc<Rules>>>,
    /// How many nodes tell at the moment.
    pub telling: watch::Receiver<usize>,
}

/// Follows the nodes until nobody wants to know any more.
pub fn follow(following: Following) -> Hearsay {
    let (topology, topology_now) = watch::channel(Topology::default());
    let (rules, rules_now) = watch::channel(None);
    let (telling, telling_now) = watch::channel(0);
    let (news, inbox) = mpsc::channel(NEWS_MAX);
    let streams = Streams { following, news, running: BTreeMap::new(), tasks: JoinSet::new() };
    let follower = Follower { streams, inbox, views: Views::default(), topology, rules, telling };
    tokio::spawn(follower.run());
    Hearsay { topology: topology_now, rules: rules_now, telling: telling_now }
}

struct Follower {
    streams: Streams,
    inbox: mpsc::Receiver<stream::Heard>,
    views: Views,
    topology: watch::Sender<Topology>,
    rules: watch::Sender<Option<Arc<Rules>>>,
    telling: watch::Sender<usize>,
}

impl Follower {
    async fn run(mut self) {
        loop {
            let now = Instant::now();
            self.publish(now);
            self.streams.keep(&self.views, now);
            let look = self.views.next_look(now).into();
            tokio::select! {
                Some(heard) = self.inbox.recv() => {
                    self.views.hear(heard.from, heard.news, Instant::now());
                }
                () = sleep_until(look) => {}
                () = self.topology.closed() => return,
            }
        }
    }

    fn publish(&self, now: Instant) {
        if let Some(rules) = self.views.rules(now) {
            let rules = Some(rules);
            self.rules.send_if_modified(|last| {
                let changed = *last != rules;
                last.clone_from(&rules);
                changed
            });
        }
        let (topology, telling) = (self.views.topology(now), self.views.telling(now));
        self.topology.send_if_modified(|last| {
            let changed = *last != topology;
            *last = topology;
            changed
        });
        self.telling.send_if_modified(|last| {
            let before = std::mem::replace(last, telling);
            match (before, telling) {
                (0, 1..) => tracing::info!("a node tells where the servers are"),
                (1.., 0) => tracing::error!(
                    "no node tells any more where the servers are: clients are held; \
                     hint: are the nodes up, and is their `peer_port` open to this host?"
                ),
                _ => {}
            }
            before != telling
        });
    }
}

/// One task an address, for all that should be asked.
struct Streams {
    following: Following,
    news: mpsc::Sender<stream::Heard>,
    running: BTreeMap<String, AbortHandle>,
    tasks: JoinSet<()>,
}

impl Streams {
    fn keep(&mut self, views: &Views, now: Instant) {
        let mut wanted: BTreeSet<String> = views.addresses();
        if views.telling(now) == 0 {
            // The cluster may have moved while nobody looked.
            wanted.extend(self.following.first.iter().cloned());
        }
        self.running.retain(|address, task| {
            let stays = wanted.contains(address);
            if !stays {
                task.abort();
            }
            stays
        });
        while self.tasks.try_join_next().is_some() {}
        for address in wanted.into_iter().take(STREAMS_MAX) {
            let (following, news) = (&self.following, &self.news);
            self.running.entry(address).or_insert_with_key(|address| {
                let stream = stream::keep(address.clone(), following.clone(), news.clone());
                self.tasks.spawn(stream)
            });
        }
    }
}

/// The nodes that may answer a question, the likeliest first: the primary has new roles first.
fn in_turn(now: &Topology) -> Vec<NodeName> {
    let mut nodes: Vec<&NodeName> = now.nodes.keys().collect();
    let reads = |node: &NodeName| now.nodes[node].standby_lag.is_some();
    nodes.sort_by_key(|node| (now.primary.as_ref() != Some(*node), !reads(node)));
    nodes.into_iter().cloned().collect()
}
