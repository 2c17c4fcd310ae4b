//! Networks and disks that fail, hosts that are lost, and an operator who moves the primary; each
//! with the question to the system whether it is so.

use std::time::Duration;

use howdah_testkit::{Disk, Node, process, wait};
use nix::sys::signal::Signal;

use super::{Begun, Nemesis, Undo};
use crate::plan::Kind;

/// Thousand bits a second of a slow link, at least and at most.
const SLOW_KBIT: (u64, u64) = (200, 2_000);
/// A node gives its reserve up within this.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(5);

impl Nemesis<'_> {
    pub(super) fn cut(&self, kind: Kind, node: &Node, chance: u64) -> Begun {
        let (one, other) = (&node.name, &self.other(node, chance).name);
        let cables = self.cluster.cables();
        match kind {
            Kind::CutOneWay => cables.cut_one_way(one, other),
            _ => cables.cut(one, other),
        }
        let effect = silent(!cables.reaches(one, other));
        (format!("{one} to {other}"), Undo::Heal(one.clone(), other.clone()), effect)
    }

    pub(super) fn isolate(&self, kind: Kind, node: &Node) -> Begun {
        let cables = self.cluster.cables();
        let others: Vec<&str> = (self.cluster.nodes().iter())
            .map(|other| other.name.as_str())
            .filter(|other| *other != node.name)
            .collect();
        for other in &others {
            match kind {
                Kind::IsolateOneWay => cables.cut_one_way(&node.name, other),
                _ => cables.cut(&node.name, other),
            }
        }
        let cut = others.iter().all(|other| !cables.reaches(&node.name, other));
        (node.name.clone(), Undo::Rejoin(node.name.clone()), silent(cut))
    }

    pub(super) fn lose_host(&self, node: &Node) -> Begun {
        // What waits for a disk that hangs cannot be killed, and a host without power waits for
        // nothing.
        for disk in self.disks.iter().filter(|disk| node.base_dir.starts_with(disk.place())) {
            disk.thaw();
        }
        self.manager.hold(&node.name);
        self.cluster.lose_host(node);
        let left = node.processes();
        let effect = if left.is_empty() { Ok(()) } else { Err(format!("{} live", left.len())) };
        (node.name.clone(), Undo::Return(node.name.clone()), effect)
    }

    pub(super) fn slow_link(&self, node: &Node, chance: u64) -> Begun {
        let kilobits = SLOW_KBIT.0 + chance % (SLOW_KBIT.1 - SLOW_KBIT.0);
        let kilobits = u32::try_from(kilobits).unwrap_or(1_000);
        let cables = self.cluster.cables();
        let whom = format!("{} at {kilobits} kbit/s", node.name);
        let undo = Undo::SpeedUp(node.name.clone());
        if !cables.slow_down(&node.name, kilobits) {
            return (whom, undo, Err("`tc` refuses".to_owned()));
        }
        // A primary's stream and a standby's answers are more than nothing.
        let waits = || (cables.held_back(&node.name) > 0).then_some(());
        let held = wait::found_within(Duration::from_secs(3), waits);
        (whom, undo, held.ok_or_else(|| "no packet had to wait".to_owned()))
    }

    pub(super) fn disk(&self, kind: Kind, node: &Node, chance: u64) -> Begun {
        let of_node = |disk: &Disk| node.base_dir.starts_with(disk.place());
        let Some(at) = self.disks.iter().position(of_node) else {
            return (node.name.clone(), Undo::Nothing, Err("it has no disk of its own".to_owned()));
        };
        let disk = &self.disks[at];
        let (effect, undo) = match kind {
            Kind::FullDisk => (fill(disk, node, chance), Undo::Free(at)),
            _ => (disk.freeze(), Undo::Thaw(at)),
        };
        (node.name.clone(), undo, if effect { Ok(()) } else { Err("a write goes well".to_owned()) })
    }

    pub(super) fn switchover(&self) -> Begun {
        let before = self.shared.primary().unwrap_or_default();
        let output = self.cluster.howdah(&["switchover"]);
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.starts_with("hint")).unwrap_or("");
        let effect = if output.status.success() { Ok(()) } else { Err(last.to_owned()) };
        (format!("from {before}"), Undo::Nothing, effect)
    }

    pub(super) fn undo(&self, undo: Undo) {
        let cables = self.cluster.cables();
        match undo {
            Undo::Nothing => {}
            Undo::Continue(pids) => {
                pids.iter().for_each(|pid| process::signal(*pid, Signal::SIGCONT));
            }
            Undo::Release(node) => self.manager.release(&node),
            Undo::Return(node) => {
                cables.come_back(&node);
                self.manager.release(&node);
            }
            Undo::Heal(one, other) => cables.heal(&one, &other),
            Undo::Rejoin(node) => cables.rejoin(&node),
            Undo::SpeedUp(node) => cables.speed_up(&node),
            Undo::Free(disk) => self.disks[disk].free(),
            Undo::Thaw(disk) => {
                self.disks[disk].thaw();
            }
        }
    }

    /// Whatever was begun, nothing of it is left.
    pub(super) fn heal_all(&self) {
        for disk in self.disks {
            disk.thaw();
            disk.free();
        }
        let cables = self.cluster.cables();
        for node in self.cluster.nodes() {
            cables.come_back(&node.name);
            cables.rejoin(&node.name);
            cables.speed_up(&node.name);
            for stopped in node.processes().iter().filter(|process| process.state == 'T') {
                process::signal(stopped.pid, Signal::SIGCONT);
            }
            self.manager.release(&node.name);
        }
    }
}

fn silent(is_cut: bool) -> Result<(), String> {
    if is_cut { Ok(()) } else { Err("a connection is answered".to_owned()) }
}

/// The room that is left goes, then mostly the reserve that the node gives up for it. Whether a
/// write is refused, or the reserve had to go.
fn fill(disk: &Disk, node: &Node, chance: u64) -> bool {
    let reserve = node.data_dir.with_file_name("data.reserve");
    let had_some = reserve.exists();
    let full = disk.fill();
    let gone = || (!reserve.exists()).then_some(());
    let gave_up = had_some && wait::found_within(GIVEN_UP_WITHIN, gone).is_some();
    match chance % 4 {
        0 => full || gave_up,
        _ => disk.fill() || full || gave_up,
    }
}
