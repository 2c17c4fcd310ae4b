//! From a cluster file to folders, keys and passwords that a node can start on.
//!
//! Every step leaves alone what an earlier run has made, so each start goes through all of
//! them. Started as root, what belongs to the servers' user is made as that user.

pub mod account;
mod dirs;
mod founding;
mod listener;
mod repository;

pub mod certificates;
pub mod client;
pub mod here;
pub mod layout;
pub mod lock;
pub mod passwords;
pub mod ports;
pub mod relocate;
pub mod secret;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_spec::{ClusterSpec, NodeKind, NodeSpec};
use nix::unistd::Uid;

use crate::admit;
use crate::failure::Failure;
use crate::file::ClusterFile;
use crate::talk::say;

pub use account::Account;
pub use dirs::{make as make_dir, make_base, make_owned as make_owned_dir, write as write_file};
pub use layout::Layout;

use certificates::Wanted;
use lock::Lock;
use ports::Replacement;

/// A cluster whose folders and files are there: what a node is started with.
#[derive(Debug)]
pub struct Prepared {
    /// The cluster as it runs here: ports replaced, paths absolute.
    pub spec: ClusterSpec,
    /// The same as a cluster file: the content of [`Layout::file`].
    pub text: String,
    pub layout: Layout,
    /// The user that servers and nodes run as.
    pub server: Account,
}

/// Which verb prepares.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller<'a> {
    /// All nodes, on one machine. May replace ports in use, when the cluster is first made.
    Up,
    /// The nodes of this machine.
    Prepare,
    /// The node named and those beside it.
    PrepareFor(&'a NodeName),
    /// One node, perhaps started by a supervisor as a user who owns nothing but its folders.
    Run(&'a NodeName),
}

/// Makes what is missing.
pub fn prepare(file: &ClusterFile, caller: Caller<'_>) -> anyhow::Result<Prepared> {
    let layout = Layout::new(&file.spec.base_dir);
    let server = account::server_account(&file.spec.run_as)?;
    if matches!(caller, Caller::Run(_)) && is_made_by_another(&layout) {
        return as_it_stands(layout, server);
    }
    if caller == Caller::Up && !here::is_one_machine(&file.spec) {
        return Err(several_machines(file).into());
    }
    let invoker = account::invoker()?;
    let mut spec = file.spec.clone();
    // Before anything is made: a folder that cannot be used should not be left behind.
    server.check_reach(layout.base())?;
    make_base(&layout, spec.cluster.as_str())?;
    let _lock = Lock::wait_for(&layout.prepare_lock())?;
    settle_ports(&layout, file, &mut spec, caller)?;
    let nodes = nodes_here(&spec, &layout, caller);
    if matches!(caller, Caller::Up | Caller::Run(_)) {
        check_unchanged(&layout, &spec, &nodes)?;
    }
    if !layout.ca().exists() && may_found(&spec, caller) {
        check_founder(&spec, &nodes)?;
    }
    dirs::make_all(&layout, &spec.store, &nodes, &server)?;
    if may_found(&spec, caller) {
        founding::grant(&layout, &spec, &nodes, &server)?;
    }
    let wanted = Wanted { layout: &layout, cluster: &spec.cluster, nodes: &nodes, server: &server };
    wanted.make(may_found(&spec, caller))?;
    let roles = nodes.values().any(|node| node.kind == NodeKind::Data);
    passwords::make(&layout, &spec, &server, &invoker, roles)?;
    if roles {
        repository::prepare(&layout, &spec, &server, &invoker)?;
    }
    certificates::make_operator(&layout, &spec, &invoker)?;
    let text = howdah_spec::to_toml(&spec);
    // A file that says the same already is left alone: the disk may be full.
    if fs::read(layout.file()).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(Prepared { spec, text, layout, server });
    }
    dirs::write(&layout.file(), 0o644, text.as_bytes())?;
    Ok(Prepared { spec, text, layout, server })
}

/// One node's folders and nothing else: for a machine that has yet to join its cluster.
pub fn folders(file: &ClusterFile, node: &NodeName) -> anyhow::Result<()> {
    let layout = Layout::new(&file.spec.base_dir);
    let server = account::server_account(&file.spec.run_as)?;
    server.check_reach(layout.base())?;
    make_base(&layout, file.spec.cluster.as_str())?;
    let nodes = here::beside(&file.spec, node);
    dirs::make_all(&layout, &file.spec.store, &nodes, &server)
}

/// A node that has taken part is not started with another idea of the cluster; and Howdah's own
/// copy of the file is left as it was.
fn check_unchanged(
    layout: &Layout,
    spec: &ClusterSpec,
    nodes: &BTreeMap<NodeName, NodeSpec>,
) -> anyhow::Result<()> {
    if !layout.file().exists() {
        return Ok(());
    }
    let known = crate::file::load(&layout.file())?.spec;
    nodes.values().try_for_each(|node| admit::check_local(spec, &known, node))
}

/// The nodes that live on this machine.
fn nodes_here(
    spec: &ClusterSpec,
    layout: &Layout,
    caller: Caller<'_>,
) -> BTreeMap<NodeName, NodeSpec> {
    match caller {
        Caller::Up => spec.nodes.clone(),
        Caller::Run(node) | Caller::PrepareFor(node) => here::beside(spec, node),
        Caller::Prepare => here::here(spec, layout),
    }
}

/// A node that is started on its second machine must not found a cluster of its own there.
fn may_found(spec: &ClusterSpec, caller: Caller<'_>) -> bool {
    !matches!(caller, Caller::Run(_)) || here::is_one_machine(spec)
}

/// Of several machines one founds the cluster, and the file says which: two that are prepared by
/// mistake would be two clusters of one name.
fn check_founder(spec: &ClusterSpec, here: &BTreeMap<NodeName, NodeSpec>) -> anyhow::Result<()> {
    let data = || spec.nodes.iter().find(|(_, node)| node.kind == NodeKind::Data);
    let founder = spec.first_node.as_ref().or_else(|| data().map(|(name, _)| name));
    let Some(founder) = founder.filter(|founder| !here.contains_key(*founder)) else {
        return Ok(());
    };
    let node = here.keys().next().map_or("NODE", NodeName::as_str);
    Err(Failure::failed(format!(
        "a cluster of several machines begins on the machine of `{founder}`"
    ))
    .hint(format!(
        "there: howdah prepare --node {founder}, and howdah token create {node}; here what that \
         prints. To begin elsewhere, set `first_node` in the file"
    ))
    .into())
}

fn several_machines(file: &ClusterFile) -> Failure {
    let nodes: Vec<&str> = file.spec.nodes.keys().map(NodeName::as_str).collect();
    Failure::bad_input("`howdah up` runs the nodes of one machine, and the file names several")
        .hint(format!("on each machine: howdah run --node NODE ({})", nodes.join(", ")))
}

/// Root has prepared, and the node was started as the servers' user: there is nothing that it
/// could make, or should.
fn is_made_by_another(layout: &Layout) -> bool {
    let owner = fs::metadata(layout.file()).map(|meta| meta.uid());
    !Uid::effective().is_root() && owner.is_ok_and(|owner| owner != Uid::effective().as_raw())
}

fn as_it_stands(layout: Layout, server: Account) -> anyhow::Result<Prepared> {
    let file = crate::file::load(&layout.file())?;
    Ok(Prepared { spec: file.spec, text: file.text, layout, server })
}

/// Replaces ports in use when `up` makes the cluster, and repeats that ever after.
fn settle_ports(
    layout: &Layout,
    file: &ClusterFile,
    spec: &mut ClusterSpec,
    caller: Caller<'_>,
) -> anyhow::Result<()> {
    if let Some(replaced) = remembered_ports(layout)? {
        ports::repeat(spec, &replaced);
        return Ok(());
    }
    if caller != Caller::Up || spec.nodes.values().any(is_running) {
        return Ok(());
    }
    let places = crate::file::places(file);
    // Howdah's own copy names every port.
    let is_written = |key: &str| file.path != layout.file() && places.names(key);
    let replaced = ports::replace_taken(spec, is_written, ports::is_free_now)?;
    for replacement in &replaced {
        say(replacement.sentence());
    }
    let lines: String = replaced.iter().map(|replacement| format!("{replacement}\n")).collect();
    dirs::write(&layout.ports(), 0o644, lines.as_bytes())
}

fn is_running(node: &NodeSpec) -> bool {
    Lock::is_held(&layout::node_lock(node))
}

/// `None` before the first `up`.
pub fn remembered_ports(layout: &Layout) -> anyhow::Result<Option<Vec<Replacement>>> {
    let path = layout.ports();
    if !path.exists() {
        return Ok(None);
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("read file: `{}`", path.display()))?;
    text.lines().map(str::parse).collect::<anyhow::Result<_>>().map(Some)
}
