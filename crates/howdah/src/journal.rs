//! The log of a process that must not wait for it: a thread of its own writes it.
//!
//! ```text
//! any thread ── at most WAITING_BYTES_MAX ──► buffer ──► writer thread ──► standard error
//! ```
//! Whoever logs never waits: a disk that stalls under the log would hold back the renewal of the
//! lease with it. What does not fit is counted, and the count stands in the log at its place.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use tracing::Subscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// Lines that wait for the disk, all together. As much again may be with the writer.
const WAITING_BYTES_MAX: usize = 1 << 20;
/// How long the end of the process waits for its last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The log, for those who must see its lines out.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// A line waits.
    more: Condvar,
    /// Everything is written, or given up.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines for which there was no room; all of them later than those that wait.
    lost: u64,
    /// The writer has lines in hand.
    writing: bool,
}

impl Journal {
    /// Takes the log of this whole process, panics included, to standard error as it is now.
    pub fn start() -> anyhow::Result<Journal> {
        let to = io::stderr().as_fd().try_clone_to_owned().context("copy standard error")?;
        let journal = Journal::to(File::from(to)).context("start the log's thread")?;
        tracing::subscriber::set_global_default(subscriber(journal.clone()))
            .context("take the log")?;
        let last = journal.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = (&last).write(format!("{} ERROR {panic}\n", wall_time()).as_bytes());
            last.flush();
        }));
        Ok(journal)
    }

    fn to(mut file: impl Write + Send + 'static) -> io::Result<Journal> {
        let shared = Arc::new(Shared::default());
        let journal = Journal(Arc::clone(&shared));
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            loop {
                shared.write_waiting(&mut file);
            }
        })?;
        Ok(journal)
    }

    /// Before the process ends: gives the last lines a moment to be written.
    pub fn flush(&self) {
        let state = self.0.lock();
        let unwritten =
            |state: &mut State| state.writing || !state.waiting.is_empty() || state.lost > 0;
        drop(self.0.idle.wait_timeout_while(state, LAST_WORDS, unwritten));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The writer's turn: waits for lines, then writes all that wait, without the lock.
    fn write_waiting(&self, file: &mut impl Write) {
        let empty = |state: &mut State| state.waiting.is_empty() && state.lost == 0;
        let state = self.more.wait_while(self.lock(), empty);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        let lines = std::mem::take(&mut state.waiting);
        let lost = std::mem::take(&mut state.lost);
        state.writing = true;
        drop(state);
        let mut failed = unwritten_lines(file, &lines);
        if lost > 0 {
            failed += lost * unwritten_lines(file, notice(lost, "had no room").as_bytes());
        }
        if failed > 0 {
            // The disk is full, perhaps: the notice then is lost as well.
            unwritten_lines(file, notice(failed, "could not be written").as_bytes());
        }
        self.lock().writing = false;
        self.idle.notify_all();
    }
}

/// One call a line, as `tracing_subscriber` makes them. It never fails and never waits.
impl Write for &Journal {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        // After the first lost line all are, until the writer has gone on: the count then stands
        // where they are missing.
        if state.lost > 0 || state.waiting.len() + line.len() > WAITING_BYTES_MAX {
            state.lost += 1;
        } else {
            state.waiting.extend_from_slice(line);
        }
        drop(state);
        self.0.more.notify_one();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Journal {
    type Writer = &'a Journal;

    fn make_writer(&'a self) -> &'a Journal {
        self
    }
}

fn subscriber(journal: Journal) -> impl Subscriber + Send + Sync {
    tracing_subscriber::fmt()
        .with_writer(journal)
        .with_ansi(false)
        .with_target(false)
        .log_internal_errors(false)
        .with_max_level(tracing::Level::INFO)
        .finish()
}

/// Writes what it can, and counts the lines of the rest.
fn unwritten_lines(file: &mut impl Write, mut bytes: &[u8]) -> u64 {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(written) if written > 0 => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // A log that cannot be written (its disk is full) must not end the process.
            Ok(_) | Err(_) => break,
        }
    }
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

fn notice(lost: u64, why: &str) -> String {
    format!("{}  WARN log: lines lost here, because they {why}: `{lost}`\n", wall_time())
}

/// As `tracing_subscriber` writes it.
fn wall_time() -> String {
    let mut time = String::new();
    // Writing to a string does not fail; a line without its time would be as good.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    time
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::os::fd::OwnedFd;
    use std::sync::mpsc;

    use super::*;

    /// Far more than the calls and the reading take.
    const PATIENCE: Duration = Duration::from_secs(30);
    const LINES: usize = 40_000;

    fn pipe() -> (File, File) {
        let (reader, writer): (OwnedFd, OwnedFd) = nix::unistd::pipe().expect("a pipe");
        (reader.into(), writer.into())
    }

    /// Logs so many lines on a thread of its own, and fails if that waits for a reader.
    fn log_lines(journal: &Journal, from: usize, to: usize) {
        let (done, waits) = mpsc::channel();
        let subscriber = subscriber(journal.clone());
        thread::spawn(move || {
            tracing::subscriber::with_default(subscriber, || {
                (from..to).for_each(|line| tracing::info!("line {line}"));
            });
            done.send(()).ok();
        });
        waits.recv_timeout(PATIENCE).expect("logging waits for whoever reads the log");
    }

    #[test]
    fn a_log_that_nobody_reads_delays_nobody_and_what_it_lost_is_counted() {
        let (reader, writer) = pipe();
        let journal = Journal::to(writer).expect("a journal");
        log_lines(&journal, 0, LINES);
        let lost = journal.0.lock().lost;
        assert!(lost > 0, "{LINES} lines fit into a pipe and {WAITING_BYTES_MAX} bytes");

        let (lines_to, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(reader).lines() {
                let Ok(line) = line else { return };
                lines_to.send(line).ok();
            }
        });
        let next = || lines.recv_timeout(PATIENCE).expect("a line of the log");
        for kept in 0..LINES as u64 - lost {
            let line = next();
            assert!(line.ends_with(&format!("INFO line {kept}")), "{line}");
        }
        let told = next();
        let count = format!("WARN log: lines lost here, because they had no room: `{lost}`");
        assert!(told.ends_with(&count), "{told}");
        log_lines(&journal, LINES, LINES + 1);
        assert!(next().ends_with(&format!("INFO line {LINES}")));
    }

    #[test]
    fn the_last_lines_are_written_before_the_end() {
        let (reader, writer) = pipe();
        let journal = Journal::to(writer).expect("a journal");
        log_lines(&journal, 0, 10);
        journal.flush();
        let state = journal.0.lock();
        assert!(state.waiting.is_empty() && !state.writing);
        drop((state, reader));
    }

    #[test]
    fn a_line_that_cannot_be_written_is_counted() {
        /// Full at first, with room for the start of a line; then not.
        struct Disk(u32, mpsc::Sender<Vec<u8>>);
        impl Write for Disk {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => Ok(bytes.len().min(4)),
                    2 => Err(io::ErrorKind::StorageFull.into()),
                    _ => {
                        self.1.send(bytes.to_vec()).ok();
                        Ok(bytes.len())
                    }
                }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (written_to, written) = mpsc::channel();
        let journal = Journal::to(Disk(0, written_to)).expect("a journal");
        assert!((&journal).write(b"first\n").is_ok());
        let told = written.recv_timeout(PATIENCE).expect("a notice");
        let told = String::from_utf8_lossy(&told).into_owned();
        assert!(
            told.ends_with("lines lost here, because they could not be written: `1`\n"),
            "{told}"
        );
    }
}
