//! What the receiver wants done. Commands may be carried out side by side, but for what is said here.

use std::fmt;

use howdah_base::{Lsn, Position, Timeline, WalFile};

/// Names one thing that is put into the repository, until it is said to be durable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Put(pub u64);

/// One thing to do. Every `put` is confirmed by [`super::Receiver::durable`], and tried again until
/// it can be: objects that are there with the same content are as good as new ones.
#[derive(Clone, PartialEq, Eq)]
pub enum Command {
    /// Ask the server for it, and hand it to [`super::Receiver::history`].
    FetchHistory { timeline: Timeline },
    /// Comes before anything of this timeline.
    PutHistory { put: Put, timeline: Timeline, content: Vec<u8> },
    /// This WAL will never come. To be recorded where everyone sees it who wants to restore.
    Gap { put: Put, timeline: Timeline, from: Lsn, to: Lsn },
    /// Begin a stream there.
    Start { from: Position },
    /// The repository has chunks of this segment from an earlier stream: they must be what this one
    /// has sent, and nothing else is done before that is known.
    Compare { put: Put, segment: WalFile, bytes: Vec<u8> },
    /// A part of a segment that is not whole yet; offsets in bytes.
    PutChunk { put: Put, segment: WalFile, from: u64, to: u64, bytes: Vec<u8> },
    /// A whole segment.
    PutSegment { put: Put, segment: WalFile, bytes: Vec<u8> },
    /// Its segment is durable, and none of its chunks is on its way any more.
    DropChunks { segment: WalFile },
    /// Everything below is durable: the server may hear it.
    ReportFlushed(Lsn),
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Without the bytes.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Command::FetchHistory { timeline } => write!(f, "fetch history {timeline}"),
            Command::PutHistory { put, timeline, .. } => {
                write!(f, "put {} history {timeline}", put.0)
            }
            Command::Gap { put, timeline, from, to } => {
                write!(f, "put {} gap {from} to {to} on timeline {timeline}", put.0)
            }
            Command::Start { from } => write!(f, "start at {from}"),
            Command::Compare { put, segment, bytes } => {
                write!(f, "put {} compare {segment} up to {:08X}", put.0, bytes.len())
            }
            Command::PutChunk { put, segment, from, to, .. } => {
                write!(f, "put {} chunk {segment} {from:08X}-{to:08X}", put.0)
            }
            Command::PutSegment { put, segment, .. } => {
                write!(f, "put {} segment {segment}", put.0)
            }
            Command::DropChunks { segment } => write!(f, "drop chunks {segment}"),
            Command::ReportFlushed(lsn) => write!(f, "report flushed {lsn}"),
        }
    }
}
