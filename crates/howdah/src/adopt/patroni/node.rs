//! The node that takes a Patroni node's place: started, waited for, stopped.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_base::record::ServerState;
use howdah_base::status::ClusterStatus;
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use tokio::time::{Instant, sleep};

use super::daemon::Daemon;
use super::tell;
use crate::ask::{Asker, block_on};
use crate::failure::{Exit, Failure};
use crate::prepare::lock::Lock;
use crate::prepare::{Prepared, layout};
use crate::supervise::{leftover, signal_found};

/// A server's start, with recovery from its last checkpoint.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// Its shutdown checkpoint, and the guard's bound behind it.
const DOWN_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// While waiting, something is said this often.
const TELL_EVERY: Duration = Duration::from_secs(30);
const BOOTED: &str = "/run/systemd/system";

/// Starts the node unless it runs: as a service where Patroni was one, else by itself, in the
/// background.
pub fn start(
    prepared: &Prepared,
    node: &NodeName,
    daemon: &Daemon,
) -> anyhow::Result<Option<Child>> {
    let lock = layout::node_lock(&prepared.spec.nodes[node]);
    if Lock::is_held(&lock) {
        return Ok(None);
    }
    let file = prepared.layout.file();
    if as_service(daemon) {
        install(&["--now", "--node", node.as_str()], &file)?;
        return Ok(None);
    }
    // The running executable and not its path, as `up` does it.
    let child = Command::new("/proc/self/exe")
        .arg0("howdah")
        .args(["run", "--node", node.as_str(), "--as-child", "--file"])
        .arg(&file)
        .env("HOME", prepared.layout.base())
        .env("USER", &prepared.server.name)
        .env("LOGNAME", &prepared.server.name)
        .current_dir(prepared.layout.base())
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("start node {node}"))?;
    Ok(Some(child))
}

fn as_service(daemon: &Daemon) -> bool {
    daemon.unit.is_some() && Path::new(BOOTED).exists() && Uid::effective().is_root()
}

/// `howdah install` with these words.
fn install(words: &[&str], file: &Path) -> anyhow::Result<()> {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("howdah").arg("install").args(words).arg("--file").arg(file);
    let status = command.status().context("run howdah install")?;
    anyhow::ensure!(status.success(), "howdah install ended with {status}");
    Ok(())
}

/// Waits until the node's server is as `wanted`.
pub fn wait(
    prepared: &Prepared,
    node: &NodeName,
    wanted: ServerState,
    mut child: Option<Child>,
) -> anyhow::Result<()> {
    let ended = || child.as_mut().and_then(|child| child.try_wait().ok().flatten());
    let is_so = |status: &ClusterStatus| {
        status.nodes.iter().any(|n| n.node == *node && n.state == wanted && n.alive)
    };
    let what = format!("node {node} is up");
    let log = layout::node_log(&prepared.spec.nodes[node]);
    until(prepared, &what, UP_WITHIN, is_so, ended).map_err(|error| {
        let back = "or, to give it back to Patroni: howdah adopt --patroni FILE --abort";
        match error.downcast::<Failure>() {
            Ok(failure) => failure.hint(format!("look into `{}`; {back}", log.display())).into(),
            Err(error) => error,
        }
    })
}

/// Waits, as long as the operator wants, until Howdah leads.
pub fn wait_for_leader(prepared: &Prepared, leader: &str, at_most: Duration) -> anyhow::Result<()> {
    let leads = |status: &ClusterStatus| {
        let leader = status.leader.as_ref();
        status.nodes.iter().any(|n| Some(&n.node) == leader && n.state == ServerState::Primary)
    };
    let what = format!("{leader} has been taken over too");
    until(prepared, &what, at_most, leads, || None).map_err(|error| {
        match error.downcast::<Failure>() {
            Ok(failure) => failure
                .hint("take it over on its machine, then say this again; or go back with --abort")
                .into(),
            Err(error) => error,
        }
    })
}

fn until(
    prepared: &Prepared,
    what: &str,
    at_most: Duration,
    is_so: impl Fn(&ClusterStatus) -> bool,
    mut ended: impl FnMut() -> Option<std::process::ExitStatus>,
) -> anyhow::Result<()> {
    let asker = Asker::of(prepared);
    let begun = Instant::now();
    let mut told = begun;
    block_on(async {
        loop {
            if asker.status().await.is_ok_and(|status| is_so(&status)) {
                return Ok(());
            }
            if let Some(status) = ended() {
                return Err(Failure::failed(format!("the node has ended, {status}")).into());
            }
            if begun.elapsed() >= at_most {
                let message = format!("not within {} s: {what}", at_most.as_secs());
                return Err(Failure::new(Exit::TimedOut, message).into());
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                tell(format!("still waiting until {what}, {} s", begun.elapsed().as_secs()));
            }
            sleep(LOOK_EVERY).await;
        }
    })
}

/// The cluster as its nodes see it, if one of them runs.
pub fn status(prepared: &Prepared) -> Option<ClusterStatus> {
    block_on(Asker::of(prepared).status()).ok()
}

/// Stops the node and its PostgreSQL. `last`: nobody is to take over.
pub fn stop(
    prepared: &Prepared,
    node: &NodeName,
    daemon: &Daemon,
    last: bool,
) -> anyhow::Result<()> {
    let spec = &prepared.spec.nodes[node];
    let lock = layout::node_lock(spec);
    if let Some(pid) = Lock::holder(&lock) {
        let signal = if last { Signal::SIGINT } else { Signal::SIGTERM };
        signal_found(&prepared.server, pid, signal);
    }
    block_on(async {
        let begun = Instant::now();
        while Lock::is_held(&lock) {
            if begun.elapsed() >= DOWN_WITHIN {
                let seconds = DOWN_WITHIN.as_secs();
                let message = format!("node {node} has not stopped within {seconds} s");
                return Err(Failure::new(Exit::TimedOut, message).hint("howdah logs").into());
            }
            sleep(LOOK_EVERY).await;
        }
        leftover::stop_guard(node, spec).await.map(|_| ())
    })?;
    if as_service(daemon) {
        install(&["--uninstall", "--node", node.as_str()], &prepared.layout.file())?;
    }
    Ok(())
}
