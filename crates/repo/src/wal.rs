//! WAL of a lineage: whole segments, chunks of those that are not whole yet, histories, and
//! what is known to be missing.
//!
//! ```text
//! stream ── put_chunk … put_chunk ─┐
//!                                  ├─▶ get_segment: the whole one, else chunks from its start
//! push, or all chunks ─ put_segment┘
//! ```
//!
//! Everything is written once: the same bytes again are fine, others are refused.

use bytes::Bytes;
use howdah_base::{Timeline, WalFile};

use crate::RepoError;
use crate::kind::Kind;
use crate::name::{Gap, WalObject, timeline_of};
use crate::repository::{Lineage, Put, SMALL_BYTES_MAX};
use crate::storage::Created;

/// PostgreSQL's own default.
pub const SEGMENT_BYTES: u32 = 16 << 20;
/// The longest that initdb makes.
pub const SEGMENT_BYTES_MAX: u32 = 1 << 30;

/// A segment as far as it is there, from its first byte on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Segment {
    pub bytes: Vec<u8>,
    /// Whether these are all.
    pub whole: bool,
}

/// What a repository holds of one segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentListed {
    pub segment: WalFile,
    /// The whole one's size as it is stored.
    pub whole: Option<u64>,
    /// Stretches within the segment, in order of their beginning.
    pub chunks: Vec<(u32, u32)>,
}

impl SegmentListed {
    /// How many bytes are there from the segment's beginning, of one of `size` bytes.
    pub fn reach(&self, size: u32) -> u32 {
        if self.whole.is_some() { size } else { reach(&self.chunks) }
    }
}

impl Lineage {
    /// Keeps a whole segment of `size` bytes.
    ///
    /// # Errors
    /// Beside those of the storage: what is not as long as a segment is refused.
    pub async fn put_segment(
        &self,
        segment: &WalFile,
        bytes: Bytes,
        size: u32,
    ) -> Result<Put, RepoError> {
        if bytes.len() != size as usize || size > SEGMENT_BYTES_MAX || is_history(segment) {
            let what = format!("`{segment}` of {} bytes is no segment of {size}", bytes.len());
            return Err(RepoError::refused(what, "a segment is kept when it is whole"));
        }
        self.put_bytes(Kind::Segment, &self.id().segment(segment), bytes).await
    }

    /// Keeps bytes of a segment that is not whole yet, beginning at `from` within it.
    pub async fn put_chunk(
        &self,
        segment: &WalFile,
        from: u32,
        bytes: Bytes,
    ) -> Result<Put, RepoError> {
        let to = u32::try_from(bytes.len()).ok().and_then(|len| from.checked_add(len));
        let to = to.filter(|to| *to > from && *to <= SEGMENT_BYTES_MAX && !is_history(segment));
        let Some(to) = to else {
            let what = format!("{} bytes from {from} are no part of `{segment}`", bytes.len());
            return Err(RepoError::refused(what, "a chunk lies within its segment"));
        };
        self.put_bytes(Kind::Chunk, &self.id().chunk(segment, from, to), bytes).await
    }

    /// The whole segment, or else as much from its beginning as chunks hold without a hole.
    ///
    /// # Errors
    /// [`RepoError::Absent`] only when the storage said that neither is there.
    pub async fn get_segment(&self, segment: &WalFile, size: u32) -> Result<Segment, RepoError> {
        match self.whole_segment(segment, size).await {
            Err(RepoError::Absent { .. }) => {}
            other => return other,
        }
        match self.assembled(segment, size).await {
            // It became whole, and its chunks were removed, between the two looks.
            Err(RepoError::Absent { .. }) => self.whole_segment(segment, size).await,
            other => other,
        }
    }

    async fn whole_segment(&self, segment: &WalFile, size: u32) -> Result<Segment, RepoError> {
        let name = self.id().segment(segment);
        let bytes = self.get_sealed(Kind::Segment, &name, size as usize).await?;
        if bytes.len() != size as usize {
            let what = format!("{} bytes, where a segment has {size}", bytes.len());
            return Err(RepoError::damaged(&name, what));
        }
        Ok(Segment { bytes, whole: true })
    }

    async fn assembled(&self, segment: &WalFile, size: u32) -> Result<Segment, RepoError> {
        let chunks = self.chunks_of(segment).await?;
        let mut bytes = Vec::new();
        while let Some((from, to)) = next_chunk(&chunks, bytes.len() as u32) {
            let name = self.id().chunk(segment, from, to);
            let chunk = self.get_sealed(Kind::Chunk, &name, (to - from) as usize).await?;
            if chunk.len() != (to - from) as usize || to > size {
                return Err(RepoError::damaged(&name, "a chunk is not as long as its name says"));
            }
            // Who received the same WAL twice may have cut it otherwise; it is the same WAL.
            let known = bytes.len() - from as usize;
            if bytes[from as usize..] != chunk[..known] {
                return Err(RepoError::damaged(&name, "it differs from the chunk before it"));
            }
            bytes.extend_from_slice(&chunk[known..]);
        }
        if bytes.is_empty() {
            return Err(RepoError::absent(self.id().segment(segment)));
        }
        Ok(Segment { whole: bytes.len() == size as usize, bytes })
    }

    /// A chunk of this segment that is not what `bytes`, from the segment's beginning on, say it is.
    pub async fn chunk_that_differs(
        &self,
        segment: &WalFile,
        bytes: &[u8],
    ) -> Result<Option<(u32, u32)>, RepoError> {
        for (from, to) in self.chunks_of(segment).await? {
            let name = self.id().chunk(segment, from, to);
            let chunk = match self.get_sealed(Kind::Chunk, &name, (to - from) as usize).await {
                // Its segment became whole meanwhile, by whoever compares that.
                Err(RepoError::Absent { .. }) => continue,
                chunk => chunk?,
            };
            let both = bytes.get(from as usize..).unwrap_or_default();
            let len = both.len().min(chunk.len());
            if both[..len] != chunk[..len] {
                return Ok(Some((from, to)));
            }
        }
        Ok(None)
    }

    async fn chunks_of(&self, segment: &WalFile) -> Result<Vec<(u32, u32)>, RepoError> {
        let listed = self.storage().list(&self.id().chunks(segment), None).await?;
        let chunk = |name: &str| match WalObject::read(self.id(), name) {
            Some(WalObject::Chunk { from, to, .. }) => Some((from, to)),
            _ => None,
        };
        Ok(listed.iter().filter_map(|object| chunk(&object.name)).collect())
    }

    /// Removes the chunks of a segment that is there as a whole, and only then.
    pub async fn remove_chunks(&self, segment: &WalFile) -> Result<(), RepoError> {
        self.storage().head(&self.id().segment(segment)).await?;
        for (from, to) in self.chunks_of(segment).await? {
            self.storage().delete(&self.id().chunk(segment, from, to)).await?;
        }
        Ok(())
    }

    pub async fn put_history(&self, timeline: Timeline, text: Bytes) -> Result<Put, RepoError> {
        self.put_bytes(Kind::History, &self.id().history(timeline), text).await
    }

    pub async fn get_history(&self, timeline: Timeline) -> Result<Vec<u8>, RepoError> {
        self.get_sealed(Kind::History, &self.id().history(timeline), SMALL_BYTES_MAX).await
    }

    /// The timelines of which there is WAL.
    pub async fn timelines(&self) -> Result<Vec<Timeline>, RepoError> {
        let folders = self.storage().folders(&self.id().wal()).await?;
        Ok(folders.iter().filter_map(|folder| timeline_of(folder)).collect())
    }

    /// The timelines whose history is kept.
    pub async fn histories(&self) -> Result<Vec<Timeline>, RepoError> {
        let listed = self.storage().files(&self.id().wal()).await?;
        let timeline = |name: &str| match WalObject::read(self.id(), name) {
            Some(WalObject::History(timeline)) => Some(timeline),
            _ => None,
        };
        Ok(listed.iter().filter_map(|object| timeline(&object.name)).collect())
    }

    /// What is there of a timeline, in order; `from` leaves out what lies before it. One listing:
    /// nothing is read.
    pub async fn segments(
        &self,
        timeline: Timeline,
        from: Option<&WalFile>,
    ) -> Result<Vec<SegmentListed>, RepoError> {
        let folder = self.id().segments(timeline);
        // Names of equal length sort as numbers do; `-` sorts before every digit and letter.
        let after = from.map(|segment| format!("{folder}/{}", before(segment)));
        let listed = self.storage().list(&folder, after.as_deref()).await?;
        let mut found: Vec<SegmentListed> = Vec::new();
        for object in listed {
            let (segment, chunk) = match WalObject::read(self.id(), &object.name) {
                Some(WalObject::Segment(segment)) => (segment, None),
                Some(WalObject::Chunk { segment, from, to }) => (segment, Some((from, to))),
                _ => continue,
            };
            if found.last().is_none_or(|last| last.segment != segment) {
                found.push(SegmentListed { segment, whole: None, chunks: Vec::new() });
            }
            let Some(last) = found.last_mut() else { continue };
            match chunk {
                Some(chunk) => last.chunks.push(chunk),
                None => last.whole = Some(object.size),
            }
        }
        Ok(found)
    }

    /// Removes a segment, whole or in chunks. For expiry, which has made sure that none needs it.
    pub async fn remove_segment(&self, listed: &SegmentListed) -> Result<(), RepoError> {
        self.storage().delete(&self.id().segment(&listed.segment)).await?;
        for (from, to) in &listed.chunks {
            self.storage().delete(&self.id().chunk(&listed.segment, *from, *to)).await?;
        }
        Ok(())
    }

    /// Writes down that this WAL is missing for good. `false`: it was known.
    pub async fn put_gap(&self, gap: Gap) -> Result<bool, RepoError> {
        let created = self.storage().create(&self.id().gap(gap), Bytes::new()).await?;
        Ok(created == Created::New)
    }

    /// All WAL that is known to be missing.
    pub async fn gaps(&self) -> Result<Vec<Gap>, RepoError> {
        let listed = self.storage().list(&self.id().gaps(), None).await?;
        let gap = |name: &str| match WalObject::read(self.id(), name) {
            Some(WalObject::Gap(gap)) => Some(gap),
            _ => None,
        };
        Ok(listed.iter().filter_map(|object| gap(&object.name)).collect())
    }
}

fn is_history(file: &WalFile) -> bool {
    file.as_str().ends_with(".history")
}

/// What sorts just before a segment's own name.
fn before(segment: &WalFile) -> String {
    let name = segment.as_str();
    let kept = name.trim_end_matches('0');
    match kept.chars().next_back() {
        // One less in the last digit that can be, and what sorts behind all further digits.
        Some(last) => {
            let less = char::from_u32(last as u32 - 1).unwrap_or('0');
            format!("{}{less}~", &kept[..kept.len() - 1])
        }
        None => String::new(),
    }
}

fn reach(chunks: &[(u32, u32)]) -> u32 {
    let mut have = 0;
    while let Some((_, to)) = next_chunk(chunks, have) {
        have = to;
    }
    have
}

/// Of the chunks that go on at `have`, the one that leads furthest.
fn next_chunk(chunks: &[(u32, u32)], have: u32) -> Option<(u32, u32)> {
    let go_on = chunks.iter().copied().filter(|(from, to)| *from <= have && *to > have);
    go_on.max_by_key(|(_, to)| *to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_lead_as_far_as_there_is_no_hole() {
        assert_eq!(reach(&[]), 0);
        assert_eq!(reach(&[(1, 5)]), 0);
        assert_eq!(reach(&[(0, 5), (5, 9), (10, 12)]), 9);
        assert_eq!(reach(&[(0, 5), (0, 7), (3, 8), (8, 9)]), 9);
    }

    #[test]
    fn a_listing_begins_with_the_segment_itself() {
        for name in
            ["000000010000000000000003", "000000010000000100000000", "00000001000000000000000A"]
        {
            let segment: WalFile = name.parse().expect("a segment");
            let before = before(&segment);
            assert!(before.as_str() < name, "{before}");
            let one_less = format!("{:024X}", u128::from_str_radix(name, 16).expect("hex") - 1);
            assert!(before > one_less && before > format!("{one_less}.part/x"), "{before}");
        }
    }
}
