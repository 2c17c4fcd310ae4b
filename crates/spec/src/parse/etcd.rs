//! `[store.etcd]`: the cluster of etcd that holds the lease and the shared record.

use std::path::Path;

use howdah_base::ClusterName;

use super::Paths;
use super::keys;
use super::members::read_secret;
use super::reader::{Table, Value};
use crate::types::EtcdSpec;

pub(super) fn read(
    store: &Table<'_>,
    paths: &Paths<'_>,
    base_dir: &Path,
    cluster: &ClusterName,
) -> EtcdSpec {
    let table = store.table("etcd", &keys::ETCD);
    let managed = table.flag("managed").unwrap_or_else(|| table.get("endpoints").is_none());
    let spec = EtcdSpec {
        managed,
        endpoints: table.get("endpoints").map(read_endpoints).unwrap_or_default(),
        prefix: read_prefix(&table).unwrap_or_else(|| format!("/howdah/{cluster}/")),
        user: table.text("user"),
        password: table.get("password").and_then(|value| read_secret(value, base_dir)),
        ca: paths.read(&table, "ca"),
        cert: paths.read(&table, "cert"),
        key: paths.read(&table, "key"),
        bin: paths.read(&table, "bin"),
    };
    refuse_mixture(&table, &spec);
    spec
}

/// A managed member needs nothing of what leads to somebody else's.
fn refuse_mixture(table: &Table<'_>, spec: &EtcdSpec) {
    let foreign = ["endpoints", "user", "password", "ca", "cert", "key"];
    for value in foreign.iter().filter(|_| spec.managed).filter_map(|key| table.get(key)) {
        let hint = "drop it, or write `managed = false`";
        value.wrong(format!("Howdah runs this etcd itself: `{}`", value.path), hint);
    }
    if !spec.managed && spec.endpoints.is_empty() {
        let hint = "add `endpoints = [\"https://10.0.0.1:2379\"]`, or write `managed = true`";
        let what = "no endpoints of etcd: `store.etcd.endpoints`".to_owned();
        if let Some(value) = table.get("managed").or(table.get("endpoints")) {
            value.wrong(what, hint);
        }
    }
    if spec.cert.is_some() != spec.key.is_some()
        && let Some(value) = table.get("cert").or(table.get("key"))
    {
        let hint = "give both `cert` and `key`, or neither";
        value.wrong("a certificate and its key go together".to_owned(), hint);
    }
    if spec.user.is_some() != spec.password.is_some()
        && let Some(value) = table.get("user").or(table.get("password"))
    {
        let hint = "give both `user` and `password`, or neither";
        value.wrong("a user and a password go together".to_owned(), hint);
    }
}

fn read_endpoints(value: &Value<'_>) -> Vec<String> {
    let hint = "write addresses such as `\"https://10.0.0.1:2379\"`";
    let read = |value: &Value<'_>| {
        let text = value.text()?;
        let plain = text.strip_prefix("https://").or(text.strip_prefix("http://"));
        let is_address = plain.is_some_and(|rest| {
            let port = rest.rsplit_once(':').map(|(_, port)| port);
            port.is_some_and(|port| port.parse::<u16>().is_ok()) && !rest.contains('/')
        });
        if !is_address {
            value.wrong(format!("not an endpoint of etcd: `{text}`"), hint);
        }
        is_address.then_some(text)
    };
    value.list().iter().filter_map(read).collect()
}

/// Begins and ends with a slash, so that no cluster's keys are the beginning of another's.
fn read_prefix(table: &Table<'_>) -> Option<String> {
    let value = table.get("prefix")?;
    let text = value.text()?;
    let parts: Vec<_> = text.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        let hint = "write a path such as `\"/howdah/demo/\"`";
        value.wrong(format!("not a prefix: `{text}`"), hint);
        return None;
    }
    Some(format!("/{}/", parts.join("/")))
}
