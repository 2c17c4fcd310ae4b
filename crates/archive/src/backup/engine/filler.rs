//! Bytes that wait until they fill frames.

use std::sync::Arc;

use howdah_repo::frame::PLAIN_BYTES_MAX;
use howdah_repo::manifest::PackId;

use super::BackupError;
use super::packs::Packs;
use crate::backup::page::PAGE;

/// So many are sealed together, one frame behind the other.
pub const FILL_BYTES: usize = 2 << 20;

/// Gathers bytes under keys of the caller's, and says where they came to lie.
#[derive(Debug)]
pub struct Filler {
    packs: Arc<Packs>,
    /// As long as it ever was; `used` bytes of it wait.
    buffer: Vec<u8>,
    used: usize,
    waiting: Vec<Stretch>,
}

/// `len` bytes that belong together, from `at` in the buffer.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    key: u64,
    at: usize,
    len: usize,
    /// Its key is the number of its first page.
    pages: bool,
}

/// A stretch, or what of it lies in frames that follow each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    pub key: u64,
    pub pack: PackId,
    pub frame: u32,
    pub at: u32,
    pub len: u32,
}

impl Filler {
    pub fn new(packs: &Arc<Packs>) -> Filler {
        Filler { packs: Arc::clone(packs), buffer: Vec::new(), used: 0, waiting: Vec::new() }
    }

    /// Whether so many more bytes fit.
    pub fn has_room_for(&self, len: usize) -> bool {
        self.used + len <= FILL_BYTES
    }

    pub fn add(&mut self, key: u64, bytes: &[u8]) {
        self.room(key, bytes.len(), false).copy_from_slice(bytes);
    }

    /// Room for bytes that follow what is there, `pages` from the page `key` on, which the caller fills:
    /// nothing is copied.
    pub fn room(&mut self, key: u64, len: usize, pages: bool) -> &mut [u8] {
        let at = self.used;
        self.used += len;
        if self.buffer.len() < self.used {
            self.buffer.resize(self.used, 0);
        }
        match self.waiting.last_mut() {
            Some(last) if pages && last.follows(key) => last.len += len,
            _ => self.waiting.push(Stretch { key, at, len, pages }),
        }
        &mut self.buffer[at..self.used]
    }

    /// A page; those whose keys follow each other are one stretch.
    pub fn add_page(&mut self, number: u32, bytes: &[u8]) {
        self.room(u64::from(number), PAGE, true).copy_from_slice(bytes);
    }

    /// Stores what is there; where each stretch is, which goes on from frame to frame of one pack.
    pub fn seal(&mut self) -> Result<Vec<Placed>, BackupError> {
        if self.used == 0 {
            return Ok(Vec::new());
        }
        let places = self.packs.place(&self.buffer[..self.used])?;
        self.used = 0;
        Ok(self.waiting.drain(..).flat_map(|stretch| stretch.cut(&places)).collect())
    }
}

impl Stretch {
    /// Whether the page `key` is the next one.
    fn follows(&self, key: u64) -> bool {
        self.key + (self.len / PAGE) as u64 == key
    }

    /// Where frames, whose places these are, do not follow each other.
    fn cut(&self, places: &[(PackId, u32)]) -> Vec<Placed> {
        let end = self.at + self.len;
        let (mut at, mut key) = (self.at, self.key);
        let mut found: Vec<Placed> = Vec::new();
        let mut next = None;
        while at < end {
            let number = at / PLAIN_BYTES_MAX;
            let len = end.min((number + 1) * PLAIN_BYTES_MAX) - at;
            let (pack, frame) = &places[number];
            match found.last_mut() {
                Some(last) if next == Some((pack, *frame)) => last.len += small(len),
                _ => found.push(Placed {
                    key,
                    pack: pack.clone(),
                    frame: *frame,
                    at: small(at % PLAIN_BYTES_MAX),
                    len: small(len),
                }),
            }
            next = Some((pack, frame + 1));
            at += len;
            key += if self.pages { (len / PAGE) as u64 } else { 0 };
        }
        found
    }
}

impl Placed {
    /// Cut where frames end.
    pub fn pieces(&self) -> Vec<Placed> {
        let (mut frame, mut at, mut left) = (self.frame, self.at, self.len);
        let mut pieces = Vec::new();
        while left > 0 {
            let len = left.min(small(PLAIN_BYTES_MAX) - at);
            pieces.push(Placed { frame, at, len, ..self.clone() });
            (frame, at, left) = (frame + 1, 0, left - len);
        }
        pieces
    }
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use howdah_repo::name::Family;

    use super::*;

    fn pack(number: u32) -> PackId {
        PackId { label: "a".parse().expect("a label"), family: Family::Pack, number }
    }

    #[test]
    fn a_stretch_is_cut_where_its_frames_are_apart() {
        let places = [(pack(1), 7), (pack(1), 8), (pack(2), 0), (pack(1), 9)];
        let pages = PLAIN_BYTES_MAX / PAGE;
        let stretch = Stretch { key: 100, at: PAGE, len: 4 * PLAIN_BYTES_MAX - PAGE, pages: true };
        let says = |placed: &Placed| {
            (placed.key, placed.pack.number, placed.frame, placed.at, placed.len as usize / PAGE)
        };
        let cut: Vec<_> = stretch.cut(&places).iter().map(says).collect();
        let unit = PAGE as u32;
        let (first, after) = (2 * pages - 1, 100 + 3 * pages as u64 - 1);
        assert_eq!(
            cut,
            [
                (100, 1, 7, unit, first),
                (100 + first as u64, 2, 0, 0, pages),
                (after, 1, 9, 0, pages)
            ]
        );
        let whole = Stretch { pages: false, ..stretch };
        assert!(whole.cut(&places).iter().all(|placed| placed.key == 100));
    }
}
