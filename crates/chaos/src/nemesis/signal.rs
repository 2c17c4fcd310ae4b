//! Processes that are killed or stopped, and the look into `/proc` that it was so.

use std::time::Duration;

use howdah_testkit::{Node, process, wait};
use nix::sys::signal::Signal;

use super::{Begun, Nemesis, Undo};
use crate::plan::Kind;

/// A killed process is gone within this, and a stopped one stands still: it needs its turn of a
/// processor for that.
const SEEN_WITHIN: Duration = Duration::from_secs(3);

impl Nemesis<'_> {
    pub(super) fn kill(&self, kind: Kind, node: &Node, chance: u64) -> Begun {
        let Some(pid) = victim(kind, node, chance) else {
            return (node.name.clone(), Undo::Nothing, Err("there is none".to_owned()));
        };
        let undo = if kind == Kind::KillAgent {
            self.manager.hold(&node.name);
            Undo::Release(node.name.clone())
        } else {
            Undo::Nothing
        };
        process::signal(pid, Signal::SIGKILL);
        let gone = || {
            // The agent is this program's child and is there until somebody looks for its end.
            let ended = kind == Kind::KillAgent && node.agent_end().is_some();
            (ended || !process::is_alive(pid)).then_some(())
        };
        let gone = wait::found_within(SEEN_WITHIN, gone);
        (format!("{} ({pid})", node.name), undo, gone.ok_or_else(|| "it lives on".to_owned()))
    }

    pub(super) fn freeze(&self, kind: Kind, node: &Node, chance: u64) -> Begun {
        let parts: &[Kind] = match kind {
            Kind::StopBoth => &[Kind::StopAgent, Kind::StopGuard],
            _ => &[kind],
        };
        let pids: Vec<i32> = parts.iter().filter_map(|part| victim(*part, node, chance)).collect();
        if pids.len() < parts.len() {
            return (node.name.clone(), Undo::Nothing, Err("there is none".to_owned()));
        }
        stop_all(node.name.clone(), pids)
    }

    /// Every standby is there and its WAL receiver says nothing any more.
    pub(super) fn freeze_receivers(&self) -> Begun {
        let nodes = self.cluster.nodes().iter();
        let pids: Vec<i32> = nodes.filter_map(Node::wal_receiver_pid).collect();
        if pids.is_empty() {
            return (String::new(), Undo::Nothing, Err("there is none".to_owned()));
        }
        stop_all("all standbys".to_owned(), pids)
    }
}

fn stop_all(whom: String, pids: Vec<i32>) -> Begun {
    for pid in &pids {
        process::signal(*pid, Signal::SIGSTOP);
    }
    let still = || pids.iter().all(|pid| process::stands_still(*pid)).then_some(());
    let effect = wait::found_within(SEEN_WITHIN, still);
    let whom = format!("{whom} {pids:?}");
    (whom, Undo::Continue(pids), effect.ok_or_else(|| "it does not stand still".to_owned()))
}

/// The process that a fault of this kind meets.
fn victim(kind: Kind, node: &Node, chance: u64) -> Option<i32> {
    match kind {
        Kind::KillAgent | Kind::StopAgent => node.agent_pid(),
        Kind::KillGuard | Kind::StopGuard => node.guard_pid(),
        Kind::KillPostmaster | Kind::StopPostmaster => node.postmaster_pid(),
        Kind::KillEtcd | Kind::StopEtcd => node.etcd_pid(),
        _ => backend(node, chance),
    }
}

/// One that serves a client: PostgreSQL writes user and database into its title.
fn backend(node: &Node, chance: u64) -> Option<i32> {
    let mut serving: Vec<i32> = (node.server_processes().iter())
        .filter(|process| process.title().contains(" app app "))
        .map(|process| process.pid)
        .collect();
    serving.sort_unstable();
    let at = usize::try_from(chance).ok()?.checked_rem(serving.len())?;
    Some(serving[at])
}
