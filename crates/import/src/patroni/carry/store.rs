//! Patroni's store. Its etcd can be Howdah's too, beside Patroni's keys; others cannot.

use std::path::Path;

use super::Member;
use crate::draft::{Draft, Key, Rank, Value};
use crate::finding::Fate;
use crate::patroni::dcs::{self, Dcs, DcsKind};
use crate::roles;
use crate::tree::Tree;

pub(super) fn carry(draft: &mut Draft, members: &[Member<'_>]) {
    let stores: Vec<(&Member<'_>, Dcs)> = members
        .iter()
        .filter_map(|member| Some((member, dcs::read(member.tree.node)?)))
        .filter(|(_, dcs)| matches!(dcs.kind, DcsKind::Etcd | DcsKind::Etcd3))
        .collect();
    // Each node may name the member that runs beside it: together they are the cluster.
    let mut endpoints: Vec<String> = Vec::new();
    for dcs in stores.iter().map(|(_, dcs)| dcs) {
        let protocol = if dcs.https { "https" } else { "http" };
        for host in &dcs.hosts {
            let endpoint = format!("{protocol}://{host}");
            if !endpoints.contains(&endpoint) {
                endpoints.push(endpoint);
            }
        }
    }
    for (member, dcs) in &stores {
        if let Some(tree) = member.at(&[dcs.kind.word()]) {
            etcd(draft, &tree, dcs, &endpoints, member.rank);
        }
    }
}

fn etcd(draft: &mut Draft, tree: &Tree<'_>, dcs: &Dcs, endpoints: &[String], rank: Rank) {
    let key = |key: &str| Key::of(&["store", "etcd", key]);
    let hosts = ["host", "hosts", "url", "proxy", "port", "protocol"];
    let value = Value::Texts(endpoints.to_vec());
    for part in hosts.iter().filter_map(|key| tree.at(&[key])) {
        if endpoints.is_empty() {
            part.tell(draft, &Fate::not_carried("not an address; set `store.etcd.endpoints`"));
            continue;
        }
        match dcs.kind {
            DcsKind::Etcd => {
                let note = "by version 3 of etcd's protocol";
                part.claim_noted(draft, &key("endpoints"), &value, rank, note);
            }
            _ => part.claim(draft, &key("endpoints"), &value, rank),
        }
    }
    if let (Some(part), Some(user)) = (tree.at(&["username"]), &dcs.user) {
        part.claim(draft, &key("user"), &Value::text(user), rank);
    }
    if let (Some(part), Some(password)) = (tree.at(&["password"]), &dcs.password)
        && let Some(leaf) = part.leaf(draft)
    {
        let (key, file) = (key("password"), "etcd-password");
        roles::secret(draft, "etcd", key, file, password.expose(), leaf, rank);
    }
    login_in_url(draft, tree, dcs, rank);
    for (theirs, ours, path) in
        [("cacert", "ca", &dcs.ca), ("cert", "cert", &dcs.cert), ("key", "key", &dcs.key)]
    {
        let part = tree.at(&[theirs]);
        if let (Some(part), Some(path)) = (part, path.as_deref().and_then(Path::to_str)) {
            part.claim(draft, &key(ours), &Value::text(path), rank);
        }
    }
}

/// `https://user:password@host:2379`.
fn login_in_url(draft: &mut Draft, tree: &Tree<'_>, dcs: &Dcs, rank: Rank) {
    let Some(part) = tree.at(&["url"]).or(tree.at(&["proxy"])) else { return };
    let (Some(user), Some(password)) = (&dcs.user, &dcs.password) else { return };
    let in_url = part.node.text().is_some_and(|url| url.contains('@'));
    if let Some(leaf) = part.leaf(draft).filter(|_| in_url) {
        part.claim(draft, &Key::of(&["store", "etcd", "user"]), &Value::text(user), rank);
        let (key, file) = (Key::of(&["store", "etcd", "password"]), "etcd-password");
        roles::secret(draft, "etcd", key, file, password.expose(), leaf, rank);
    }
}
