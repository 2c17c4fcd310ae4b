//! The guard's log, written so that a disk that hangs never delays the deadline.
//!
//! ```text
//! main loop ── try_send, at most 200 lines ──► writer thread ── write ──► log file
//! ```
//! The loop never waits: what does not fit is counted and the count is written later.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Lines that wait for the disk.
const LINES_MAX: usize = 200;
/// The writer needs almost no stack.
const STACK_BYTES: usize = 64 * 1024;
/// How long the guard's own end waits for its last lines.
const LAST_WORDS: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub struct Journal {
    lines: SyncSender<String>,
    dropped: u64,
    finished: Receiver<()>,
}

impl Journal {
    /// The file is opened by the writer thread: even that may hang.
    pub fn open(path: &Path) -> Journal {
        let (lines, waiting) = sync_channel(LINES_MAX);
        let (finish, finished) = sync_channel(1);
        let path = path.to_owned();
        let writer = thread::Builder::new().name("journal".to_owned()).stack_size(STACK_BYTES);
        let started = writer.spawn(move || {
            write_all(&path, &waiting);
            finish.send(()).ok();
        });
        // Without the thread every line is dropped, and the guard still guards.
        drop(started);
        Journal { lines, dropped: 0, finished }
    }

    /// Writes a line, soon, if it can.
    pub fn say(&mut self, text: impl AsRef<str>) {
        let mut line = format!("{} guard: {}\n", wall_time(), text.as_ref());
        if self.dropped > 0 {
            line = format!("{} guard: lines lost: `{}`\n{line}", wall_time(), self.dropped);
        }
        match self.lines.try_send(line) {
            Ok(()) => self.dropped = 0,
            Err(_) => self.dropped += 1,
        }
    }

    /// For the panic hook, which has no part in the count.
    pub fn last_words(&self) -> impl Fn(&str) + Send + Sync + use<> {
        let lines = self.lines.clone();
        move |text| {
            lines.try_send(format!("{} guard: {text}\n", wall_time())).ok();
            thread::sleep(LAST_WORDS / 4);
        }
    }

    /// Gives the last lines a moment to reach the disk.
    pub fn close(self) {
        drop(self.lines);
        self.finished.recv_timeout(LAST_WORDS).ok();
    }
}

fn write_all(path: &PathBuf, lines: &Receiver<String>) {
    let mut file: Option<File> = OpenOptions::new().create(true).append(true).open(path).ok();
    for line in lines {
        // A log that cannot be written must not end the guard.
        match &mut file {
            Some(file) => file.write_all(line.as_bytes()).ok(),
            None => io::stderr().write_all(line.as_bytes()).ok(),
        };
    }
}

/// `2026-11-21 02:08:24.123Z`.
fn wall_time() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = howdah_base::calendar::date(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let ms = since.subsec_millis();
    format!("{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_never_takes_a_line_stops_nobody() {
        let (lines, _full) = sync_channel(0);
        let mut journal = Journal { lines, dropped: 0, finished: sync_channel(1).1 };
        journal.say("one");
        journal.say("two");
        assert_eq!(journal.dropped, 2);
    }
}
