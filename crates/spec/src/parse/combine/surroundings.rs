//! What names a node must name one that there is; what needs a store needs one that can.

use std::net::IpAddr;

use howdah_base::NodeName;

use super::super::report::Report;
use crate::types::{ClusterSpec, NodeKind, NodeSpec, StoreSpec};

pub(super) fn check(report: &Report<'_>, spec: &ClusterSpec) {
    let data = |name: &NodeName| spec.nodes.get(name).is_some_and(|n| n.kind == NodeKind::Data);
    if let Some(first) = spec.first_node.as_ref().filter(|first| !data(first)) {
        unknown(report, "first_node", first);
    }
    for (name, hook) in &spec.hooks {
        for node in hook.nodes.iter().filter(|node| !spec.nodes.contains_key(*node)) {
            unknown(report, &format!("hooks.{name}.nodes"), node);
        }
    }
    for (name, node) in &spec.nodes {
        check_upstream(report, spec, name);
        let witness = node.kind == NodeKind::Witness;
        if witness && matches!(&spec.store, StoreSpec::Etcd(etcd) if etcd.managed) {
            if node.store_member == Some(false) {
                let what =
                    format!("a witness without a member of the store does nothing: `{name}`");
                let path = format!("nodes.{name}.store_member");
                report.conflict(&[&path], what, "drop the line, or the node".to_owned());
            }
        } else if witness {
            let what = format!("a witness needs a managed store: `{name}`");
            let hint = "write `store = { etcd = { managed = true } }`, or drop the node".to_owned();
            report.conflict(&[&format!("nodes.{name}.kind")], what, hint);
        }
    }
    check_members(report, spec);
    check_vip(report, spec);
}

fn unknown(report: &Report<'_>, path: &str, node: &NodeName) {
    let hint = "name a node of this file".to_owned();
    report.conflict(&[path], format!("there is no such node: `{node}`"), hint);
}

/// Whom a standby streams from must run PostgreSQL, and not stream from it in turn.
fn check_upstream(report: &Report<'_>, spec: &ClusterSpec, name: &NodeName) {
    let path = format!("nodes.{name}.tags.replicate_from");
    let upstream = |of: &NodeName| spec.nodes.get(of)?.tags.replicate_from.clone();
    let Some(first) = upstream(name) else { return };
    if spec.nodes.get(&first).is_none_or(|node| node.kind == NodeKind::Witness) {
        unknown(report, &path, &first);
        return;
    }
    let mut seen = vec![name.clone()];
    let mut next = Some(first);
    while let Some(node) = next {
        if seen.contains(&node) {
            let what = format!("it would stream from itself: `{name}`");
            report.conflict(&[&path], what, "let one of the nodes follow the leader".to_owned());
            return;
        }
        next = upstream(&node);
        seen.push(node);
    }
}

/// Who may become the primary must answer on the virtual IP, and be reached without it.
fn check_vip(report: &Report<'_>, spec: &ClusterSpec) {
    let Some(vip) = spec.vip.as_ref().map(|vip| vip.address) else { return };
    let any = if vip.is_ipv4() { "0.0.0.0" } else { "::" };
    let may_lead = |node: &NodeSpec| node.kind == NodeKind::Data && !node.tags.no_failover;
    for (name, node) in spec.nodes.iter().filter(|(_, node)| may_lead(node)) {
        let path = format!("nodes.{name}.listen");
        let on_all = |ip: &IpAddr| ip.is_unspecified() && ip.is_ipv4() == vip.is_ipv4();
        if !node.listen.iter().any(|ip| *ip == vip || on_all(ip)) {
            let what = format!("the node does not listen on the virtual IP `{vip}`: `{name}`");
            let hint = format!("add \"{vip}\" to its `listen`, or write `listen = [\"{any}\"]`");
            report.conflict(&[&path, "vip"], what, hint);
        } else if spec.lasting_addresses(node).is_empty() {
            let what = format!("the node listens on nothing but the virtual IP: `{name}`");
            let hint = "add an address that its machine has at any time".to_owned();
            report.conflict(&[&path, "vip"], what, hint);
        }
    }
}

/// A managed store needs members.
fn check_members(report: &Report<'_>, spec: &ClusterSpec) {
    if !matches!(&spec.store, StoreSpec::Etcd(etcd) if etcd.managed) || spec.nodes.is_empty() {
        return;
    }
    if spec.store_members().is_empty() {
        let hint = "take `store_member = false` from three of the nodes".to_owned();
        report.conflict(&["nodes"], "the store has no members: `store_member`".to_owned(), hint);
    }
}
