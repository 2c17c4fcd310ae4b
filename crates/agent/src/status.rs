//! The status that people see, built from the view that decisions are made from.

use howdah_base::DirectoryId;
use howdah_base::commits::{OptedOut, Rpo};
use howdah_base::record::{Change, Config, Member, Pause, ServerState, Sync, key};
use howdah_base::status::{ClusterStatus, Endpoint, NodeStatus, StoreStatus};
use howdah_ha::{Durability, View, election, preflight};

use crate::agent::Agent;
use crate::planned::{Picture, with_servers};

/// Changes of the history that the status carries.
const HISTORY_SHOWN: usize = 20;
const STORE_AWAY: &str = "the store does not answer: nothing can change until it does, and of \
     other nodes only what was last known is shown";

pub(crate) fn build(agent: &Agent, view: &View, own: &Member) -> ClusterStatus {
    let shared = &agent.shared;
    let spec = shared.spec();
    let nodes: Vec<NodeStatus> =
        spec.nodes.iter().map(|(node, spec)| node_status(agent, view, own, node, spec)).collect();
    let history: Vec<Change> = record(agent, key::HISTORY).unwrap_or_default();
    let config: Option<Config> = record(agent, key::CONFIG);
    ClusterStatus {
        cluster: spec.cluster.clone(),
        seen_by: view.me.clone(),
        durability: match view.settings.durability {
            Durability::Quorum => "quorum".to_owned(),
            Durability::Async => "async".to_owned(),
        },
        term: view.store.term,
        leader: view.leader().map(|l| l.node.clone()),
        store: StoreStatus {
            kind: shared.config.store.kind().to_owned(),
            reachable: view.store.reachable,
            error: agent.store_error.clone(),
        },
        endpoints: endpoints(agent),
        nodes_spare: nodes_spare(view),
        rpo: rpo(view, own),
        opted_out: opted_out(view, own),
        opted_out_sessions: members(view, own).map(|member| member.commits.sessions).sum(),
        problems: paused(agent)
            .into_iter()
            .chain(problems(view, &nodes))
            .chain(planned(agent, view))
            .collect(),
        nodes,
        history: history.into_iter().rev().take(HISTORY_SHOWN).rev().collect(),
        config_revision: config.map_or(0, |c| c.revision),
        paused: record(agent, key::PAUSE),
        planned: record(agent, key::PLANNED),
        switchover: preflight::checks(view),
        backups: None,
    }
}

fn record<T: serde::de::DeserializeOwned>(agent: &Agent, key: &str) -> Option<T> {
    agent.snapshot.as_ref()?.get(key).ok().flatten().map(|(value, _)| value)
}

fn endpoints(agent: &Agent) -> Vec<Endpoint> {
    let of = |(node, spec): (&howdah_base::NodeName, &howdah_spec::NodeSpec)| {
        [("rw", spec.rw_port), ("ro", spec.ro_port), ("any", spec.any_port)].map(|(name, port)| {
            Endpoint { node: node.clone(), name: name.to_owned(), host: spec.host.clone(), port }
        })
    };
    agent.shared.spec().nodes.iter().flat_map(of).collect()
}

/// Nodes, the leader among them, that may be lost while another still has every acknowledged
/// commit *and* can take over. Two things bound it:
///
/// - `|V| - needed + 1` voters must answer an election, so of those that stream and the leader
///   `streaming + needed - |V|` may go. A node that may not lead counts here: it holds commits and
///   says so.
/// - One that may lead must be left, so no more may go than there are of them beside the leader.
///
/// When it is 0, nothing acknowledged is lost with a node, but writes may have to wait for it.
/// Not told in this number: where a voter that may not lead holds more than the others at that
/// moment, the takeover waits (rule 403).
fn nodes_spare(view: &View) -> Option<u32> {
    if view.settings.durability == Durability::Async {
        return None;
    }
    let sync = view.sync()?;
    let streaming = if view.store.reachable { streaming_voters(view, sync) } else { 0 };
    let voters = u32::try_from(sync.voters.len()).unwrap_or(u32::MAX);
    let heirs = if view.store.reachable { streaming_heirs(view, sync) } else { 0 };
    Some((streaming + sync.needed).saturating_sub(voters).min(heirs))
}

/// Each node's record, the own one as it is now.
fn members<'a>(view: &'a View, own: &'a Member) -> impl Iterator<Item = &'a Member> {
    let others = view.store.members.iter().filter(|(node, _)| **node != view.me);
    others.map(|(_, member)| member).chain([own])
}

fn leading<'a>(view: &'a View, own: &'a Member) -> Option<&'a Member> {
    let leader = view.leader()?;
    members(view, own).find(|member| member.node == leader.node)
}

/// Where voters confirm commits, none is acknowledged that only the leader holds.
fn rpo(view: &View, own: &Member) -> Option<Rpo> {
    let leader = leading(view, own)?;
    let waits = view.settings.durability == Durability::Quorum
        && view.sync().is_some_and(|sync| !sync.voters.is_empty());
    if waits { Some(Rpo::NOTHING) } else { leader.commits.rpo }
}

/// In `async` no commit waits for others, so only those count that do not wait for the disk.
fn opted_out(view: &View, own: &Member) -> Vec<OptedOut> {
    let asynchronous = view.settings.durability == Durability::Async;
    let waits_enough = |setting: &OptedOut| {
        asynchronous && matches!(setting.value.to_lowercase().as_str(), "local" | "remote_write")
    };
    let all = leading(view, own).map(|leader| leader.commits.opted_out.clone());
    all.unwrap_or_default().into_iter().filter(|setting| !waits_enough(setting)).collect()
}

/// Voters whose answers an election needs; at least one.
fn enough(sync: &Sync) -> u32 {
    let voters = u32::try_from(sync.voters.len()).unwrap_or(u32::MAX);
    (voters + 1).saturating_sub(sync.needed).max(1)
}

fn streaming_voters(view: &View, sync: &Sync) -> u32 {
    streaming(view, sync, |_| true)
}

/// Those of them that could take over: not tagged, fenced, or barred by disk or watchdog.
fn streaming_heirs(view: &View, sync: &Sync) -> u32 {
    streaming(view, sync, |member| election::unfit(view, member).is_none())
}

fn streaming(view: &View, sync: &Sync, counts: impl Fn(&Member) -> bool) -> u32 {
    let wanted = |id: &&DirectoryId| {
        view.member_of(id).is_some_and(|m| m.server == ServerState::Streaming && counts(m))
    };
    u32::try_from(sync.voters.iter().filter(wanted).count()).unwrap_or(u32::MAX)
}

fn node_status(
    agent: &Agent,
    view: &View,
    own: &Member,
    node: &howdah_base::NodeName,
    spec: &howdah_spec::NodeSpec,
) -> NodeStatus {
    let member = if *node == view.me { Some(own) } else { view.store.members.get(node) };
    let leader = view.leader().and_then(|l| view.store.members.get(&l.node));
    let behind = |m: &Member| {
        let (end, position) = leader?.position.zip(m.position)?;
        Some(end.lsn.bytes_past(m.replayed.unwrap_or(position.lsn)))
    };
    let voter = member.and_then(|m| m.directory.as_ref()).zip(view.sync());
    let leads = view.leader().is_some_and(|l| l.node == *node);
    NodeStatus {
        node: node.clone(),
        host: spec.host.clone(),
        postgres_port: spec.postgres_port,
        http_port: spec.http_port,
        state: member.map_or(ServerState::Unknown, |m| m.server),
        position: member.and_then(|m| m.position),
        lag_bytes: member.filter(|_| !leads).and_then(behind),
        lag_ms: member.filter(|_| !leads).and_then(|m| m.replay_lag_ms),
        voter: voter.is_some_and(|(id, sync)| sync.voters.contains(id)),
        rule: member.map_or(0, |m| m.rule),
        reason: member.map(|m| m.reason.clone()).unwrap_or_default(),
        not_promotable: match member {
            Some(_) if leads => None,
            Some(m) if m.witness => Some("it is a witness: it has no PostgreSQL".to_owned()),
            Some(m) => election::not_promotable(view, &agent.memory, m),
            None => Some("its agent does not answer".to_owned()),
        },
        not_switchable: match member {
            Some(_) if leads => None,
            Some(m) => election::not_switchable(view, m),
            None => Some("its agent does not answer".to_owned()),
        },
        failover_loses: member.and_then(|m| election::failover_loses(view, &agent.memory, m)),
        pending_restart: member.map(|m| m.pending_restart.clone()).unwrap_or_default(),
        problems: member.map(|m| m.problems.clone()).unwrap_or_default(),
        fenced: record(agent, &format!("{}{node}", key::FENCED)),
        order: record(agent, &format!("{}{node}", key::ORDERS)),
        restart: record(agent, &format!("{}{node}", key::RESTARTS)),
        alive: member.is_some() && (view.store.reachable || *node == view.me),
        member: member.cloned(),
    }
}

/// Nobody is to wonder why nothing happens.
fn paused(agent: &Agent) -> Option<String> {
    let pause: Pause = record(agent, key::PAUSE)?;
    Some(format!(
        "the cluster is paused, by {}: nothing is promoted, started or stopped by itself; hint: \
         howdah resume",
        pause.by
    ))
}

/// A planned restart that cannot be begun, or was given up.
fn planned(agent: &Agent, view: &View) -> Vec<String> {
    let all = with_servers(&agent.shared.spec());
    let picture = agent.snapshot.as_ref().and_then(|seen| Picture::of(seen, all).ok());
    picture.map(|picture| picture.problems(view.wall_ms)).unwrap_or_default()
}

/// What is wrong, in sentences; empty when all is well.
fn problems(view: &View, nodes: &[NodeStatus]) -> Vec<String> {
    let mut all = Vec::new();
    if !view.store.reachable {
        all.push(STORE_AWAY.to_owned());
    }
    if view.store.initialize.is_none() {
        all.push("the cluster is being created".to_owned());
    } else if view.leader().is_none() {
        all.push("there is no primary: writes wait until one is elected".to_owned());
    }
    for node in nodes {
        let name = &node.node;
        if !node.alive {
            all.push(format!("`{name}` is gone: its agent does not answer"));
        } else if !is_witness(node)
            && !matches!(node.state, ServerState::Primary | ServerState::Streaming)
        {
            all.push(format!("`{name}` is {}: {}", worded(node.state), node.reason));
        }
        all.extend(node.problems.iter().map(|problem| format!("`{name}`: {problem}")));
    }
    all.extend(durability(view));
    all
}

/// It runs, and has nothing that could be amiss but what it says itself.
fn is_witness(node: &NodeStatus) -> bool {
    node.member.as_ref().is_some_and(|member| member.witness)
}

fn durability(view: &View) -> Option<String> {
    let sync = view.sync()?;
    if view.settings.durability == Durability::Async {
        return None;
    }
    if sync.voters.is_empty() && view.store.initialize.is_some() {
        return Some(format!("`{}` stands alone: commits are on one node only", sync.leader));
    }
    let streaming = streaming_voters(view, sync);
    if streaming < sync.needed {
        return Some(match streaming {
            0 => "no voter streams: commits wait for one".to_owned(),
            _ => format!("{streaming} voters stream: commits wait for {}", sync.needed),
        });
    }
    (streaming < enough(sync)).then(|| {
        format!(
            "{streaming} of {} voters stream: if `{}` is lost now, nobody can take over until the \
             others are back",
            sync.voters.len(),
            sync.leader
        )
    })
}

/// A server's state in words.
pub(crate) fn worded(state: ServerState) -> &'static str {
    match state {
        ServerState::Creating => "being created",
        ServerState::Stopped => "stopped",
        ServerState::Starting => "starting",
        ServerState::PrimaryGated => "not letting clients in yet",
        ServerState::Primary => "primary",
        ServerState::Standby => "not streaming",
        ServerState::Streaming => "streaming",
        ServerState::Stopping => "stopping",
        ServerState::Refused => "refused",
        ServerState::Unknown => "not answering",
    }
}
