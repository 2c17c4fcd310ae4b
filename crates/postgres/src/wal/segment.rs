//! Whether a segment is the one that its name says: of this cluster, this timeline, this place.
//! By the long header of its first page; no I/O.
//!
//! What is archived under a wrong name, or by another cluster that came to the same repository,
//! is found only when it is needed.

use howdah_base::{History, Lsn, Position, Timeline};
use thiserror::Error;

use super::pages::{ALL_FLAGS, IS_LONG, LONG_HEADER, PAGE};

/// Bytes of a segment from its start that [`check_head`] reads.
pub const HEAD: usize = LONG_HEADER as usize;

/// What a segment must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Expected<'a> {
    /// PostgreSQL's.
    pub major: u32,
    pub system_identifier: u64,
    /// Bytes of a segment.
    pub size: u64,
    /// Where it begins.
    pub start: Lsn,
    /// Of the timeline in its name.
    pub history: &'a History,
}

/// Why it is another one.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum NotThis {
    #[error("it has {found} bytes, a segment has {wanted}")]
    Length { found: u64, wanted: u64 },
    #[error("it does not begin with the header of a segment")]
    NoHeader,
    #[error("it is of another version of PostgreSQL (magic {0:04X})")]
    Version(u16),
    #[error("it is of another cluster (system identifier {0})")]
    Cluster(u64),
    #[error("it is a segment of {0} bytes")]
    SegmentSize(u64),
    #[error("it begins at {0}")]
    Place(Lsn),
    #[error("it is of timeline {0}")]
    Timeline(Timeline),
    #[error("its timeline began later, at {0}")]
    Before(Lsn),
}

/// Whether `bytes` are the whole segment.
pub fn check(bytes: &[u8], expected: &Expected<'_>) -> Result<(), NotThis> {
    let found = bytes.len() as u64;
    if found != expected.size {
        return Err(NotThis::Length { found, wanted: expected.size });
    }
    check_head(bytes, expected)
}

/// Whether its first [`HEAD`] bytes are that segment's; what follows them is not looked at.
pub fn check_head(bytes: &[u8], expected: &Expected<'_>) -> Result<(), NotThis> {
    let head = bytes.first_chunk::<HEAD>().ok_or(NotThis::NoHeader)?;
    let Head { magic, info, timeline, place, cluster, size, page } = Head::read(head);
    if info & !ALL_FLAGS != 0 || info & IS_LONG == 0 || u64::from(page) != PAGE {
        return Err(NotThis::NoHeader);
    }
    if !is_of(magic, expected.major) {
        return Err(NotThis::Version(magic));
    }
    if cluster != expected.system_identifier {
        return Err(NotThis::Cluster(cluster));
    }
    if u64::from(size) != expected.size {
        return Err(NotThis::SegmentSize(size.into()));
    }
    if place != expected.start {
        return Err(NotThis::Place(place));
    }
    // The segment in which a timeline begins starts with pages of the one before it.
    if !expected.history.contains(Position { timeline, lsn: place }) {
        return Err(NotThis::Timeline(timeline));
    }
    let begun = expected.history.forks.last().map_or(Lsn(0), |(_, fork)| *fork);
    if expected.start.0 + expected.size <= begun.0 {
        return Err(NotThis::Before(begun));
    }
    Ok(())
}

/// What the beginning of a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Said {
    /// Of its first page; the segment may be a later timeline's, which begins within it.
    pub timeline: Timeline,
    pub start: Lsn,
    pub system_identifier: u64,
    /// Bytes of a segment.
    pub size: u64,
}

/// It; `None`: no segment begins so.
pub fn said(bytes: &[u8]) -> Option<Said> {
    let Head { magic: _, info, timeline, place, cluster, size, page } =
        Head::read(bytes.first_chunk::<HEAD>()?);
    let is_one = info & !ALL_FLAGS == 0 && info & IS_LONG != 0 && u64::from(page) == PAGE;
    let (system_identifier, size) = (cluster, u64::from(size));
    is_one.then_some(Said { timeline, start: place, system_identifier, size })
}

/// `XLogLongPageHeaderData`, src/include/access/xlog_internal.h.
struct Head {
    magic: u16,
    info: u16,
    timeline: Timeline,
    place: Lsn,
    cluster: u64,
    size: u32,
    page: u32,
}

impl Head {
    fn read(head: &[u8; HEAD]) -> Head {
        let long = |at: usize| {
            u64::from_le_bytes(head[at..].first_chunk::<8>().copied().unwrap_or_default())
        };
        let int = |at: usize| {
            u32::from_le_bytes(head[at..].first_chunk::<4>().copied().unwrap_or_default())
        };
        Head {
            magic: u16::from_le_bytes([head[0], head[1]]),
            info: u16::from_le_bytes([head[2], head[3]]),
            timeline: Timeline(int(4)),
            place: Lsn(long(8)),
            // 16: what is left of a record, and padding.
            cluster: long(24),
            size: int(32),
            page: int(36),
        }
    }
}

/// `XLOG_PAGE_MAGIC` of each major. It rises with each change of the format, so of a major that is
/// newer than this list it is only known that it is higher.
fn is_of(magic: u16, major: u32) -> bool {
    match major {
        14 => magic == 0xD10D,
        15 => magic == 0xD110,
        16 => magic == 0xD113,
        17 => magic == 0xD116,
        18 => magic == 0xD118,
        _ => major > 18 && magic > 0xD118 && magic < 0xD200,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 1 << 20;
    const START: Lsn = Lsn(3 << 20);

    fn head(timeline: u32) -> Vec<u8> {
        let mut head = Vec::new();
        head.extend(0xD110_u16.to_le_bytes());
        head.extend(7_u16.to_le_bytes());
        head.extend(timeline.to_le_bytes());
        head.extend(START.0.to_le_bytes());
        head.extend([0; 8]);
        head.extend(42_u64.to_le_bytes());
        head.extend(u32::try_from(SIZE).expect("small").to_le_bytes());
        head.extend(8192_u32.to_le_bytes());
        head
    }

    fn expected(history: &History) -> Expected<'_> {
        Expected { major: 15, system_identifier: 42, size: SIZE, start: START, history }
    }

    fn root() -> History {
        History::root(Timeline(1))
    }

    #[test]
    fn a_segment_is_taken_by_its_own_name_only() {
        let root = root();
        let mut whole = head(1);
        whole.resize(SIZE as usize, 0);
        assert_eq!(check(&whole, &expected(&root)), Ok(()));
        for other in [
            Expected { system_identifier: 43, ..expected(&root) },
            Expected { major: 16, ..expected(&root) },
            Expected { size: SIZE * 2, ..expected(&root) },
            Expected { start: Lsn(4 << 20), ..expected(&root) },
        ] {
            assert!(check_head(&whole, &other).is_err(), "{other:?}");
        }
        let other = History::root(Timeline(2));
        assert_eq!(check_head(&whole, &expected(&other)), Err(NotThis::Timeline(Timeline(1))));
        whole.pop();
        assert!(matches!(check(&whole, &expected(&root)), Err(NotThis::Length { .. })));
        assert_eq!(check_head(&whole[..HEAD - 1], &expected(&root)), Err(NotThis::NoHeader));
    }

    #[test]
    fn every_flipped_bit_of_what_counts_is_found() {
        let (root, head) = (root(), head(1));
        // Flags that may be there, and what is left of a record, say nothing of whose it is.
        let free =
            |at: usize, bit: u8| at == 2 && [0, 2, 3].contains(&bit) || (16..24).contains(&at);
        for at in 0..HEAD {
            for bit in (0..8).filter(|bit| !free(at, *bit)) {
                let mut bad = head.clone();
                bad[at] ^= 1 << bit;
                assert!(check_head(&bad, &expected(&root)).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn a_timelines_first_segment_begins_with_pages_of_the_one_before_and_no_earlier_one_is_its() {
        let inside = root().promoted(Lsn(START.0 + 100), Timeline(2));
        assert_eq!(check_head(&head(1), &expected(&inside)), Ok(()));
        let earlier = root().promoted(Lsn(START.0 - 100), Timeline(2));
        assert_eq!(check_head(&head(2), &expected(&earlier)), Ok(()));
        assert_eq!(check_head(&head(1), &expected(&earlier)), Err(NotThis::Timeline(Timeline(1))));
        let later = Lsn(START.0 + SIZE);
        let later_began = root().promoted(later, Timeline(2));
        assert_eq!(check_head(&head(1), &expected(&later_began)), Err(NotThis::Before(later)));
    }

    #[test]
    fn a_newer_major_is_taken_by_what_is_known_of_it() {
        assert!(is_of(0xD11B, 19) && !is_of(0xD118, 19) && !is_of(0xD118, 13));
    }
}
