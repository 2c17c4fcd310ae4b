//! `patroni.yml` as typed values: what a take-over of a running Patroni node must know.
//!
//! Source of the keys: Patroni's documentation, "YAML Configuration Settings", "Dynamic
//! Configuration Settings" and "Environment Configuration Settings", and Patroni 3.0.2's own
//! reading of them (`config.py`, `dcs/*.py`).

mod address;
pub(crate) mod carry;
mod dcs;
pub(crate) mod environment;
mod local;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;

use howdah_base::Redacted;

use crate::yaml::{self, BadYaml, Node};

pub use address::{Address, Listen};
pub use dcs::{Dcs, DcsKind};
pub use environment::overlay;

/// One node's `patroni.yml`. What the file does not say is `None` or empty, but for `namespace`,
/// and nothing is checked beyond its form: a file may leave the rest to the environment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct PatroniConfig {
    /// The cluster's name.
    pub scope: Option<String>,
    /// Where the store keeps clusters; begins and ends with a slash, `/service/` by default.
    pub namespace: String,
    /// The node's name.
    pub name: Option<String>,
    pub dcs: Option<Dcs>,
    pub restapi: RestApi,
    pub postgresql: Postgresql,
    /// What Patroni wrote into the store when it made the cluster (`bootstrap.dcs`). The store's
    /// own copy is in force afterwards, and may have been changed.
    pub bootstrap_dcs: Dynamic,
    /// Tags as written; values as text.
    pub tags: BTreeMap<String, String>,
}

/// Patroni's HTTP server.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct RestApi {
    pub listen: Option<Listen>,
    pub connect_address: Option<Address>,
    /// HTTP basic authentication of requests that change something.
    pub user: Option<String>,
    pub password: Option<Redacted<String>>,
    /// It speaks HTTPS with this certificate.
    pub certfile: Option<PathBuf>,
    pub keyfile: Option<PathBuf>,
    /// Whom it believes client certificates from.
    pub cafile: Option<PathBuf>,
    /// `none`, `optional` or `required`.
    pub verify_client: Option<String>,
    /// What `patronictl` shows and believes (`ctl`): for those who ask this server.
    pub ctl_certfile: Option<PathBuf>,
    pub ctl_keyfile: Option<PathBuf>,
    pub ctl_cacert: Option<PathBuf>,
    pub ctl_insecure: bool,
}

/// The node's server.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Postgresql {
    pub listen: Option<Listen>,
    /// Where the other nodes reach it.
    pub connect_address: Option<Address>,
    pub data_dir: Option<PathBuf>,
    pub bin_dir: Option<PathBuf>,
    /// Where postgresql.conf and pg_hba.conf lie; the data directory when `None`.
    pub config_dir: Option<PathBuf>,
    pub pgpass: Option<PathBuf>,
    pub use_unix_socket: bool,
    pub superuser: Login,
    pub replication: Login,
    pub rewind: Login,
    /// This node's own; they win over those of [`Dynamic`].
    pub parameters: BTreeMap<String, String>,
    /// Lines of pg_hba.conf, where this node has its own.
    pub pg_hba: Option<Vec<String>>,
    /// By event (`on_role_change` and so on): program and arguments in one text, as a shell
    /// would split it.
    pub callbacks: BTreeMap<String, String>,
}

/// Whom Patroni connects as.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Login {
    pub user: Option<String>,
    pub password: Option<Redacted<String>>,
}

/// The configuration that all nodes share, as the store keeps it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Dynamic {
    /// Seconds.
    pub ttl: Option<i64>,
    /// Seconds.
    pub loop_wait: Option<i64>,
    /// Seconds.
    pub retry_timeout: Option<i64>,
    /// Bytes.
    pub maximum_lag_on_failover: Option<i64>,
    pub synchronous: Synchronous,
    pub synchronous_mode_strict: bool,
    pub pause: bool,
    /// Follows a cluster elsewhere.
    pub standby_cluster: bool,
    pub parameters: BTreeMap<String, String>,
    pub pg_hba: Option<Vec<String>>,
    /// Permanent slots by name, and whether each is logical.
    pub slots: BTreeMap<String, bool>,
}

/// `synchronous_mode`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Synchronous {
    #[default]
    Off,
    On,
    Quorum,
}

/// Reads one `patroni.yml`. What is of another form than Patroni's is left out.
pub fn read(text: &str) -> Result<PatroniConfig, BadYaml> {
    Ok(yaml::document(text)?.map(|node| of(&node)).unwrap_or_default())
}

/// As [`read`], with the variables of Patroni's process, which win over the file.
pub fn read_with_environment<'v>(
    text: &str,
    variables: impl IntoIterator<Item = (&'v str, &'v str)>,
) -> Result<PatroniConfig, BadYaml> {
    let node = yaml::document(text)?.unwrap_or_else(|| Node::scalar(1, ""));
    Ok(of(&overlay(node, variables)))
}

/// Reads the configuration in the store: the key `<namespace><scope>/config` (JSON, which is
/// YAML too), or what `patronictl show-config` printed.
pub fn read_dynamic(text: &str) -> Result<Dynamic, BadYaml> {
    Ok(yaml::document(text)?.map(|node| dynamic(&node)).unwrap_or_default())
}

/// A tree of `patroni.yml` as values.
pub fn of(node: &Node) -> PatroniConfig {
    let text = |key| node.get(key).and_then(Node::text).map(str::to_owned);
    let tags = node.get("tags").map(texts_of).unwrap_or_default();
    PatroniConfig {
        scope: text("scope"),
        namespace: namespace(text("namespace").as_deref()),
        name: text("name"),
        dcs: dcs::read(node),
        restapi: local::rest_api(node),
        postgresql: local::postgresql(node),
        bootstrap_dcs: node.at(&["bootstrap", "dcs"]).map(dynamic).unwrap_or_default(),
        tags,
    }
}

/// A tree of the shared configuration as values.
pub fn dynamic(node: &Node) -> Dynamic {
    let number = |key| node.get(key).and_then(Node::number);
    let truth = |key| node.get(key).and_then(Node::truth).unwrap_or(false);
    let slots = node.get("slots").map(Node::entries).unwrap_or_default();
    let is_logical = |slot: &Node| slot.get("type").and_then(Node::text) == Some("logical");
    Dynamic {
        ttl: number("ttl"),
        loop_wait: number("loop_wait"),
        retry_timeout: number("retry_timeout"),
        maximum_lag_on_failover: number("maximum_lag_on_failover"),
        synchronous: node.get("synchronous_mode").map(synchronous).unwrap_or_default(),
        synchronous_mode_strict: truth("synchronous_mode_strict"),
        pause: truth("pause"),
        standby_cluster: node.get("standby_cluster").is_some_and(|node| !node.is_null()),
        parameters: node.at(&["postgresql", "parameters"]).map(texts_of).unwrap_or_default(),
        pg_hba: node.at(&["postgresql", "pg_hba"]).map(lines),
        slots: slots.iter().map(|slot| (slot.key.clone(), is_logical(&slot.node))).collect(),
    }
}

fn synchronous(node: &Node) -> Synchronous {
    match node.truth() {
        Some(true) => Synchronous::On,
        None if node.text() == Some("quorum") => Synchronous::Quorum,
        _ => Synchronous::Off,
    }
}

/// Patroni strips slashes at both ends and puts one there.
fn namespace(text: Option<&str>) -> String {
    match text.unwrap_or("service").trim_matches('/') {
        "" => "/".to_owned(),
        path => format!("/{path}/"),
    }
}

/// A mapping's scalars, as text.
fn texts_of(node: &Node) -> BTreeMap<String, String> {
    let entries = node.entries().iter();
    entries.filter_map(|e| Some((e.key.clone(), e.node.text()?.to_owned()))).collect()
}

/// Lines of a file: a list, or one block of text.
fn lines(node: &Node) -> Vec<String> {
    let texts = node.texts();
    texts.iter().flat_map(|text| text.lines()).map(str::to_owned).collect()
}
