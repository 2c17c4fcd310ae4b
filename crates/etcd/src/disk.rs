//! What lies in the member's directory: its data, what is remembered of it, what was put aside.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::arguments::DATA;
use crate::error::KeeperError;

/// What the keeper knows of the data, kept beside it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Remembered {
    pub member: u64,
    pub cluster: u64,
}

const REMEMBERED: &str = "member.json";
const ASIDE: &str = "etcd.aside";
const ALONE: &str = "go-on-alone";
const SYNCS: usize = 5;
const SYNC_BYTES: usize = 8 * 1024;

/// Whether etcd would find a member's log there.
pub(crate) fn has_data(data_dir: &Path) -> bool {
    let entries = fs::read_dir(data_dir.join(DATA).join("member/wal"));
    let is_wal = |name: &Path| name.extension().is_some_and(|end| end == "wal");
    entries.is_ok_and(|all| all.flatten().any(|entry| is_wal(&entry.path())))
}

pub(crate) fn remembered(data_dir: &Path) -> Option<Remembered> {
    serde_json::from_str(&fs::read_to_string(data_dir.join(REMEMBERED)).ok()?).ok()
}

pub(crate) fn remember(data_dir: &Path, what: &Remembered) -> Result<(), KeeperError> {
    let path = data_dir.join(REMEMBERED);
    let new = data_dir.join(".member.json.new");
    let write = || {
        let mut file = fs::File::create(&new)?;
        writeln!(file, "{}", serde_json::json!(what))?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().map_err(KeeperError::file("remember the member's id", &path))
}

/// Orders the keeper of this directory to go on with its member alone, or takes that back.
///
/// # Errors
/// When the order cannot be written.
pub fn order_alone(data_dir: &Path, alone: bool) -> Result<(), KeeperError> {
    let path = data_dir.join(ALONE);
    let written = if alone { fs::write(&path, "") } else { there(fs::remove_file(&path)) };
    written.map_err(KeeperError::file("order the member to go on alone", &path))
}

pub(crate) fn is_alone(data_dir: &Path) -> bool {
    data_dir.join(ALONE).exists()
}

pub(crate) fn end_alone(data_dir: &Path) -> Result<(), KeeperError> {
    order_alone(data_dir, false)
}

/// That there was nothing to remove is as good.
fn there(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Puts whatever is there out of the way. One such directory is kept, the last.
pub(crate) fn put_aside(data_dir: &Path) -> Result<(), KeeperError> {
    let (data, aside) = (data_dir.join(DATA), data_dir.join(ASIDE));
    let done = || {
        there(fs::remove_file(data_dir.join(REMEMBERED)))?;
        if data.exists() {
            there(fs::remove_dir_all(&aside))?;
            fs::rename(&data, &aside)?;
        }
        Ok(())
    };
    done().map_err(KeeperError::file("put unusable data of etcd aside", &data))
}

/// How long the slowest of a few writes takes to reach this disk. Blocks meanwhile.
pub(crate) fn slowest_sync(data_dir: &Path) -> io::Result<Duration> {
    let path: PathBuf = data_dir.join(".sync");
    let mut file = fs::File::create(&path)?;
    let mut slowest = Duration::ZERO;
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0; SYNC_BYTES])?;
        file.sync_data()?;
        slowest = slowest.max(begun.elapsed());
    }
    fs::remove_file(&path)?;
    Ok(slowest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_is_kept_and_forgotten() {
        let dir = std::env::temp_dir().join(format!("howdah-etcd-disk-{}", std::process::id()));
        let wal = dir.join("etcd/member/wal");
        for round in 0..2 {
            fs::create_dir_all(&wal).expect("made");
            assert!(!has_data(&dir));
            fs::write(wal.join("0.wal"), format!("{round}")).expect("written");
            let what = Remembered { member: 1, cluster: 2 };
            remember(&dir, &what).expect("remembered");
            assert!(has_data(&dir));
            assert_eq!(remembered(&dir), Some(what));
            put_aside(&dir).expect("put aside");
            assert!(!has_data(&dir));
            assert_eq!(remembered(&dir), None);
            let kept = fs::read_to_string(dir.join("etcd.aside/member/wal/0.wal")).expect("kept");
            assert_eq!(kept, format!("{round}"));
        }
        assert!(slowest_sync(&dir).expect("measured") > Duration::ZERO);
        fs::remove_dir_all(&dir).expect("removed");
    }
}
