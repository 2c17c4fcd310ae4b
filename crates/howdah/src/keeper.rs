//! The keeper of this node's member of a managed store: what it is told, and how a node starts,
//! asks and stops it.
//!
//! It is a process of its own (`howdah keep-store`), so that the store goes on when the agent is
//! restarted, or stopped while other nodes go on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_base::record::{Config, key};
use howdah_etcd::{MemberOptions, Parse, Phase, Place, Report, TlsFiles};
use howdah_spec::{ClusterSpec, EtcdSpec, NodeSpec, StoreSpec};
use howdah_tls::{Fingerprint, Pair};
use nix::sys::signal::Signal;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::failure::{Exit, Failure};
use crate::prepare::lock::Lock;
use crate::prepare::{Account, Layout, Prepared, layout};
use crate::supervise::signal_found;
use crate::talk::say;

/// How often a node looks after its keeper.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A keeper that ends stops its etcd, which hands its lead over first.
const STOP_WITHIN: Duration = Duration::from_secs(30);
const STOP_LOOK_EVERY: Duration = Duration::from_millis(50);

/// The file's etcd, when the nodes run it themselves.
pub fn managed(spec: &ClusterSpec) -> Option<&EtcdSpec> {
    match &spec.store {
        StoreSpec::Etcd(etcd) if etcd.managed => Some(etcd),
        StoreSpec::Etcd(_) | StoreSpec::Embedded { .. } => None,
    }
}

/// Where the members of a managed store are reached.
pub fn places(spec: &ClusterSpec) -> BTreeMap<NodeName, Place> {
    let members = spec.store_members().into_iter();
    members.map(|name| (name.clone(), place(&spec.nodes[name]))).collect()
}

fn place(node: &NodeSpec) -> Place {
    Place { host: node.host.clone(), client_port: node.store_port, peer_port: node.store_peer_port }
}

/// What the keeper of `node` is told.
pub fn options(
    spec: &ClusterSpec,
    layout: &Layout,
    node: &NodeName,
) -> anyhow::Result<MemberOptions> {
    let own = &spec.nodes[node];
    let Some(etcd) = managed(spec) else {
        return Err(Failure::bad_input("the cluster file has no managed store").into());
    };
    let data_dir = layout.store_member(node);
    if !data_dir.is_dir() {
        let message = format!("the store's folder is missing: `{}`", data_dir.display());
        return Err(Failure::failed(message).hint("howdah prepare").into());
    }
    let ca = layout.ca();
    let text = std::fs::read_to_string(&ca).with_context(|| format!("read: `{}`", ca.display()))?;
    let pair = Pair::at(&layout.tls(), node.as_str());
    let path = layout.file();
    Ok(MemberOptions {
        node: node.clone(),
        place: place(own),
        data_dir,
        socket: layout::store_socket(own),
        log: layout::etcd_log(own),
        own_log: layout::store_log(own),
        bin: etcd.bin.clone(),
        listen: spec.lasting_addresses(own),
        members: places(spec),
        token: format!("howdah-{}-{}", spec.cluster, Fingerprint::of_pem(&text, &ca)?),
        tls: TlsFiles { ca, certificate: pair.certificate, key: pair.key },
        founding: layout.founding(node),
        config_key: format!("{}{}", etcd.prefix, key::CONFIG),
        leader_key: format!("{}{}", etcd.prefix, key::LEADER),
        parse: Parse::new(move |record| read(&path, record)),
        lease: spec.ha.lease.0,
        quota_bytes: MemberOptions::QUOTA_BYTES,
    })
}

/// The members by the record of the cluster file in force.
fn read(path: &Path, record: &str) -> Result<BTreeMap<NodeName, Place>, String> {
    let config: Config = serde_json::from_str(record).map_err(|error| error.to_string())?;
    let spec = crate::file::parse(path, &config.text).map_err(|m| m.to_string())?;
    Ok(places(&spec))
}

/// Whether this node keeps a member by this file.
fn is_due(spec: &ClusterSpec, node: &NodeName) -> bool {
    spec.store_members().contains(&node)
}

/// Starts the node's keeper if none runs.
async fn ensure(layout: &Layout, spec: &ClusterSpec, node: &NodeName) -> anyhow::Result<()> {
    let own = &spec.nodes[node];
    if Lock::is_held(&layout::store_lock(own)) {
        return Ok(());
    }
    // Said here, where it is seen, and not in the keeper's log.
    howdah_etcd::find(managed(spec).and_then(|etcd| etcd.bin.as_deref()))?;
    let words = ["keep-store", "--node", node.as_str(), "--file"];
    let mut arguments: Vec<_> = words.iter().map(Into::into).collect();
    arguments.push(layout.file().into_os_string());
    let (socket, log) = (layout::store_socket(own), layout::store_log(own));
    // The running executable and not its path: it may be another version by now.
    howdah_etcd::spawn(Path::new("/proc/self/exe"), &arguments, &socket, &log).await?;
    Ok(())
}

/// Starts the keeper of a node that is held: who lets it go, or goes on with what was interrupted, needs the
/// store.
pub fn while_held(prepared: &Prepared, node: &NodeName) -> anyhow::Result<()> {
    let spec = &prepared.spec;
    if managed(spec).is_none() || !is_due(spec, node) {
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(ensure(&prepared.layout, spec, node))
}

/// Looks after the node's keeper as long as the node runs, off the agent's thread; what it
/// reports comes back. `spec` is the file in force: it may give this node a member one day, and
/// take it away.
pub fn start(
    serving: &Runtime,
    prepared: &Prepared,
    node: &NodeName,
    spec: watch::Receiver<Arc<ClusterSpec>>,
) -> watch::Receiver<Option<Report>> {
    let (said, kept) = watch::channel(None);
    if managed(&prepared.spec).is_some() {
        serving.spawn(tend(prepared.layout.clone(), spec, node.clone(), said));
    }
    kept
}

/// Starts another keeper when it is gone, and passes on what it reports.
async fn tend(
    layout: Layout,
    spec: watch::Receiver<Arc<ClusterSpec>>,
    node: NodeName,
    said: watch::Sender<Option<Report>>,
) {
    loop {
        let spec = spec.borrow().clone();
        if is_due(&spec, &node) {
            let report = match ensure(&layout, &spec, &node).await {
                Ok(()) => howdah_etcd::ask(&layout::store_socket(&spec.nodes[&node])).await.ok(),
                Err(error) => {
                    let why = format!("{error:#}");
                    Some(Report { phase: Phase::Refused, why, ..Report::default() })
                }
            };
            // A keeper that is busy for a moment has nothing new to say.
            said.send_if_modified(|last| {
                report.is_some() && *last != report && {
                    *last = report;
                    true
                }
            });
        } else {
            said.send_if_modified(|last| last.take().is_some());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// The node's notices, and what is wrong with its member of the store.
pub fn with_notices(
    serving: &Runtime,
    mut notices: watch::Receiver<Vec<String>>,
    mut kept: watch::Receiver<Option<Report>>,
) -> watch::Receiver<Vec<String>> {
    let (all, both) = watch::channel(Vec::new());
    serving.spawn(async move {
        let mut has_member = true;
        loop {
            let mut next = notices.borrow_and_update().clone();
            next.extend(kept.borrow_and_update().iter().flat_map(Report::problems));
            all.send_if_modified(|last| {
                let changed = *last != next;
                *last = next;
                changed
            });
            tokio::select! {
                changed = notices.changed() => if changed.is_err() { return },
                changed = kept.changed(), if has_member => has_member = changed.is_ok(),
            }
        }
    });
    both
}

/// Ends this node's keeper, its etcd with it; nothing to do when there is none.
pub async fn end(node: &NodeSpec, server: &Account) -> anyhow::Result<bool> {
    let lock = layout::store_lock(node);
    let Some(pid) = Lock::holder(&lock) else { return Ok(false) };
    signal_found(server, pid, Signal::SIGTERM);
    let deadline = Instant::now() + STOP_WITHIN;
    // The node may start the next one at once: the lock is free for less than a look.
    while Lock::holder(&lock) == Some(pid) {
        if Instant::now() >= deadline {
            let seconds = STOP_WITHIN.as_secs();
            let message = format!("the store's keeper has not ended within {seconds} s: `{pid}`");
            return Err(Failure::new(Exit::TimedOut, message).into());
        }
        sleep(STOP_LOOK_EVERY).await;
    }
    Ok(true)
}

/// Ends the keepers of all nodes of this machine: the whole cluster is going down. Whether
/// there were any.
pub async fn end_all(spec: &ClusterSpec, server: &Account) -> anyhow::Result<bool> {
    let mut any = false;
    for (name, node) in &spec.nodes {
        if end(node, server).await? {
            say(format!("{name}: its store is stopped"));
            any = true;
        }
    }
    Ok(any)
}
