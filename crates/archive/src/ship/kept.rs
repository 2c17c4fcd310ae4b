//! The segments that a stream has put last, by their hashes: who brings one of them a second time need
//! not be compared with what is read back.

use std::collections::VecDeque;

use howdah_base::WalFile;
use howdah_repo::name::LineageId;
use howdah_repo::pack::Hash;

/// An archiver that is further behind is compared with what the repository has.
const SEGMENTS_MAX: usize = 256;

/// In the order in which they became durable.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Kept(VecDeque<(LineageId, WalFile, Hash)>);

impl Kept {
    pub(super) fn add(&mut self, lineage: LineageId, segment: WalFile, hash: Hash) {
        self.0.push_back((lineage, segment, hash));
        if self.0.len() > SEGMENTS_MAX {
            self.0.pop_front();
        }
    }

    /// BLAKE3 of a segment that is durable.
    pub fn hash(&self, lineage: LineageId, segment: &WalFile) -> Option<Hash> {
        let known = self.0.iter().rev().find(|(of, name, _)| *of == lineage && name == segment);
        known.map(|(_, _, hash)| *hash)
    }
}

#[cfg(test)]
mod tests {
    use howdah_base::{Lsn, Timeline};

    use super::*;

    #[test]
    fn the_last_ones_are_known_and_no_other_lineages() {
        let segment = |number: u64| WalFile::of(Timeline(1), Lsn(number << 24), 1 << 24);
        let mut kept = Kept::default();
        (0..300)
            .for_each(|n| kept.add(LineageId(1), segment(n), [u8::try_from(n % 251).unwrap(); 32]));
        assert_eq!(kept.hash(LineageId(1), &segment(299)), Some([48; 32]));
        assert_eq!(kept.hash(LineageId(2), &segment(299)), None);
        assert_eq!(kept.hash(LineageId(1), &segment(43)), None);
        assert_eq!(kept.hash(LineageId(1), &segment(44)), Some([44; 32]));
    }
}
