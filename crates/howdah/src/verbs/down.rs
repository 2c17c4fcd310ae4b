//! `howdah down`: stops what `up` started, and what an `up` that was killed has left behind.

use std::fs;
use std::io::BufRead;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use howdah_base::NodeName;
use howdah_spec::backup::{Cipher, RepositorySpec};
use howdah_spec::{ClusterSpec, NodeSpec, SecretRef};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::ask::block_on;
use crate::failure::{Exit, Failure};
use crate::file::FileArg;
use crate::keeper;
use crate::prepare::lock::Lock;
use crate::prepare::{Account, Layout, account, layout};
use crate::supervise::{leftover, signal_found};
use crate::talk::say;

/// Stop the cluster; the primary first, then the standbys, which have everything by then
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Also remove all of its data, certificates and passwords
    #[arg(long)]
    purge: bool,
    /// Do not ask before --purge
    #[arg(short, long, requires = "purge")]
    yes: bool,
}

/// Two rounds of nodes, each with its own bound, fit into it.
const SUPERVISOR_TIMEOUT: Duration = Duration::from_secs(300);
const NODE_TIMEOUT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub fn run(args: &Args) -> anyhow::Result<()> {
    let spec = args.file.load_running()?.spec;
    let layout = Layout::new(&spec.base_dir);
    let server = account::server_account(&spec.run_as)?;
    if args.purge {
        check_marker(&layout, &spec)?;
        of_backups(&spec, &layout).iter().for_each(say);
        if !args.yes && !confirmed(&spec, &layout)? {
            return Err(Failure::failed("nothing was stopped or removed").into());
        }
    }
    let stopped = [
        stop_supervisor(&spec, &layout)?,
        stop_nodes(&spec, &server)?,
        block_on(leftover::stop_guards(&spec))?,
        // The last thing: until now somebody may have needed the store.
        block_on(keeper::end_all(&spec, &server))?,
    ];
    if stopped.contains(&true) {
        say(format!("cluster {} is stopped", spec.cluster));
    } else {
        say(format!("cluster {} is not running", spec.cluster));
    }
    if args.purge { purge(&spec, &layout) } else { Ok(()) }
}

/// Whether there was one.
fn stop_supervisor(spec: &ClusterSpec, layout: &Layout) -> anyhow::Result<bool> {
    let lock = layout.up_pid();
    // The lock is held by a living process that wrote its id: no other can be meant.
    let Some(pid) = Lock::holder(&lock) else { return Ok(false) };
    // Gone in the meantime is as good as stopped.
    if kill(Pid::from_raw(pid), Signal::SIGTERM) == Err(Errno::EPERM) {
        return Err(Failure::failed(format!("another user runs the cluster, process: `{pid}`"))
            .hint("run it as the user who ran `howdah up`, or as root")
            .into());
    }
    say(format!("stopping cluster {}", spec.cluster));
    wait_for_release(&lock, SUPERVISOR_TIMEOUT, "the supervisor")?;
    Ok(true)
}

/// Nodes that run without a supervisor: it was killed, or a service manager started them.
fn stop_nodes(spec: &ClusterSpec, server: &Account) -> anyhow::Result<bool> {
    let running: Vec<(&NodeName, &NodeSpec, i32)> = spec
        .nodes
        .iter()
        .filter_map(|(name, node)| Some((name, node, Lock::holder(&layout::node_lock(node))?)))
        .collect();
    for (name, _, pid) in &running {
        say(format!("{name}: stopping"));
        // SIGINT says that the whole cluster is going down: nobody is to take over.
        signal_found(server, *pid, Signal::SIGINT);
    }
    for (name, node, _) in &running {
        wait_for_release(&layout::node_lock(node), NODE_TIMEOUT, &format!("node {name}"))?;
    }
    Ok(!running.is_empty())
}

fn wait_for_release(lock: &Path, at_most: Duration, who: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + at_most;
    while Lock::is_held(lock) {
        if Instant::now() >= deadline {
            let seconds = at_most.as_secs();
            let message = format!("{who} has not stopped within {seconds} s");
            return Err(Failure::new(Exit::TimedOut, message).hint("howdah logs").into());
        }
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Only a folder that `up` made, for this very cluster, is ever removed.
fn check_marker(layout: &Layout, spec: &ClusterSpec) -> anyhow::Result<()> {
    let wanted = format!("cluster {}\n", spec.cluster);
    let found = fs::read_to_string(layout.marker());
    if found.is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let base = layout.base().display();
    Err(Failure::failed(format!("not a folder that howdah made for {}: `{base}`", spec.cluster))
        .hint("look into it, and remove it yourself if it can go")
        .into())
}

/// What becomes of the backups when the folder goes.
fn of_backups(spec: &ClusterSpec, layout: &Layout) -> Option<String> {
    let backup = spec.backup.as_ref()?;
    let is_below = |path: &Path| path.starts_with(layout.base());
    if let RepositorySpec::Directory(path) = &backup.repository
        && is_below(path)
    {
        return Some(format!("its backups lie there too, and go: `{}`", path.display()));
    }
    let Some(SecretRef::File(key)) = backup.key.as_ref().filter(|_| backup.cipher != Cipher::None)
    else {
        return None;
    };
    is_below(key).then(|| {
        format!(
            "its backups stay, but their key goes with it, and nobody reads them without: `{}`\n\
             hint: howdah repository key --export FILE, beforehand; unless that was done",
            key.display()
        )
    })
}

fn confirmed(spec: &ClusterSpec, layout: &Layout) -> anyhow::Result<bool> {
    let (cluster, base) = (&spec.cluster, layout.base().display());
    say(format!("this removes cluster {cluster} with all its data: `{base}`"));
    say("type the cluster's name to go on:");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("read the answer")?;
    Ok(line.trim() == cluster.as_str())
}

fn purge(spec: &ClusterSpec, layout: &Layout) -> anyhow::Result<()> {
    let base = layout.base();
    fs::remove_dir_all(base).with_context(|| format!("remove: `{}`", base.display()))?;
    say(format!("removed `{}`", base.display()));
    let dirs = spec.nodes.values().flat_map(|node| [&node.data_dir, &node.state_dir]);
    for dir in dirs.filter(|dir| !dir.starts_with(base) && dir.exists()) {
        say(format!("left alone, because it lies elsewhere: `{}`", dir.display()));
    }
    Ok(())
}
