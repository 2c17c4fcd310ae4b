//! WAL in a directory that is restored over, and that the repository does not have: a primary that died
//! may not have sent its last. It is put aside, below `pg_wal`, which no backup takes along.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use howdah_base::{Timeline, WalFile};
use howdah_repo::Lineage;

use super::RestoreError;

/// Where it is put.
pub const ASIDE: &str = "pg_wal/howdah-old";
/// `XLOG_BLCKSZ`, as everybody builds it.
const WAL_PAGE: usize = 8192;

/// How far the repository has the segments that lie in a directory.
#[derive(Default, Debug)]
pub struct Held {
    size: u64,
    reach: HashMap<String, u32>,
}

/// Asks for the timelines of which there are segments.
pub async fn held(lineage: &Lineage, data_dir: &Path) -> Result<Held, RestoreError> {
    let mut firsts: BTreeMap<Timeline, WalFile> = BTreeMap::new();
    for entry in fs::read_dir(data_dir.join("pg_wal")).into_iter().flatten().flatten() {
        let name = entry.file_name().to_str().and_then(|name| name.parse::<WalFile>().ok());
        let Some(file) = name.filter(|file| file.start(1).is_some()) else { continue };
        let Some(timeline) = file.timeline() else { continue };
        let first = firsts.entry(timeline).or_insert_with(|| file.clone());
        *first = file.min(first.clone());
    }
    if firsts.is_empty() {
        return Ok(Held::default());
    }
    let size = lineage.about().await?.segment_bytes;
    let mut held = Held { size: u64::from(size), reach: HashMap::new() };
    for (timeline, first) in &firsts {
        for listed in lineage.segments(*timeline, Some(first)).await? {
            held.reach.insert(listed.segment.as_str().to_owned(), listed.reach(size));
        }
    }
    Ok(held)
}

impl Held {
    /// Whether the file of this name in `pg_wal` has WAL beyond what the repository has.
    pub fn lacks(&self, name: &str, place: &Path) -> bool {
        let Some(start) =
            name.parse::<WalFile>().ok().and_then(|file| file.start(self.size.max(1)))
        else {
            return false;
        };
        let reach = self.reach.get(name).copied().unwrap_or(0);
        u64::from(reach) < self.size && goes_on(place, start.0, u64::from(reach)).unwrap_or(true)
    }
}

/// Whether a segment has WAL behind its first `reach` bytes. A page that has not been written is zero, or
/// one of the segment that the file was before; what is written of a page is followed by zeros.
fn goes_on(place: &Path, start: u64, reach: u64) -> io::Result<bool> {
    let file = File::open(place)?;
    let len = file.metadata()?.len();
    let first = reach - reach % WAL_PAGE as u64;
    let mut page = [0; WAL_PAGE];
    for at in [first, first + WAL_PAGE as u64].into_iter().filter(|at| *at < len) {
        file.read_exact_at(&mut page[..(len - at).min(WAL_PAGE as u64) as usize], at)?;
        // `xlp_pageaddr`.
        let address = page[8..].first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let behind = &page[reach.saturating_sub(at) as usize..];
        if address == Some(start + at) && behind.iter().any(|byte| *byte != 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Puts them aside, beside what was put there before.
pub fn put_aside(segments: &[PathBuf], data_dir: &Path) -> Result<(), RestoreError> {
    if segments.is_empty() {
        return Ok(());
    }
    let folder = data_dir.join(ASIDE);
    fs::create_dir_all(&folder).map_err(RestoreError::io("make", &folder))?;
    for segment in segments {
        let name = segment.file_name().unwrap_or_default().to_string_lossy();
        let others = (1..).map(|number| folder.join(format!("{name}.{number}")));
        let mut names = [folder.join(&*name)].into_iter().chain(others);
        let free = names.find(|place| !place.exists()).unwrap_or_default();
        fs::rename(segment, &free).map_err(RestoreError::io("put aside", segment))?;
    }
    tracing::warn!(
        "{} segments of WAL that the repository does not have are put aside; remove them when nobody \
         needs them: `{}`",
        segments.len(),
        folder.display()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_behind_the_repositorys_end_is_known_from_what_the_file_was() {
        const SIZE: u64 = 4 * WAL_PAGE as u64;
        let root = std::env::temp_dir().join(format!("howdah-unkept-{}", std::process::id()));
        fs::create_dir_all(root.join("pg_wal")).expect("made");
        let name = "000000010000000000000003";
        let place = root.join("pg_wal").join(name);
        // Written up to the middle of its second page; then it is what it was, segment 1.
        let mut bytes = vec![9; SIZE as usize];
        let middle = WAL_PAGE + 100;
        bytes[middle..2 * WAL_PAGE].fill(0);
        for (number, of) in [3_u64, 3, 1, 1].into_iter().enumerate() {
            let at = number * WAL_PAGE;
            let address = of * SIZE + at as u64;
            bytes[at + 8..at + 16].copy_from_slice(&address.to_le_bytes());
        }
        fs::write(&place, bytes).expect("written");
        let lacks = |reach: Option<usize>| {
            let reach = reach.map(|reach| (name.to_owned(), reach as u32));
            Held { size: SIZE, reach: reach.into_iter().collect() }.lacks(name, &place)
        };
        assert!(lacks(None) && lacks(Some(50)) && lacks(Some(WAL_PAGE)) && lacks(Some(middle - 1)));
        assert!(!lacks(Some(middle)) && !lacks(Some(2 * WAL_PAGE)) && !lacks(Some(SIZE as usize)));
        assert!(!Held { size: SIZE, ..Held::default() }.lacks("archive_status", &root));

        put_aside(std::slice::from_ref(&place), &root).expect("put aside");
        fs::write(&place, "another").expect("written");
        put_aside(std::slice::from_ref(&place), &root).expect("put aside");
        let len = |name: &str| fs::metadata(root.join(ASIDE).join(name)).expect("there").len();
        assert_eq!((len(name), len(&format!("{name}.1"))), (SIZE, 7));
        fs::remove_dir_all(&root).expect("removed");
    }
}
