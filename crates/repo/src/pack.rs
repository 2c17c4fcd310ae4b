//! A pack: many frames in one object, each of which can be read alone.
//!
//! ```text
//! envelope │ frame 0 │ frame 1 │ … │ frame n-1 │ index, frame n, the last │ trailer, 16 bytes
//! ```
//!
//! The index says of every frame how long it is and what its BLAKE3 is; whoever refers to a pack
//! knows where its index lies and the index's own hash. The trailer says it to those who do not.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::envelope::{self, ENVELOPE_BYTES, Identity};
use crate::frame::{self, BadFrame};
use crate::seal::{Cipher, ObjectKey, SALT_BYTES};

/// A pack with this many bytes takes no further frames.
pub const PACK_BYTES: usize = 48 << 20;
/// The index of so many fits into one frame.
pub const FRAMES_MAX: u32 = 4096;
pub const TRAILER_BYTES: usize = 16;
const TRAILER_MAGIC: &[u8; 4] = b"HWPX";
const ENTRY_BYTES: usize = 40;

/// BLAKE3 of plain bytes.
pub type Hash = [u8; 32];

pub fn hash(plain: &[u8]) -> Hash {
    *blake3::hash(plain).as_bytes()
}

/// Seals frames of one pack, in any thread and any order.
#[derive(Clone, Debug)]
pub struct Sealer(Arc<ObjectKey>);

impl Sealer {
    /// Seals at most 256 KiB as frame `number`. Each number is for one frame only.
    pub fn seal(&self, number: u32, plain: &[u8]) -> Sealed {
        let bytes = frame::seal(&self.0, u64::from(number), plain, false);
        Sealed { number, plain_len: plain.len() as u32, hash: hash(plain), bytes }
    }
}

/// A frame that is on its way into its pack.
#[derive(Clone, Debug)]
pub struct Sealed {
    number: u32,
    plain_len: u32,
    hash: Hash,
    bytes: Vec<u8>,
}

impl Sealed {
    pub fn stored_len(&self) -> usize {
        self.bytes.len()
    }
}

/// A pack that is being filled. Frames may come in any order; they are kept in theirs.
#[derive(Debug)]
pub struct Builder {
    sealer: Sealer,
    salt: [u8; SALT_BYTES],
    out: Vec<u8>,
    index: Index,
    waiting: BTreeMap<u32, Sealed>,
    stored: usize,
}

/// Frames that are missing when a pack is finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing(pub u32);

impl Builder {
    pub fn new(cipher: &Cipher, of: &Identity, salt: [u8; SALT_BYTES]) -> Builder {
        let (out, key) = envelope::begin(cipher, of, salt);
        let (sealer, index) = (Sealer(Arc::new(key)), Index::default());
        Builder { sealer, salt, out, index, waiting: BTreeMap::new(), stored: 0 }
    }

    pub fn sealer(&self) -> Sealer {
        self.sealer.clone()
    }

    /// Takes a frame of this pack's sealer.
    pub fn push(&mut self, sealed: Sealed) {
        self.stored += sealed.bytes.len();
        self.waiting.insert(sealed.number, sealed);
        while let Some(next) = self.waiting.remove(&self.index.len()) {
            self.out.extend_from_slice(&next.bytes);
            let stored = next.bytes.len() as u32;
            self.index.push(Entry { stored, plain: next.plain_len, hash: next.hash });
        }
    }

    /// Seals and takes the next frame; its number. For those who seal in one thread.
    pub fn add(&mut self, plain: &[u8]) -> u32 {
        let number = self.index.len();
        let sealed = self.sealer.seal(number, plain);
        self.push(sealed);
        number
    }

    /// How many frames are in their place.
    pub fn frames(&self) -> u32 {
        self.index.len()
    }

    /// Bytes of the frames taken so far.
    pub fn stored(&self) -> usize {
        self.stored
    }

    /// Whether `more` frames still belong here.
    pub fn has_room_for(&self, more: u32) -> bool {
        let frames = self.index.len() + self.waiting.len() as u32;
        self.stored < PACK_BYTES && frames + more <= FRAMES_MAX
    }

    /// The object, and what refers to it needs to know.
    ///
    /// # Errors
    /// When the number that is named was never pushed and a later one was.
    pub fn finish(mut self) -> Result<(Vec<u8>, Footing, Index), Missing> {
        if !self.waiting.is_empty() {
            return Err(Missing(self.index.len()));
        }
        let (plain, index_at) = (self.index.encode(), self.out.len() as u64);
        let number = u64::from(self.index.len());
        let sealed = frame::seal(&self.sealer.0, number, &plain, true);
        self.out.extend_from_slice(&sealed);
        self.out.extend_from_slice(&index_at.to_le_bytes());
        self.out.extend_from_slice(&self.index.len().to_le_bytes());
        self.out.extend_from_slice(TRAILER_MAGIC);
        let footing = Footing {
            salt: self.salt,
            size: self.out.len() as u64,
            frames: self.index.len(),
            index_at,
            index_hash: hash(&plain),
        };
        Ok((self.out, footing, self.index))
    }
}

/// What is enough to read any frame of a pack: it stands in manifests.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Footing {
    /// Of the envelope, which then need not be read.
    pub salt: [u8; SALT_BYTES],
    /// Of the whole object.
    pub size: u64,
    pub frames: u32,
    pub index_at: u64,
    pub index_hash: Hash,
}

impl Footing {
    /// Where the index lies, the trailer not included.
    pub fn index_range(&self) -> Range<u64> {
        self.index_at..self.size.saturating_sub(TRAILER_BYTES as u64)
    }
}

/// Where the trailer says that the index is: its offset, and how many frames there are.
pub fn read_trailer(trailer: &[u8]) -> Option<(u64, u32)> {
    let trailer: &[u8; TRAILER_BYTES] = trailer.try_into().ok()?;
    let at = u64::from_le_bytes(*trailer.first_chunk()?);
    let frames = u32::from_le_bytes(*trailer[8..].first_chunk()?);
    let fine = trailer[12..] == *TRAILER_MAGIC && frames <= FRAMES_MAX;
    (fine && at >= ENVELOPE_BYTES as u64).then_some((at, frames))
}

/// One frame, as the index of its pack knows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    stored: u32,
    plain: u32,
    hash: Hash,
}

/// Where a frame lies, and what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub number: u32,
    pub offset: u64,
    pub stored_len: u32,
    pub plain_len: u32,
    pub hash: Hash,
}

impl Place {
    pub fn end(&self) -> u64 {
        self.offset + u64::from(self.stored_len)
    }
}

/// What a pack knows of its frames.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Index {
    entries: Vec<Entry>,
    /// Where each begins.
    offsets: Vec<u64>,
}

impl Index {
    pub fn len(&self) -> u32 {
        self.entries.len() as u32
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn place(&self, number: u32) -> Option<Place> {
        let entry = self.entries.get(number as usize)?;
        let offset = *self.offsets.get(number as usize)?;
        let Entry { stored, plain, hash } = *entry;
        Some(Place { number, offset, stored_len: stored, plain_len: plain, hash })
    }

    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        (0..self.len()).filter_map(|number| self.place(number))
    }

    fn end(&self) -> u64 {
        let last = self.len().checked_sub(1).and_then(|last| self.place(last));
        last.map_or(ENVELOPE_BYTES as u64, |place| place.end())
    }

    fn push(&mut self, entry: Entry) {
        self.offsets.push(self.end());
        self.entries.push(entry);
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.len().to_le_bytes().to_vec();
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.stored.to_le_bytes());
            bytes.extend_from_slice(&entry.plain.to_le_bytes());
            bytes.extend_from_slice(&entry.hash);
        }
        bytes
    }

    /// Reads an index. Total: whatever the bytes, it answers and allocates no more than they are.
    pub fn decode(bytes: &[u8]) -> Option<Index> {
        let (count, rest) = bytes.split_first_chunk::<4>()?;
        let count = u32::from_le_bytes(*count);
        if count > FRAMES_MAX || rest.len() != count as usize * ENTRY_BYTES {
            return None;
        }
        let mut index = Index::default();
        for entry in rest.chunks_exact(ENTRY_BYTES) {
            let (stored, entry) = entry.split_first_chunk::<4>()?;
            let (plain, hash) = entry.split_first_chunk::<4>()?;
            let (stored, plain) = (u32::from_le_bytes(*stored), u32::from_le_bytes(*plain));
            let fine = stored as usize <= frame::FRAME_BYTES_MAX
                && plain as usize <= frame::PLAIN_BYTES_MAX;
            if !fine {
                return None;
            }
            index.push(Entry { stored, plain, hash: hash.try_into().ok()? });
        }
        Some(index)
    }
}

/// Opens the index frame of a pack with `frames` frames, and holds it against its hash.
pub fn open_index(key: &ObjectKey, footing: &Footing, bytes: &[u8]) -> Option<Index> {
    let (head, plain) = frame::open(key, u64::from(footing.frames), bytes).ok()?;
    let index = Index::decode(&plain)?;
    let fine = head.last
        && hash(&plain) == footing.index_hash
        && index.len() == footing.frames
        && index.end() == footing.index_at;
    fine.then_some(index)
}

/// Opens a frame in its place, and holds what was sealed against its hash.
pub fn open_frame(key: &ObjectKey, place: &Place, bytes: &[u8]) -> Result<Vec<u8>, BadFrame> {
    let (head, plain) = frame::open(key, u64::from(place.number), bytes)?;
    if head.frame_len == bytes.len() && !head.last && hash(&plain) == place.hash {
        Ok(plain)
    } else {
        Err(BadFrame::Tag)
    }
}

/// The same, to where it belongs, and not held against its hash: its tag says that it is what was sealed,
/// and whoever puts a file together holds that against the file's.
pub fn open_frame_to(
    key: &ObjectKey,
    place: &Place,
    bytes: &[u8],
    plain: &mut [u8],
) -> Result<(), BadFrame> {
    let head = frame::open_to(key, u64::from(place.number), bytes, plain)?;
    if head.frame_len == bytes.len() && !head.last { Ok(()) } else { Err(BadFrame::Tag) }
}

/// Frames that are read by one request, because they lie next to each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stretch {
    pub range: Range<u64>,
    pub places: Vec<Place>,
}

/// What one request may fetch at most.
pub const STRETCH_BYTES_MAX: u64 = 8 << 20;
/// So much between two frames is rather read than asked for anew.
const HOLE_BYTES_MAX: u64 = 64 << 10;

/// Joins frames into as few requests as may be. In order of their offsets.
pub fn stretches(mut places: Vec<Place>) -> Vec<Stretch> {
    places.sort_by_key(|place| place.offset);
    places.dedup_by_key(|place| place.number);
    let mut found: Vec<Stretch> = Vec::new();
    for place in places {
        match found.last_mut() {
            Some(last)
                if place.offset.saturating_sub(last.range.end) <= HOLE_BYTES_MAX
                    && place.end() - last.range.start <= STRETCH_BYTES_MAX =>
            {
                last.range.end = place.end();
                last.places.push(place);
            }
            _ => found.push(Stretch { range: place.offset..place.end(), places: vec![place] }),
        }
    }
    found
}
