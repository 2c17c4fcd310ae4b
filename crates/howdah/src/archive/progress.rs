//! How far a backup is, for whoever looks: one line that is drawn anew on a terminal, else a line now
//! and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use howdah_archive::backup::engine::{Phase, Progress};
use tokio::sync::watch;
use tokio::time::sleep;

use super::lease;
use crate::talk::say;

const LINE_EVERY: Duration = Duration::from_secs(5);
/// In a node's log.
const LOG_EVERY: Duration = Duration::from_secs(60);
const DRAWN_EVERY: Duration = Duration::from_millis(200);
const BAR: u64 = 24;
/// Erases from there to the end of the line.
const ERASE: &str = "\x1b[K";

/// Says it until the future is dropped; a line that was drawn is wiped then.
pub async fn follow(mut progress: watch::Receiver<Progress>) {
    let begun = Instant::now();
    let drawn = std::io::stderr().is_terminal();
    let _wipe = Wipe(drawn);
    let every = match (drawn, lease::is_lent()) {
        (true, _) => DRAWN_EVERY,
        (false, false) => LINE_EVERY,
        (false, true) => LOG_EVERY,
    };
    let mut told = None;
    loop {
        sleep(every).await;
        let text = line(&progress.borrow_and_update(), begun.elapsed());
        if drawn {
            draw(&format!("\r{text}{ERASE}"));
        } else if told.as_ref() != Some(&text) {
            say(format!("howdah: {text}"));
            told = Some(text);
        }
    }
}

struct Wipe(bool);

impl Drop for Wipe {
    fn drop(&mut self) {
        if self.0 {
            draw(&format!("\r{ERASE}"));
        }
    }
}

fn draw(text: &str) {
    let mut to = std::io::stderr().lock();
    // Nobody looks at a terminal that is gone.
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// In one line of a usual terminal.
fn line(now: &Progress, elapsed: Duration) -> String {
    let what = match now.phase {
        Phase::Starting => "the server makes a checkpoint",
        Phase::Copying => return copying(now, elapsed),
        Phase::Stopping => "all is read, the last of it is being stored",
        Phase::WaitingForWal => "waiting for its WAL in the repository",
        Phase::Committing | Phase::Done => "writing its manifest",
    };
    what.to_owned()
}

fn copying(now: &Progress, elapsed: Duration) -> String {
    let total = now.total.max(1);
    let done = now.done.min(total);
    let filled = usize::try_from(done * BAR / total).unwrap_or(0);
    let empty = usize::try_from(BAR).unwrap_or(0) - filled;
    let rate = done as f64 / elapsed.as_secs_f64().max(0.1);
    let left = Duration::from_secs_f64((total - done) as f64 / rate.max(1.0));
    format!(
        "[{}{}] {:>3} % of {}, {}/s, {} stored, {} left",
        "#".repeat(filled),
        ".".repeat(empty),
        done * 100 / total,
        size(total),
        size(rate as u64),
        size(now.stored),
        time(left),
    )
}

/// Of bytes, short.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}

fn time(left: Duration) -> String {
    match left.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let now = Progress {
            phase: Phase::Copying,
            done: 750_000_000,
            total: 3_000_000_000,
            stored: 200_000_000,
        };
        assert_eq!(
            line(&now, Duration::from_secs(5)),
            "[######..................]  25 % of 3.00 GB, 150.0 MB/s, 200.0 MB stored, 15 s left"
        );
        // Files grow while they are read.
        let over = Progress { done: 4_000_000_000, ..now };
        assert!(line(&over, Duration::from_secs(5)).contains("100 %"));
        let begun = line(&Progress::default(), Duration::ZERO);
        assert_eq!(begun, "the server makes a checkpoint");
        let none = Progress { phase: Phase::Copying, ..Progress::default() };
        assert!(line(&none, Duration::ZERO).contains("0 % of 0.0 MB"));
    }
}
