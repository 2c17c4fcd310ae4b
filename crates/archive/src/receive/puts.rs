//! What is on its way into the repository, in the order in which it is WAL.

use std::collections::VecDeque;

use howdah_base::{Lsn, WalFile};

use super::command::Put;

/// Everything that is not durable, or behind something that is not.
#[derive(Clone, Debug, Default)]
pub(super) struct Puts {
    next: u64,
    under_way: VecDeque<Under>,
    bytes: u64,
}

#[derive(Clone, Debug)]
struct Under {
    put: Put,
    what: What,
    bytes: u64,
    is_durable: bool,
}

/// What its being durable means, once everything before it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// WAL up to there.
    Chunk {
        end: Lsn,
    },
    /// WAL up to there; with `chunks`, those of it are no longer needed.
    Segment {
        end: Lsn,
        segment: WalFile,
        chunks: bool,
    },
    History,
    /// What was there before is what has come.
    Same,
    /// WAL from there on follows.
    Gap,
}

impl Puts {
    pub fn add(&mut self, what: What, bytes: usize) -> Put {
        let put = Put(self.next);
        self.next += 1;
        self.bytes += bytes as u64;
        self.under_way.push_back(Under { put, what, bytes: bytes as u64, is_durable: false });
        put
    }

    /// Marks one, and gives what is now durable with everything before it. One that is not known
    /// was confirmed before.
    pub fn durable(&mut self, put: Put) -> Vec<What> {
        if let Some(under) = self.under_way.iter_mut().find(|under| under.put == put) {
            under.is_durable = true;
            self.bytes -= std::mem::take(&mut under.bytes);
        }
        let mut reached = Vec::new();
        while self.under_way.front().is_some_and(|first| first.is_durable) {
            reached.extend(self.under_way.pop_front().map(|first| first.what));
        }
        reached
    }

    /// What is under way counts up to there only.
    pub fn end_at(&mut self, switchpoint: Lsn) {
        for under in &mut self.under_way {
            if let What::Chunk { end } | What::Segment { end, .. } = &mut under.what {
                *end = switchpoint.min(*end);
            }
        }
    }

    /// Bytes that are held until they are durable.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
