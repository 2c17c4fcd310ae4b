//! Files that etcd and the keeper write their lines to: bounded, and read for last words.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::Value;

/// A log larger than this is copied aside and emptied; one old log is kept.
const LOG_BYTES_MAX: u64 = 16 << 20;
/// What etcd says at its end, a stack trace included.
const LAST_BYTES: u64 = 64 << 10;

/// Opens for appending, so that a log that is emptied goes on at its beginning.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

pub(crate) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// Copies a log that has grown too long aside and empties it: its writer keeps it open.
pub(crate) fn bound(path: &Path) -> io::Result<()> {
    // One that is not there is short.
    if length(path) <= LOG_BYTES_MAX {
        return Ok(());
    }
    fs::copy(path, path.with_extension("log.1"))?;
    OpenOptions::new().write(true).open(path)?.set_len(0)
}

/// Why etcd ended, as far as it said so.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LastWords {
    pub text: String,
    /// It ended itself, and this is why.
    pub fatal: bool,
}

/// The last complaint of etcd after `since` bytes of its log.
pub(crate) fn last_words(path: &Path, since: u64) -> LastWords {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        let from = if since > end { 0 } else { since };
        file.seek(SeekFrom::Start(from.max(end.saturating_sub(LAST_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(LAST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    complaint(&String::from_utf8_lossy(&read().unwrap_or_default()))
}

/// The last line of a level that ends etcd; else a panic's, which is no JSON; else an error.
fn complaint(text: &str) -> LastWords {
    let of_levels = |levels: &[&str]| {
        let lines = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
        lines.into_iter().find_map(|line: Value| {
            let level = line["level"].as_str()?;
            let error = line["error"].as_str().map(|error| format!(": {error}"));
            let said = line["msg"].as_str().unwrap_or_default();
            levels.contains(&level).then(|| format!("{said}{}", error.unwrap_or_default()))
        })
    };
    let plain = |is: fn(&str) -> bool| text.lines().rev().find(|line| is(line)).map(str::to_owned);
    let panic = || plain(|line| line.starts_with("panic: ") || line.starts_with("fatal error"));
    if let Some(text) = of_levels(&["fatal", "panic", "dpanic"]).or_else(panic) {
        return LastWords { text, fatal: true };
    }
    let last = || plain(|line| !line.trim().is_empty() && !line.starts_with('{'));
    let text = of_levels(&["error"]).or_else(last);
    LastWords { text: text.unwrap_or_else(|| "it said nothing".to_owned()), fatal: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_ended_it_is_found() {
        let said = |text: &str| {
            let words = complaint(text);
            (words.fatal, words.text)
        };
        let info = r#"{"level":"info","msg":"started"}"#;
        let fatal = r#"{"level":"fatal","msg":"discovery failed","error":"no such host"}"#;
        assert_eq!(
            said(&format!("{info}\n{fatal}\n{info}\n")),
            (true, "discovery failed: no such host".to_owned())
        );
        let panic = format!("{info}\npanic: freepages: failed\n\ngoroutine 1 [running]:\n");
        assert_eq!(said(&panic), (true, "panic: freepages: failed".to_owned()));
        let usage = "flag provided but not defined: -x\n";
        assert_eq!(said(usage), (false, usage.trim_end().to_owned()));
        assert_eq!(said(&format!("{info}\n")), (false, "it said nothing".to_owned()));
    }

    #[test]
    fn a_long_log_is_emptied_and_kept_once() {
        let path = std::env::temp_dir().join(format!("howdah-etcd-{}.log", std::process::id()));
        let file = open(&path).expect("opened");
        file.set_len(LOG_BYTES_MAX + 1).expect("made long");
        bound(&path).expect("bounded");
        assert_eq!(length(&path), 0);
        let old = path.with_extension("log.1");
        assert_eq!(length(&old), LOG_BYTES_MAX + 1);
        fs::remove_file(old).expect("removed");
        fs::remove_file(path).expect("removed");
    }
}
