//! A whole cluster file from typed values, nothing left to defaults: what `howdah up` writes
//! for its nodes to read.

mod backup;
mod pools;

use std::collections::BTreeMap;
use std::fmt::{Display, Write};

use crate::parse::KINDS;
use crate::types::{
    ClusterSpec, Durability, EtcdSpec, HookAction, HookSpec, HttpSpec, NodeKind, NodeSpec,
    NodeTags, RoleKind, RoleSpec, SecretRef, StoreSpec, WatchdogMode,
};

/// The file that parses to `spec`.
pub fn to_toml(spec: &ClusterSpec) -> String {
    let mut file = Writer::default();
    write_top(&mut file, spec);
    for (name, node) in &spec.nodes {
        write_node(&mut file, name.as_str(), node);
    }
    write_postgresql(&mut file, spec);
    write_ha(&mut file, spec);
    write_endpoints(&mut file, spec);
    pools::write(&mut file, &spec.pools);
    if let Some(backup) = &spec.backup {
        backup::write(&mut file, backup);
    }
    write_http(&mut file, &spec.http);
    for (name, hook) in &spec.hooks {
        write_hook(&mut file, name, hook);
    }
    if let Some(vip) = &spec.vip {
        file.table(&["vip"]);
        file.text("address", format!("{}/{}", vip.address, vip.prefix));
        file.text("interface", &vip.interface);
    }
    for (name, role) in &spec.roles {
        write_role(&mut file, name, role);
    }
    for (name, database) in &spec.databases {
        file.table(&["databases", name]);
        if let Some(owner) = &database.owner {
            file.text("owner", owner);
        }
        file.value("extensions", list(&database.extensions));
        file.settings(&["databases", name, "settings"], &database.settings);
    }
    file.text
}

fn write_top(file: &mut Writer, spec: &ClusterSpec) {
    let durability = match spec.durability {
        Durability::Quorum => "quorum",
        Durability::Async => "async",
    };
    file.text("cluster", &spec.cluster);
    file.text("durability", durability);
    file.value("strict", spec.strict);
    file.text("run_as", &spec.run_as);
    file.text("base_dir", spec.base_dir.display());
    if let Some(first) = &spec.first_node {
        file.text("first_node", first);
    }
    file.value("hba", list(spec.hba.iter().map(|rule| &rule.line)));
}

fn write_node(file: &mut Writer, name: &str, node: &NodeSpec) {
    file.table(&["nodes", name]);
    let kind = match node.kind {
        NodeKind::Data => "data",
        NodeKind::Witness => "witness",
    };
    file.text("kind", kind);
    file.text("host", &node.host);
    file.value("listen", list(&node.listen));
    file.value("postgres_port", node.postgres_port);
    file.value("peer_port", node.peer_port);
    file.value("http_port", node.http_port);
    file.value("rw_port", node.rw_port);
    file.value("ro_port", node.ro_port);
    file.value("any_port", node.any_port);
    file.value("store_port", node.store_port);
    file.value("store_peer_port", node.store_peer_port);
    if let Some(member) = node.store_member {
        file.value("store_member", member);
    }
    file.text("data_dir", node.data_dir.display());
    file.text("state_dir", node.state_dir.display());
    write_tags(file, name, &node.tags);
}

fn write_tags(file: &mut Writer, name: &str, tags: &NodeTags) {
    file.table(&["nodes", name, "tags"]);
    file.value("no_failover", tags.no_failover);
    file.value("failover_priority", tags.failover_priority);
    file.value("no_sync", tags.no_sync);
    file.value("no_load_balance", tags.no_load_balance);
    file.value("clone_from", tags.clone_from);
    if let Some(node) = &tags.replicate_from {
        file.text("replicate_from", node);
    }
    if let Some(zone) = &tags.zone {
        file.text("zone", zone);
    }
    for (key, value) in &tags.free {
        file.text(&bare(key), value);
    }
}

fn write_postgresql(file: &mut Writer, spec: &ClusterSpec) {
    file.table(&["postgresql"]);
    if let Some(major) = spec.postgresql.major {
        file.value("major", major);
    }
    if let Some(bin_dir) = &spec.postgresql.bin_dir {
        file.text("bin_dir", bin_dir.display());
    }
    file.text("locale", &spec.postgresql.locale);
    file.settings(&["postgresql", "parameters"], &spec.postgresql.parameters);
}

fn write_ha(file: &mut Writer, spec: &ClusterSpec) {
    let ha = &spec.ha;
    file.table(&["ha"]);
    file.text("lease", ha.lease);
    file.text("renew", ha.renew);
    file.text("margin", ha.margin);
    file.text("max_lag_on_failover", ha.max_lag_on_failover);
    file.text("drain_timeout", ha.drain_timeout);
    file.text("switchover_timeout", ha.switchover_timeout);
    file.text("start_timeout", ha.start_timeout);
    file.text("hung_after", ha.hung_after);
    file.text("disk_stalled_after", ha.disk_stalled_after);
    file.text("disk_reserve", ha.disk_reserve);
    let watchdog = match ha.watchdog {
        WatchdogMode::Off => "off",
        WatchdogMode::Automatic => "automatic",
        WatchdogMode::Required => "required",
    };
    file.text("watchdog", watchdog);
    file.text("watchdog_device", ha.watchdog_device.display());
    file.table(&["store"]);
    match &spec.store {
        StoreSpec::Embedded { path } => {
            file.text("kind", "embedded");
            file.text("path", path.display());
        }
        StoreSpec::Etcd(etcd) => {
            file.text("kind", "etcd");
            write_etcd(file, etcd);
        }
    }
}

fn write_etcd(file: &mut Writer, etcd: &EtcdSpec) {
    file.table(&["store", "etcd"]);
    file.value("managed", etcd.managed);
    file.text("prefix", &etcd.prefix);
    if !etcd.managed {
        file.value("endpoints", list(&etcd.endpoints));
    }
    if let Some(user) = &etcd.user {
        file.text("user", user);
    }
    write_secret(file, etcd.password.as_ref());
    let paths = [("ca", &etcd.ca), ("cert", &etcd.cert), ("key", &etcd.key), ("bin", &etcd.bin)];
    for (key, path) in paths {
        if let Some(path) = path {
            file.text(key, path.display());
        }
    }
}

fn write_http(file: &mut Writer, http: &HttpSpec) {
    file.table(&["http"]);
    file.value("plain_changes", http.plain_changes);
    if let Some(user) = &http.user {
        file.text("user", user);
    }
    write_secret(file, http.password.as_ref());
}

fn write_hook(file: &mut Writer, name: &str, hook: &HookSpec) {
    file.table(&["hooks", name]);
    file.value("on", list(hook.on.iter().map(|event| event.word())));
    match &hook.action {
        HookAction::Command(words) => file.value("command", list(words)),
        HookAction::Webhook(address) => file.text("webhook", address),
    }
    file.text("timeout", hook.timeout);
    file.value("attempts", hook.attempts);
    file.value("nodes", list(&hook.nodes));
    file.value("every_node", hook.every_node);
    file.value("patroni_arguments", hook.patroni_arguments);
}

fn write_secret(file: &mut Writer, secret: Option<&SecretRef>) {
    write_secret_as(file, "password", secret);
}

fn write_secret_as(file: &mut Writer, key: &str, secret: Option<&SecretRef>) {
    match secret {
        None => {}
        Some(SecretRef::Env(name)) => file.value(key, source("env", quoted(name))),
        Some(SecretRef::File(path)) => file.value(key, source("file", quoted(path.display()))),
        Some(SecretRef::Command(words)) => file.value(key, source("command", list(words))),
    }
}

fn write_endpoints(file: &mut Writer, spec: &ClusterSpec) {
    let endpoints = &spec.endpoints;
    file.table(&["endpoints"]);
    file.text("ro_max_lag", endpoints.ro_max_lag);
    file.value("ro_primary_fallback", endpoints.ro_primary_fallback);
    file.value("clients_max", endpoints.clients_max);
    file.text("connect_wait", endpoints.connect_wait);
    file.text("keepalive", endpoints.keepalive);
    file.text("user_timeout", endpoints.user_timeout);
}

fn write_role(file: &mut Writer, name: &str, role: &RoleSpec) {
    file.table(&["roles", name]);
    file.text("kind", kind_word(role.kind));
    write_secret(file, role.password.as_ref());
    file.value("connection_limit", role.connection_limit);
    file.value("member_of", list(&role.member_of));
    file.settings(&["roles", name, "settings"], &role.settings);
}

fn source(key: &str, value: String) -> String {
    format!("{{ {key} = {value} }}")
}

/// How the file calls a kind of role.
pub(super) fn kind_word(kind: RoleKind) -> &'static str {
    KINDS.iter().find(|(_, known, _)| *known == kind).map_or("group", |(word, ..)| word)
}

/// A file that grows by lines.
#[derive(Default)]
struct Writer {
    text: String,
}

impl Writer {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn table(&mut self, path: &[&str]) {
        let path: Vec<_> = path.iter().map(|part| bare(part)).collect();
        self.line(&format!("\n[{}]", path.join(".")));
    }

    fn value(&mut self, key: &str, value: impl Display) {
        self.line(&format!("{key} = {value}"));
    }

    fn text(&mut self, key: &str, text: impl Display) {
        self.value(key, quoted(text));
    }

    fn settings(&mut self, path: &[&str], settings: &BTreeMap<String, String>) {
        if settings.is_empty() {
            return;
        }
        self.table(path);
        for (name, value) in settings {
            self.text(&bare(name), value);
        }
    }
}

/// A key, quoted where TOML wants it.
fn bare(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { quoted(key) }
}

fn list(items: impl IntoIterator<Item: Display>) -> String {
    let items: Vec<_> = items.into_iter().map(quoted).collect();
    format!("[{}]", items.join(", "))
}

/// A basic string of TOML.
pub(super) fn quoted(text: impl Display) -> String {
    let mut quoted = String::from('"');
    for c in text.to_string().chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a String cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
