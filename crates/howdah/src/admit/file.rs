//! One file for all nodes: what this machine's file says must be what is in force.
//!
//! Nodes, their addresses, the store and the lease cannot differ between nodes: a node with
//! another idea of them would harm the cluster. Everything else is taken from the file in force.
//! A machine whose file has not changed since it was admitted is only behind: the others have
//! gone on without it.

use std::collections::BTreeMap;
use std::fmt::Write;

use howdah_base::NodeName;
use howdah_base::record::{Config, Member, key};
use howdah_spec::{ClusterSpec, NodeKind, StoreSpec, to_toml};
use howdah_store::Snapshot;

use super::kept::Kept;
use crate::diff::diff;
use crate::failure::Failure;
use crate::node::read_again;
use crate::prepare::Prepared;

/// The file to go on with, and the fingerprint of what all must share.
pub fn check(
    prepared: &Prepared,
    node: &NodeName,
    snapshot: &Snapshot,
    kept: &Kept,
) -> anyhow::Result<(ClusterSpec, String)> {
    let own = &prepared.spec;
    let ours = shared(own);
    let print = print(&ours);
    let Some((config, _)) = snapshot.get::<Config>(key::CONFIG)? else {
        compare_prints(node, snapshot, &print)?;
        return Ok((own.clone(), print));
    };
    let in_force = match read_again(&config.text, own) {
        Ok(spec) => spec,
        Err(error) => {
            // The agent says so for as long as it lasts.
            tracing::error!("the cluster file in the store does not read: {error}");
            return Ok((own.clone(), print));
        }
    };
    let behind = kept.file.as_ref() == Some(&print);
    let differences = differences(&ours, &shared(&in_force));
    if !differences.is_empty() && !behind {
        return Err(refusal(&differences).into());
    }
    if !in_force.nodes.contains_key(node) {
        return Err(Failure::refused(format!(
            "the cluster file in force does not name node {node}"
        ))
        .hint("howdah apply, with a file that does")
        .into());
    }
    warn(own, &in_force);
    let in_force_print = self::print(&shared(&in_force));
    Ok((in_force, in_force_print))
}

/// The same against this machine's copy of what was in force.
pub fn check_copy(own: &ClusterSpec, known: &ClusterSpec) -> anyhow::Result<()> {
    let differences = differences(&shared(own), &shared(known));
    if differences.is_empty() { Ok(()) } else { Err(refusal(&differences).into()) }
}

/// What must be the same on all nodes, by its place in the file.
pub fn shared(spec: &ClusterSpec) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut put = |key: &str, value: String| drop(all.insert(key.to_owned(), value));
    put("cluster", spec.cluster.to_string());
    for (name, node) in &spec.nodes {
        let kind = if node.kind == NodeKind::Witness { "witness" } else { "data" };
        put(&format!("nodes.{name}.kind"), kind.to_owned());
        put(&format!("nodes.{name}.host"), node.host.clone());
        let member = node.store_member.map_or_else(|| "by default".to_owned(), |m| m.to_string());
        put(&format!("nodes.{name}.store_member"), member);
        for (key, port) in [
            ("postgres_port", node.postgres_port),
            ("peer_port", node.peer_port),
            ("http_port", node.http_port),
            ("rw_port", node.rw_port),
            ("ro_port", node.ro_port),
            ("any_port", node.any_port),
            ("store_port", node.store_port),
            ("store_peer_port", node.store_peer_port),
        ] {
            put(&format!("nodes.{name}.{key}"), port.to_string());
        }
    }
    match &spec.store {
        StoreSpec::Embedded { .. } => put("store", "embedded".to_owned()),
        StoreSpec::Etcd(etcd) => {
            put("store", "etcd".to_owned());
            put("store.etcd.managed", etcd.managed.to_string());
            put("store.etcd.prefix", etcd.prefix.clone());
            put("store.etcd.endpoints", etcd.endpoints.join(" "));
        }
    }
    put("ha.lease", millis(spec.ha.lease.0));
    put("ha.renew", millis(spec.ha.renew.0));
    put("ha.margin", millis(spec.ha.margin.0));
    all
}

fn millis(span: std::time::Duration) -> String {
    format!("{} ms", span.as_millis())
}

/// The same for all nodes that share it.
pub fn print(shared: &BTreeMap<String, String>) -> String {
    let lines: String = shared.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    howdah_tls::sha256(&[lines.as_bytes()]).iter().take(8).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One sentence each.
fn differences(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> Vec<String> {
    let keys: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let keys = keys.into_iter().filter(|key| ours.get(*key) != theirs.get(*key));
    let value = |side: &BTreeMap<String, String>, key: &String| {
        side.get(key).map_or_else(|| "nothing".to_owned(), |value| format!("`{value}`"))
    };
    keys.map(|key| format!("{key}: {} here, {} there", value(ours, key), value(theirs, key)))
        .collect()
}

const DIFFERENCES_MAX: usize = 10;

fn refusal(differences: &[String]) -> Failure {
    let mut lines: Vec<&str> = differences.iter().map(String::as_str).collect();
    let more = lines.len().saturating_sub(DIFFERENCES_MAX);
    lines.truncate(DIFFERENCES_MAX);
    let more = if more == 0 { String::new() } else { format!("\n  and {more} more") };
    Failure::refused(format!(
        "this machine's cluster file differs from the one in force:\n  {}{more}",
        lines.join("\n  ")
    ))
    .hint(
        "use the same file on every machine; `howdah apply` on a node that runs changes it for all",
    )
}

/// Before there is a file in force: the other nodes' fingerprints are compared.
fn compare_prints(node: &NodeName, snapshot: &Snapshot, print: &str) -> anyhow::Result<()> {
    let members = snapshot.below::<Member>(key::MEMBERS)?;
    let other = members.values().map(|(member, _)| member).find(|member| {
        member.node != *node && member.file_print.as_ref().is_some_and(|other| other != print)
    });
    let Some(other) = other else { return Ok(()) };
    Err(Failure::refused(format!(
        "this machine's cluster file is another one than that of {}: nodes, addresses, store or \
         lease differ",
        other.node
    ))
    .hint("use the same file on every machine")
    .into())
}

/// What differs and does no harm: the file in force is used.
fn warn(own: &ClusterSpec, in_force: &ClusterSpec) {
    let changes = diff(&to_toml(in_force), &to_toml(&placed_as(own, in_force)));
    if !changes.is_empty() {
        tracing::warn!(
            "this machine's cluster file is not the one in force, which is used; \
             `howdah apply` would change:\n{}",
            changes.trim_end()
        );
    }
}

/// With the places of the other file: machines may keep their things in different ones.
fn placed_as(spec: &ClusterSpec, other: &ClusterSpec) -> ClusterSpec {
    let mut spec = spec.clone();
    spec.base_dir.clone_from(&other.base_dir);
    spec.run_as.clone_from(&other.run_as);
    for (name, node) in &mut spec.nodes {
        if let Some(there) = other.nodes.get(name) {
            node.data_dir.clone_from(&there.data_dir);
            node.state_dir.clone_from(&there.state_dir);
            node.listen.clone_from(&there.listen);
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> ClusterSpec {
        let text = format!("cluster = \"demo\"\nstore = {{ etcd = {{ managed = true }} }}\n{text}");
        let context =
            howdah_spec::Context { default_base: "/base".into(), relative_to: "/etc".into() };
        howdah_spec::parse("howdah.toml", &text, &context)
            .unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    #[test]
    fn what_harms_is_a_difference_and_the_rest_is_not() {
        let one = shared(&spec("[nodes.n1]\n[nodes.n2]\n"));
        let same = shared(&spec("durability = \"async\"\n[nodes.n1]\n[nodes.n2]\n"));
        assert_eq!(print(&one), print(&same));
        let other = shared(&spec(
            "[nodes.n1]\n[nodes.n2]\nhttp_port = 9000\n[nodes.n3]\nkind = \"witness\"\n\
             [ha]\nlease = \"9s\"\n",
        ));
        assert_ne!(print(&one), print(&other));
        let found = differences(&one, &other);
        assert!(found.contains(&"ha.lease: `6000 ms` here, `9000 ms` there".to_owned()));
        assert!(found.contains(&"nodes.n2.http_port: `8018` here, `9000` there".to_owned()));
        assert!(found.contains(&"nodes.n3.kind: nothing here, `witness` there".to_owned()));
        let text = refusal(&found).to_string();
        assert!(text.ends_with("more") && text.lines().count() == DIFFERENCES_MAX + 2, "{text}");
    }
}
