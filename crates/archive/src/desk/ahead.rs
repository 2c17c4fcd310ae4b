//! Segments that are fetched before they are asked for, while PostgreSQL replays the one before.
//!
//! Only whole segments are kept ahead: what is not whole may have grown by the time it is asked for,
//! and that one is not there is never said but by the storage at that moment.

use std::collections::BTreeMap;

use howdah_base::{Lsn, WalFile};
use howdah_repo::Lineage;
use howdah_repo::name::LineageId;
use tokio::task::JoinHandle;

use super::fetch::fetch;

/// Segments ahead of the one that was asked for last.
const SEGMENTS_MAX: u64 = 8;
/// In memory, of all of them.
const BYTES_MAX: u64 = 64 << 20;

/// What is there, or on its way.
#[derive(Debug, Default)]
pub struct Ahead {
    last: Option<(LineageId, WalFile)>,
    coming: BTreeMap<(LineageId, WalFile), Coming>,
}

/// Given up when it is dropped.
#[derive(Debug)]
pub struct Coming(JoinHandle<Option<Vec<u8>>>);

impl Drop for Coming {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Coming {
    /// The segment, if it was there as a whole.
    pub async fn arrived(mut self) -> Option<Vec<u8>> {
        (&mut self.0).await.ok().flatten()
    }
}

impl Ahead {
    /// Takes one out.
    pub fn take(&mut self, lineage: LineageId, name: &WalFile) -> Option<Coming> {
        self.coming.remove(&(lineage, name.clone()))
    }

    /// This one was asked for and found: the next ones are fetched, the others forgotten.
    pub fn found(&mut self, lineage: &Lineage, name: &WalFile, size: u32) {
        let id = lineage.id();
        let last = self.last.replace((id, name.clone()));
        let last = last.filter(|(of, _)| *of == id).map(|(_, name)| name);
        let next = next(last.as_ref(), name, u64::from(size));
        self.coming.retain(|(of, name), _| *of == id && next.contains(name));
        for name in next {
            let lineage = lineage.clone();
            self.coming.entry((id, name.clone())).or_insert_with(|| {
                Coming(tokio::spawn(async move {
                    let fetched = fetch(&lineage, &name, size).await;
                    fetched.ok().filter(|fetched| fetched.is_final).map(|fetched| fetched.bytes)
                }))
            });
        }
    }

    /// Nobody has asked for a while.
    pub fn clear(&mut self) {
        *self = Ahead::default();
    }

    pub fn arrived(&self) -> usize {
        self.coming.values().filter(|coming| coming.0.is_finished()).count()
    }

    pub fn is_empty(&self) -> bool {
        self.coming.is_empty()
    }
}

/// What is worth fetching once `name` was asked for behind `last`: nothing for whoever goes backwards
/// (`pg_rewind`) or asks for one alone.
fn next(last: Option<&WalFile>, name: &WalFile, size: u64) -> Vec<WalFile> {
    let (Some(start), Some(timeline)) = (name.start(size), name.timeline()) else {
        return Vec::new();
    };
    let before = last.and_then(|last| last.start(size));
    if before.is_none_or(|before| before.0 + size != start.0) {
        return Vec::new();
    }
    let count = SEGMENTS_MAX.min(BYTES_MAX / size);
    let ends = Lsn(start.0 + size * (1 + count));
    WalFile::between(timeline, Lsn(start.0 + size), ends, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_of(last: &str, name: &str, size: u64) -> String {
        let parse = |name: &str| name.parse::<WalFile>().ok();
        let found = next(parse(last).as_ref(), &parse(name).expect("a name"), size);
        found.iter().map(WalFile::as_str).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn who_goes_forward_is_served_ahead() {
        const MB: u64 = 1 << 20;
        let (one, two) = ("0000000100000000000000FE", "0000000100000000000000FF");
        assert_eq!(
            next_of(one, two, 16 * MB),
            "000000010000000100000000 000000010000000100000001 000000010000000100000002 \
             000000010000000100000003"
        );
        assert_eq!(next_of("-", one, 16 * MB), "", "the first one may be the only one");
        assert_eq!(next_of(two, one, 16 * MB), "", "backwards");
        assert_eq!(next_of(two, two, 16 * MB), "");
        assert_eq!(next_of(two, "00000002.history", 16 * MB), "");
        let forked = next_of(one, "0000000200000000000000FF", 16 * MB);
        assert!(forked.starts_with("000000020000000100000000 "), "{forked}");
        let (one, two) = ("000000010000000000000001", "000000010000000000000002");
        assert_eq!(next_of(one, two, MB).split(' ').count(), 8);
        assert_eq!(next_of(one, two, 64 * MB), "000000010000000000000003");
        assert_eq!(next_of(one, two, 1 << 30), "", "more than may be held");
    }
}
