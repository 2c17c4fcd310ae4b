//! Every node of this machine ended and kept from starting, and no process of any server left.

use std::path::Path;
use std::time::{Duration, Instant};

use howdah_archive::restore::write::no_server;
use howdah_base::NodeName;
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::ground::Ground;
use super::hold;
use crate::failure::{Exit, Failure};
use crate::prepare::lock::Lock;
use crate::prepare::{Account, layout};
use crate::supervise::{leftover, signal_found};
use crate::talk::say;

/// A node's shutdown holds PostgreSQL's shutdown checkpoint.
const NODE_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The proof: each node's own lock is held here, and each guard said that nothing is left, and
/// no process is at home in a data directory.
#[derive(Debug)]
pub struct Still {
    /// Nodes that ran.
    pub ran: usize,
    _locks: Vec<Lock>,
}

/// Ends them and keeps them; the cluster is paused for it. The marks stay, also when this fails.
pub async fn all(ground: &Ground) -> anyhow::Result<Still> {
    let (spec, server) = (&ground.here, &ground.prepared.server);
    hold::all(spec)?;
    let mut ending = Vec::new();
    let mut ran = 0;
    for (name, node) in spec.nodes.iter().filter(|(_, node)| node.state_dir.is_dir()) {
        let lock = layout::node_lock(node);
        ran += usize::from(end(server, &lock, name).is_some());
        ending.push((name, lock));
    }
    let mut locks = Vec::new();
    for (name, path) in ending {
        locks.push(taken(server, name, &path).await?);
    }
    leftover::stop_guards(spec).await?;
    // Whatever became of guards: what writes has its directory for its own.
    spec.nodes.values().try_for_each(|node| no_server(&node.data_dir))?;
    Ok(Still { ran, _locks: locks })
}

/// No node that was told to end runs any more. One that finds its mark has no lock.
pub async fn ended(ground: &Ground) -> anyhow::Result<()> {
    for (name, node) in ground.here.nodes.iter().filter(|(_, node)| node.state_dir.is_dir()) {
        drop(taken(&ground.prepared.server, name, &layout::node_lock(node)).await?);
    }
    Ok(())
}

/// SIGINT says that the whole cluster goes down: nobody is to take over.
fn end(server: &Account, lock: &Path, name: &NodeName) -> Option<i32> {
    let pid = Lock::holder(lock)?;
    say(format!("{name}: stopping"));
    signal_found(server, pid, Signal::SIGINT);
    Some(pid)
}

async fn taken(server: &Account, name: &NodeName, path: &Path) -> anyhow::Result<Lock> {
    let deadline = Instant::now() + NODE_WITHIN;
    let mut ended = Lock::holder(path);
    loop {
        if let Some(lock) = Lock::take(path)? {
            return Ok(lock);
        }
        // One that was about to look for the mark lets go by itself.
        let holder = Lock::holder(path);
        if holder.is_some() && holder != ended {
            ended = end(server, path, name);
        }
        if Instant::now() >= deadline {
            let what = format!("{name} has not stopped within {} s", NODE_WITHIN.as_secs());
            return Err(Failure::new(Exit::TimedOut, what).hint("howdah logs").into());
        }
        sleep(LOOK_EVERY).await;
    }
}
