//! A node before its agent runs: it waits for the store, and says so to whoever asks over HTTP.

use std::sync::Arc;

use howdah_agent::Channels;
use howdah_api::{Ask, Feeds, Health, Refusal, RefusalClass, Request};
use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, NodeStatus, StoreStatus};
use howdah_base::{NodeName, Term, Tick};
use howdah_spec::{ClusterSpec, Durability, StoreSpec};
use serde_json::Map;
use tokio::sync::{mpsc, oneshot, watch};

use crate::archive::Told;
use crate::node;

/// Requests of operators that wait.
const REQUESTS_MAX: usize = 16;

/// What HTTP tells: from the agent as soon as it has a picture, and before that why there is none,
/// if that is not over at once.
pub async fn feeds(
    spec: Arc<ClusterSpec>,
    node: NodeName,
    agent: oneshot::Receiver<Arc<Channels>>,
    mut why: watch::Receiver<String>,
    archive: Told,
) -> Option<Feeds> {
    let mut agent = agent;
    let waits = tokio::select! {
        channels = &mut agent => return node::feeds(channels.ok()?, &archive, &node).await,
        waits = first(&mut why) => waits?,
    };
    let (status, page) = watch::channel(Arc::new(waiting(&spec, &node, &waits)));
    let (health, checks) = watch::channel(unwell());
    let (file, in_force) = watch::channel(None);
    let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
    tokio::spawn(async move {
        let mut inbox = inbox;
        let channels = loop {
            tokio::select! {
                channels = &mut agent => break channels,
                Some(request) = inbox.recv() => refuse(request),
                Ok(()) = why.changed() => {
                    let next = waiting(&spec, &node, &why.borrow_and_update());
                    status.send_replace(Arc::new(next));
                }
            }
        };
        let Ok(channels) = channels else { return };
        let Some(feeds) = node::feeds(channels, &archive, &node).await else { return };
        tokio::join!(
            forward(feeds.status, status),
            forward(feeds.health, health),
            forward(feeds.file, file),
            async {
                while let Some(request) = inbox.recv().await {
                    // The agent is gone: whoever asked hears it by the closed reply.
                    let _ = feeds.requests.send(request).await;
                }
            },
        );
    });
    Some(Feeds { status: page, health: checks, file: in_force, requests })
}

async fn first(why: &mut watch::Receiver<String>) -> Option<String> {
    let waits = why.wait_for(|why| !why.is_empty()).await;
    waits.ok().map(|why| why.clone())
}

async fn forward<T: Clone>(mut from: watch::Receiver<T>, to: watch::Sender<T>) {
    loop {
        let next = from.borrow_and_update().clone();
        to.send_replace(next);
        if from.changed().await.is_err() {
            return;
        }
    }
}

fn refuse(request: Request) {
    let why = match request.kind {
        Ask::Stop => "this node waits for the store: stop it by a signal",
        _ => "this node waits for the store: nothing can change before it is there",
    };
    let refusal = Refusal::new(why).class(RefusalClass::Unavailable);
    let _ = request.reply.send(Err(refusal));
}

/// What is known without a store: the file.
fn waiting(spec: &ClusterSpec, me: &NodeName, why: &str) -> ClusterStatus {
    let nodes = spec.nodes.iter().map(|(name, node)| NodeStatus {
        node: name.clone(),
        host: node.host.clone(),
        postgres_port: node.postgres_port,
        http_port: node.http_port,
        state: ServerState::Unknown,
        position: None,
        lag_bytes: None,
        lag_ms: None,
        voter: false,
        rule: 0,
        reason: if name == me { format!("waits for the store: {why}") } else { String::new() },
        not_promotable: None,
        not_switchable: None,
        failover_loses: None,
        pending_restart: Vec::new(),
        problems: Vec::new(),
        fenced: None,
        order: None,
        restart: None,
        alive: name == me,
        member: None,
    });
    ClusterStatus {
        cluster: spec.cluster.clone(),
        seen_by: me.clone(),
        durability: match spec.durability {
            Durability::Quorum => "quorum".to_owned(),
            Durability::Async => "async".to_owned(),
        },
        term: Term(0),
        leader: None,
        store: StoreStatus {
            kind: match spec.store {
                StoreSpec::Embedded { .. } => "embedded".to_owned(),
                StoreSpec::Etcd(_) => "etcd".to_owned(),
            },
            reachable: false,
            error: Some(why.to_owned()),
        },
        nodes: nodes.collect(),
        endpoints: Vec::new(),
        nodes_spare: None,
        rpo: None,
        opted_out: Vec::new(),
        opted_out_sessions: 0,
        problems: vec![format!("`{me}` waits for the store: {why}")],
        history: Vec::new(),
        config_revision: 0,
        paused: None,
        planned: None,
        switchover: Vec::new(),
        backups: None,
    }
}

/// No check is passed while nothing is known.
fn unwell() -> Health {
    Health {
        state: ServerState::Unknown,
        leader_until: None,
        position: None,
        replayed: None,
        leader_end: None,
        voter: false,
        beat: Tick(0),
        system_identifier: None,
        tags: Map::new(),
        paused: false,
        store_seen: None,
        store_reachable: false,
    }
}
