//! BLAKE3 of a file whose extents are hashed apart, each by another thread.
//!
//! Source: the BLAKE3 paper, section 2.1: the left subtree of n bytes is the greatest power of two
//! of chunks that leaves something to the right. Extents are such powers, so they are subtrees.

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use howdah_repo::pack::Hash;

/// What is read and hashed by one thread at a time. A power of two.
pub const EXTENT: u64 = 16 << 20;

/// Of one extent of a file.
#[derive(Debug)]
pub struct ExtentHasher {
    hasher: Hasher,
    alone: bool,
}

impl ExtentHasher {
    /// Of the extent with this `number` in a file of `size` bytes.
    pub fn new(number: u32, size: u64) -> ExtentHasher {
        let mut hasher = Hasher::new();
        let alone = size <= EXTENT;
        if !alone {
            hasher.set_input_offset(u64::from(number) * EXTENT);
        }
        ExtentHasher { hasher, alone }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    pub fn end(self) -> Hash {
        match self.alone {
            true => *self.hasher.finalize().as_bytes(),
            false => self.hasher.finalize_non_root(),
        }
    }
}

/// Of the whole file, by those of its extents in order.
pub fn whole(extents: &[Hash]) -> Hash {
    match extents {
        [] => howdah_repo::pack::hash(&[]),
        [alone] => *alone,
        more => {
            let (left, right) = more.split_at(left(more.len()));
            *merge_subtrees_root(&subtree(left), &subtree(right), Mode::Hash).as_bytes()
        }
    }
}

fn subtree(extents: &[Hash]) -> Hash {
    match extents {
        [] => [0; 32],
        [alone] => *alone,
        more => {
            let (left, right) = more.split_at(left(more.len()));
            merge_subtrees_non_root(&subtree(left), &subtree(right), Mode::Hash)
        }
    }
}

/// The greatest power of two below `extents`.
fn left(extents: usize) -> usize {
    extents.next_power_of_two() / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_together_are_the_file() {
        let bytes: Vec<u8> = (0..7 * EXTENT / 2 + 77).map(|at| (at * 7 % 253) as u8).collect();
        for size in
            [0, 1, EXTENT - 1, EXTENT, EXTENT + 1, 2 * EXTENT, 3 * EXTENT, bytes.len() as u64]
        {
            let file = &bytes[..size as usize];
            let extents = file.chunks(EXTENT as usize).zip(0..).map(|(extent, number)| {
                let mut hasher = ExtentHasher::new(number, size);
                extent.chunks(1 << 20).for_each(|part| hasher.update(part));
                hasher.end()
            });
            let extents: Vec<Hash> = extents.collect();
            assert_eq!(whole(&extents), howdah_repo::pack::hash(file), "{size}");
        }
    }
}
