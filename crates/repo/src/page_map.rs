//! Where each page of a file is, and what each page was: for restores and for the next backup.
//!
//! A map stands for itself: it names the packs that it refers to, so that a later backup of a
//! file that has not changed refers to the same map.

use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{Input, Output};
use crate::frame::PLAIN_BYTES_MAX;
use crate::manifest::PackId;

/// The map of one file.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct PageMap {
    /// What runs refer to by number.
    pub packs: Vec<PackId>,
    /// In order of their pages; together every page of the file, once.
    pub runs: Vec<Run>,
}

/// Pages that lie one behind the other in a pack. A run goes on from a frame's last page to the
/// first of the next frame; how many a frame holds follows from its plain length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run {
    pub first: u32,
    pub count: u32,
    /// In [`PageMap::packs`].
    pub pack: u32,
    pub frame: u32,
    /// The first page within the frame.
    pub page: u32,
}

const VERSION: u8 = 1;
/// Of 8 KiB, in a file of 1 GiB, PostgreSQL's own bound; other page sizes have fewer or more.
pub const PAGES_MAX: u32 = 1 << 20;
/// So many sums are one frame.
pub const SUMS_PER_FRAME: usize = PLAIN_BYTES_MAX / 8;

impl PageMap {
    /// How many pages it is the map of.
    pub fn pages(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.first + run.count)
    }

    /// The bytes to be cut into frames.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Output(vec![VERSION]);
        out.number(self.packs.len() as u64);
        self.packs.iter().for_each(|pack| pack.encode(&mut out));
        out.number(self.runs.len() as u64);
        for run in &self.runs {
            [run.count, run.pack, run.frame, run.page].into_iter().for_each(|n| out.number(n));
        }
        out.0
    }

    /// Total: whatever the bytes, it answers.
    pub fn decode(bytes: &[u8]) -> Option<PageMap> {
        let mut input = Input(bytes);
        if input.byte()? != VERSION {
            return None;
        }
        let mut map = PageMap::default();
        for _ in 0..input.count(3)? {
            map.packs.push(PackId::decode(&mut input)?);
        }
        let mut first = 0_u32;
        for _ in 0..input.count(4)? {
            let (count, pack) = (input.small()?, input.small()?);
            let (frame, page) = (input.small()?, input.small()?);
            let end = first.checked_add(count)?;
            if count == 0 || end > PAGES_MAX || pack as usize >= map.packs.len() {
                return None;
            }
            map.runs.push(Run { first, count, pack, frame, page });
            first = end;
        }
        input.ended()?;
        Some(map)
    }
}

/// What a page is compared by. A mistake, one in 2^64, is found by the file's BLAKE3.
pub fn page_sum(page: &[u8]) -> u64 {
    xxh3_64(page)
}

pub fn encode_sums(sums: &[u64]) -> Vec<u8> {
    sums.iter().flat_map(|sum| sum.to_le_bytes()).collect()
}

pub fn decode_sums(bytes: &[u8]) -> Option<Vec<u64>> {
    let sums = bytes.chunks_exact(8);
    if !sums.remainder().is_empty() {
        return None;
    }
    sums.map(|sum| Some(u64::from_le_bytes(sum.try_into().ok()?))).collect()
}
