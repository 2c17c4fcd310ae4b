//! A repository in memory that knows what the receiver must never do.

use std::collections::BTreeMap;

use howdah_archive::receive::{Command, Put};
use howdah_base::{Lsn, WalFile};

/// What is durable, and what is on its way.
#[derive(Default)]
pub struct Repository {
    pub segments: BTreeMap<WalFile, Vec<u8>>,
    /// By segment, then by where they begin.
    pub chunks: BTreeMap<WalFile, BTreeMap<u64, Vec<u8>>>,
    pub histories: BTreeMap<u32, Vec<u8>>,
    pub under_way: Vec<Command>,
    pub reported: Vec<Lsn>,
}

impl Repository {
    /// Takes a command; what is put is durable only after [`Repository::confirm`].
    pub fn take(&mut self, command: Command) {
        match command {
            Command::PutHistory { .. } | Command::Gap { .. } | Command::Compare { .. } => {
                self.under_way.push(command);
            }
            Command::PutChunk { .. } | Command::PutSegment { .. } => self.under_way.push(command),
            Command::DropChunks { segment } => {
                assert!(self.segments.contains_key(&segment), "{segment} is not whole");
                self.chunks.remove(&segment);
            }
            Command::ReportFlushed(lsn) => self.reported.push(lsn),
            Command::FetchHistory { .. } | Command::Start { .. } => panic!("{command}"),
        }
    }

    /// One of those on their way becomes durable.
    pub fn confirm(&mut self, which: usize) -> Put {
        match self.under_way.remove(which) {
            Command::PutHistory { put, timeline, content } => {
                self.histories.insert(timeline.0, content);
                put
            }
            Command::PutChunk { put, segment, from, to, bytes } => {
                assert_eq!(to - from, bytes.len() as u64);
                self.chunks.entry(segment).or_default().insert(from, bytes);
                put
            }
            Command::PutSegment { put, segment, bytes } => {
                let before = self.segments.insert(segment.clone(), bytes);
                assert!(before.is_none(), "{segment} was put twice");
                put
            }
            Command::Gap { put, .. } | Command::Compare { put, .. } => put,
            other => panic!("{other}"),
        }
    }

    /// A segment as a restore would have it: whole, or as far as its chunks go without a hole.
    pub fn segment(&self, name: &WalFile) -> Vec<u8> {
        if let Some(whole) = self.segments.get(name) {
            return whole.clone();
        }
        let mut bytes = Vec::new();
        for (from, chunk) in self.chunks.get(name).into_iter().flatten() {
            if *from == bytes.len() as u64 {
                bytes.extend_from_slice(chunk);
            }
        }
        bytes
    }
}
