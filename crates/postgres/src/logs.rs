//! Old server logs are removed: nothing else bounds them.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::PgError;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Removes `postgresql-*.log` in `log` below the data directory that were last written more than
/// `keep_days` before `now`. Gives their number. The logs' place and name are Howdah's own
/// (`howdah_spec::effective`), so nothing else can match.
pub fn remove_old(data_dir: &Path, keep_days: u32, now: SystemTime) -> Result<usize, PgError> {
    let folder = data_dir.join("log");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(PgError::io("list", &folder)(error)),
    };
    let mut removed = 0;
    for entry in entries {
        let entry = entry.map_err(PgError::io("list", &folder))?;
        if !is_log(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        let written = entry.metadata().and_then(|m| m.modified());
        let written = written.map_err(PgError::io("look at", &path))?;
        if now.duration_since(written).is_ok_and(|age| age > DAY * keep_days) {
            fs::remove_file(&path).map_err(PgError::io("remove", &path))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_log(name: &str) -> bool {
    name.starts_with("postgresql-") && name.ends_with(".log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_logs_go() {
        let data_dir = std::env::temp_dir().join(format!("howdah-logs-{}", std::process::id()));
        let now = SystemTime::now();
        assert_eq!(remove_old(&data_dir, 7, now).expect("no folder, no logs"), 0);
        fs::create_dir_all(data_dir.join("log")).expect("make it");
        for name in ["postgresql-a.log", "notes.txt", "postgresql-b.log"] {
            fs::write(data_dir.join("log").join(name), "x").expect("write");
        }
        assert_eq!(remove_old(&data_dir, 7, now).expect("young"), 0);
        assert_eq!(remove_old(&data_dir, 7, now + DAY * 8).expect("old"), 2);
        assert!(data_dir.join("log/notes.txt").exists());
        fs::remove_dir_all(&data_dir).expect("clean up");
    }
}
