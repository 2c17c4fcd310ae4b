//! The agent's status in the words of hooks: what a node publishes for people is what its hooks
//! go by.

use howdah_base::Tick;
use howdah_base::record::{OrderKind, ServerState};
use howdah_base::status::{ClusterStatus, NodeStatus};

use crate::seen::{Leader, Reason, Role, Seen};

/// What the status does not say.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside {
    /// Until when this node leads with its gate open: the guard's deadline.
    pub leads_until: Option<Tick>,
    /// Reloads of the own server that this agent has carried out.
    pub reloads: u64,
    /// Wall clock, milliseconds since 1970: an order may be for later.
    pub unix_ms: u64,
}

impl Seen {
    /// What `status` says to hooks of the node that has made it; the cluster's identity is not in it.
    pub fn of_status(status: &ClusterStatus, beside: Beside) -> Seen {
        let own = status.nodes.iter().find(|node| node.node == status.seen_by);
        let member = own.and_then(|node| node.member.as_ref());
        let others = status.nodes.iter().filter(|node| node.node != status.seen_by);
        Seen {
            role: own.map_or(Role::Unknown, role),
            term: status.term,
            timeline: own.and_then(|node| node.position).map(|position| position.timeline),
            leader: leader(status),
            paused: status.paused.is_some(),
            reason: own.map_or_else(Reason::default, |node| Reason {
                rule: node.rule,
                text: node.reason.clone(),
            }),
            server_started_unix_ms: member.and_then(|member| member.started_unix_ms),
            restarting: own.is_some_and(|node| is_restarting(node, beside.unix_ms)),
            reloads: beside.reloads,
            others: others.map(|node| (node.node.clone(), node.alive)).collect(),
            store_away: !status.store.reachable,
            problems: status.problems.clone(),
            leads_until: beside.leads_until,
            ..Seen::unknown(status.cluster.clone(), status.seen_by.clone())
        }
    }
}

/// A fence that has not come through yet is a server that still serves.
fn role(own: &NodeStatus) -> Role {
    let fenced = own.fenced.is_some();
    match own.state {
        ServerState::Creating | ServerState::Refused => Role::None,
        ServerState::Stopped if fenced => Role::Fenced,
        ServerState::Stopped => Role::Stopped,
        ServerState::Starting | ServerState::PrimaryGated => Role::Starting,
        ServerState::Primary => Role::Primary,
        ServerState::Standby | ServerState::Streaming => Role::Standby,
        ServerState::Stopping => Role::Stopping,
        ServerState::Unknown => Role::Unknown,
    }
}

/// The holder of the lease, once it lets clients in.
fn leader(status: &ClusterStatus) -> Option<Leader> {
    let name = status.leader.as_ref()?;
    let node = status.nodes.iter().find(|node| node.node == *name)?;
    let endpoint =
        status.endpoints.iter().find(|end| end.node == *name && end.name == "rw").map(|e| e.port);
    (node.state == ServerState::Primary).then(|| Leader {
        node: name.clone(),
        host: node.host.clone(),
        postgres_port: node.postgres_port,
        rw_port: endpoint.unwrap_or(node.postgres_port),
    })
}

fn is_restarting(own: &NodeStatus, unix_ms: u64) -> bool {
    own.order.as_ref().is_some_and(|order| {
        matches!(order.kind, OrderKind::Restart { .. })
            && order.at_unix_ms.is_none_or(|at| at <= unix_ms)
    })
}

#[cfg(test)]
mod tests {
    use howdah_base::Term;

    use super::*;

    fn status() -> ClusterStatus {
        let node = |name: &str, port: u16, state: &str, alive: bool| {
            serde_json::json!({
                "node": name, "host": format!("{name}.example.com"), "postgres_port": port,
                "http_port": 8008, "state": state, "position": null, "lag_bytes": null,
                "lag_ms": null, "voter": true, "rule": 101, "reason": "leads",
                "not_promotable": null, "pending_restart": [], "problems": [], "alive": alive,
                "member": null
            })
        };
        let status = serde_json::json!({
            "cluster": "shop", "seen_by": "n1", "durability": "quorum", "term": 7, "leader": "n2",
            "store": { "kind": "etcd", "reachable": true, "error": null },
            "nodes": [
                node("n1", 5433, "streaming", true),
                node("n2", 5434, "primary", true),
                node("n3", 5435, "unknown", false)
            ],
            "endpoints": [
                { "node": "n2", "name": "ro", "host": "n2.example.com", "port": 6443 },
                { "node": "n2", "name": "rw", "host": "n2.example.com", "port": 6442 }
            ],
            "nodes_spare": 1, "problems": ["`n3` is gone"], "history": [], "config_revision": 1
        });
        serde_json::from_value(status).expect("a status")
    }

    fn seen(status: &ClusterStatus) -> Seen {
        Seen::of_status(status, Beside { unix_ms: 1000, ..Beside::default() })
    }

    #[test]
    fn a_standby_sees_who_leads_and_who_is_there() {
        let seen = seen(&status());
        assert_eq!((seen.role, seen.term, seen.paused), (Role::Standby, Term(7), false));
        let leader = seen.leader.expect("a leader");
        assert_eq!(leader.host, "n2.example.com");
        assert_eq!((leader.postgres_port, leader.rw_port), (5434, 6442));
        let others: Vec<_> = seen.others.iter().map(|(n, alive)| (n.as_str(), *alive)).collect();
        assert_eq!(others, [("n2", true), ("n3", false)]);
        assert_eq!(seen.problems, ["`n3` is gone"]);
        assert_eq!(seen.reason, Reason { rule: 101, text: "leads".to_owned() });
    }

    #[test]
    fn a_leader_counts_when_it_lets_clients_in() {
        let mut status = status();
        status.nodes[1].state = ServerState::PrimaryGated;
        assert_eq!(seen(&status).leader, None);
        status.nodes[1].state = ServerState::Stopping;
        assert_eq!(seen(&status).leader, None);
    }

    #[test]
    fn roles_are_the_servers_states() {
        let fence = serde_json::json!({ "by": "admin", "at_unix_ms": 1 });
        for (state, fenced, role) in [
            (ServerState::Creating, false, Role::None),
            (ServerState::Stopped, false, Role::Stopped),
            (ServerState::Stopped, true, Role::Fenced),
            (ServerState::PrimaryGated, false, Role::Starting),
            (ServerState::Primary, false, Role::Primary),
            // Not yet carried out.
            (ServerState::Primary, true, Role::Primary),
            (ServerState::Standby, false, Role::Standby),
            (ServerState::Unknown, true, Role::Unknown),
        ] {
            let mut status = status();
            status.nodes[0].state = state;
            let fence = fenced.then(|| serde_json::from_value(fence.clone()).expect("a fence"));
            status.nodes[0].fenced = fence;
            assert_eq!(seen(&status).role, role, "{state:?} {fenced}");
        }
    }

    #[test]
    fn a_restart_that_is_planned_for_later_is_none_yet() {
        let order = |kind: &str, at: Option<u64>| {
            let kind = serde_json::json!({ "kind": kind, "from": null });
            serde_json::json!({ "id": "a", "kind": kind, "by": "admin", "at_unix_ms": at })
        };
        for (order, restarting) in [
            (order("restart", None), true),
            (order("restart", Some(1000)), true),
            (order("restart", Some(1001)), false),
            (order("reload", None), false),
        ] {
            let mut status = status();
            status.nodes[0].order = Some(serde_json::from_value(order).expect("an order"));
            assert_eq!(seen(&status).restarting, restarting, "{:?}", status.nodes[0].order);
        }
    }
}
