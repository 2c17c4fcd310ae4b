//! Whether a file system still takes writes and has room for WAL, found out by writing; and the
//! reserve, a file that is given up when it has none. Blocking: the disk may hang.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::statvfs::statvfs;

use crate::initdb::beside;

/// With less free space, in bytes, a disk is full: the next WAL file, 16 MB, may not fit, and a
/// server without it ends in a panic.
const FREE_MIN: u64 = 24 << 20;
/// The reserve is at most this part of a file system.
const RESERVE_PART: u64 = 16;
/// Beyond the reserve so much must be free before it is made again: it does not come and go.
const FREE_AGAIN: u64 = 2 * FREE_MIN;
/// Written again and again in place: no new space is needed, and no journal.
const BEAT: [u8; 512] = [b'.'; 512];
const MB: u64 = 1 << 20;

/// Whether `bytes` of WAL, brought at once, fit into `pg_wal`, and a server has room to go on.
/// Blocking.
///
/// # Errors
/// They do not, or it cannot be told; says how much is free and where.
pub fn fits_wal(data_dir: &Path, bytes: u64) -> Result<(), String> {
    let place = data_dir.join("pg_wal");
    let system = statvfs(&place)
        .map_err(|error| format!("free space is not known, {error}: `{}`", place.display()))?;
    let free = system.blocks_available().saturating_mul(system.fragment_size());
    let needed = bytes.saturating_add(FREE_MIN);
    if free >= needed {
        return Ok(());
    }
    Err(format!(
        "{} MB are free, {} MB are needed for WAL: `{}`; hint: free space on that disk",
        free / MB,
        needed.div_ceil(MB),
        place.display()
    ))
}

/// What a try showed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tried {
    /// The write failed, not for lack of space.
    pub broken: Option<String>,
    /// There is no room, or the reserve is not back.
    pub full: Option<String>,
    /// Why the place cannot be tried at all.
    pub said: Option<String>,
}

impl Tried {
    /// Both places are needed.
    #[must_use]
    pub fn and(self, other: Tried) -> Tried {
        Tried {
            broken: self.broken.or(other.broken),
            full: self.full.or(other.full),
            said: self.said.or(other.said),
        }
    }
}

/// The directories that must take writes: PGDATA, and `pg_wal` where it lies on another file system.
pub fn places(data_dir: &Path) -> Vec<PathBuf> {
    let device = |path: &Path| fs::metadata(path).ok().map(|found| found.dev());
    let wal = fs::canonicalize(data_dir.join("pg_wal")).ok();
    let wal = wal.filter(|wal| device(wal) != device(data_dir));
    [data_dir.to_owned()].into_iter().chain(wal).collect()
}

/// Writes beside `place`, durably, looks how much is free, and keeps the reserve of at most
/// `reserve` bytes. `data_dir` is for the words.
pub fn try_place(place: &Path, data_dir: &Path, reserve: u64) -> Tried {
    let Some(parent) = place.parent().filter(|parent| parent.is_dir()) else {
        return Tried::default();
    };
    let other = fs::metadata(place).ok().zip(fs::metadata(parent).ok());
    if other.is_some_and(|(own, above)| own.dev() != above.dev()) {
        let why = format!(
            "the disk is not watched: `{}` is itself a mount point, and nothing beside it is on \
             its file system",
            place.display()
        );
        return Tried { said: Some(why), ..Tried::default() };
    }
    match write_beat(&beside(place, "beat")) {
        Err(error) if is_full(&error) => {}
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let why = format!("the disk is not watched, {error}: `{}`", parent.display());
            return Tried { said: Some(why), ..Tried::default() };
        }
        Err(error) => {
            let why = format!("{error}: `{}`", parent.display());
            return Tried { broken: Some(why), ..Tried::default() };
        }
        Ok(()) => {}
    }
    match keep_reserve(&beside(place, "reserve"), reserve) {
        Ok(full) => {
            let full = full.map(|why| format!("{why}: `{}`", data_dir.display()));
            Tried { full, ..Tried::default() }
        }
        Err(error) if is_full(&error) => {
            Tried { full: Some(format!("{error}: `{}`", data_dir.display())), ..Tried::default() }
        }
        Err(error) => {
            let why = format!("the reserve is not kept, {error}: `{}`", parent.display());
            Tried { said: Some(why), ..Tried::default() }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

fn write_beat(path: &Path) -> io::Result<()> {
    let mut file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    file.rewind()?;
    file.write_all(&BEAT)?;
    file.sync_data()
}

/// Why the disk counts as full; `None` when it does not.
fn keep_reserve(path: &Path, most: u64) -> io::Result<Option<String>> {
    let there = fs::metadata(path).map_or(0, |found| found.len());
    let parent = path.parent().unwrap_or(path);
    let system = statvfs(parent)?;
    let block = system.fragment_size();
    let free = system.blocks_available().saturating_mul(block);
    let wanted = most.min(system.blocks().saturating_mul(block) / RESERVE_PART);
    let verdict = judge(there, wanted, free);
    match verdict {
        Verdict::GiveUp => remove(path)?,
        Verdict::Make => {
            remove(path)?;
            make(path, wanted)?;
        }
        Verdict::Keep | Verdict::Wait => {}
    }
    let full = matches!(verdict, Verdict::GiveUp | Verdict::Wait);
    // Without the figure of the moment: it changes from try to try, and this is compared and told.
    Ok(full.then(|| format!("less than {} MB are free", need(wanted) / MB)))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// All is well, and the reserve is what it should be.
    Keep,
    /// The disk is full: the reserve goes.
    GiveUp,
    /// There is room for it.
    Make,
    /// There is not, yet.
    Wait,
}

/// Free space with which a full disk is no longer full.
fn need(wanted: u64) -> u64 {
    wanted + FREE_AGAIN
}

fn judge(there: u64, wanted: u64, free: u64) -> Verdict {
    match () {
        () if there > 0 && free < FREE_MIN => Verdict::GiveUp,
        () if there == wanted && (wanted > 0 || free >= FREE_MIN) => Verdict::Keep,
        // One of another size than the file now says.
        () if there > 0 && free + there >= need(wanted) => Verdict::Make,
        () if there > 0 => Verdict::Keep,
        () if wanted > 0 && free >= need(wanted) => Verdict::Make,
        () => Verdict::Wait,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Space that is really taken; a file with holes would keep nothing back.
fn make(path: &Path, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let mut file = File::create(path)?;
    let length = i64::try_from(bytes).unwrap_or(i64::MAX);
    let made = match fallocate(&file, FallocateFlags::empty(), 0, length) {
        // Not every file system can.
        Err(Errno::EOPNOTSUPP) => io::copy(&mut io::repeat(0).take(bytes), &mut file).map(drop),
        made => made.map_err(io::Error::from),
    };
    if made.is_err() {
        remove(path)?;
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_given_up_when_nothing_is_free_and_comes_back_with_room_to_spare() {
        let wanted = 64 * MB;
        let steps = [(wanted, 100), (wanted, 23), (0, 80), (0, 111), (0, 112)];
        let judged = steps.map(|(there, free)| judge(there, wanted, free * MB));
        use Verdict::{GiveUp, Keep, Make, Wait};
        assert_eq!(judged, [Keep, GiveUp, Wait, Wait, Make]);
    }

    #[test]
    fn without_a_reserve_only_free_space_counts() {
        assert_eq!(judge(0, 0, 24 * MB), Verdict::Keep);
        assert_eq!(judge(0, 0, 23 * MB), Verdict::Wait);
    }

    #[test]
    fn one_of_another_size_is_made_anew_where_there_is_room() {
        assert_eq!(judge(8 * MB, 64 * MB, 104 * MB), Verdict::Make);
        assert_eq!(judge(8 * MB, 64 * MB, 50 * MB), Verdict::Keep);
    }

    #[test]
    fn what_does_not_fit_is_not_begun() {
        let data_dir = std::env::temp_dir().join(format!("howdah-fits-{}", std::process::id()));
        fs::create_dir_all(data_dir.join("pg_wal")).expect("a folder");
        assert_eq!(fits_wal(&data_dir, 0), Ok(()));
        let error = fits_wal(&data_dir, 1 << 60).expect_err("an exabyte");
        assert!(error.contains(&format!("{} MB are needed", (1_u64 << 40) + 24)), "{error}");
        fs::remove_dir_all(&data_dir).expect("cleared");
        assert!(fits_wal(&data_dir, 0).is_err(), "nothing is there");
    }

    #[test]
    fn a_place_is_tried_and_a_missing_one_says_nothing() {
        let folder = std::env::temp_dir().join(format!("howdah-room-{}", std::process::id()));
        fs::create_dir_all(folder.join("data")).expect("a folder");
        let tried = try_place(&folder.join("data"), Path::new("data"), 0);
        assert_eq!(tried, Tried::default());
        assert!(folder.join("data.beat").exists() && !folder.join("data.reserve").exists());
        let missing = try_place(&folder.join("none/data"), Path::new("data"), 0);
        assert_eq!(missing, Tried::default());
        fs::remove_dir_all(&folder).expect("cleared");
    }
}
