//! WAL that nobody wrote, with the headers that count.

use howdah_archive::receive::Cluster;
use howdah_base::{History, Lsn, Timeline};

/// Bytes from `from` up to `to`, as a server with this history has them.
pub fn wal(cluster: &Cluster, history: &History, from: Lsn, to: Lsn) -> Vec<u8> {
    (from.0..to.0).map(|at| byte(cluster, history, at)).collect()
}

fn byte(cluster: &Cluster, history: &History, at: u64) -> u8 {
    let start = at / cluster.segment * cluster.segment;
    let owner = owner(history, Lsn(at));
    match head(cluster, owner_at(history, start), start).get((at - start) as usize) {
        Some(byte) => *byte,
        None => (at.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8 ^ owner.0 as u8,
    }
}

fn owner_at(history: &History, at: u64) -> Timeline {
    owner(history, Lsn(at))
}

fn owner(history: &History, at: Lsn) -> Timeline {
    let left = history.forks.iter().find(|(_, fork)| at < *fork);
    left.map_or(history.timeline, |(timeline, _)| *timeline)
}

fn head(cluster: &Cluster, timeline: Timeline, start: u64) -> [u8; 40] {
    let mut head = [0; 40];
    head[..2].copy_from_slice(&0xD110_u16.to_le_bytes());
    head[2] = 2;
    head[4..8].copy_from_slice(&timeline.0.to_le_bytes());
    head[8..16].copy_from_slice(&start.to_le_bytes());
    head[24..32].copy_from_slice(&cluster.system_identifier.to_le_bytes());
    head[32..36].copy_from_slice(&(cluster.segment as u32).to_le_bytes());
    head[36..40].copy_from_slice(&8192_u32.to_le_bytes());
    head
}

/// The history file of a timeline.
pub fn file(history: &History) -> Vec<u8> {
    let lines =
        history.forks.iter().map(|(timeline, fork)| format!("{timeline}\t{fork}\tno reason\n"));
    lines.collect::<String>().into_bytes()
}
