//! Keeps one node's process running until it is told to stop, or until it is refused for good.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::NodeName;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::given_up::GivenUp;
use super::process::{Ended, Process};
use crate::prepare::{Prepared, layout};
use crate::talk::say;

/// More than a line or two is for `howdah logs`.
const LAST_WORDS_BYTES_MAX: u64 = 2048;

/// What a keeper is told.
#[derive(Clone, Debug)]
pub struct Told {
    /// Turns true once.
    pub stop: watch::Receiver<bool>,
    /// Changes when nodes that were refused are to be tried again.
    pub again: watch::Receiver<()>,
}

/// Starts the node, and starts it again whenever it ends, until `stop` turns true. One that was
/// refused for good waits until somebody says `again`.
pub async fn keep(prepared: Arc<Prepared>, node: NodeName, mut told: Told, given_up: GivenUp) {
    let mut backoff = Backoff::new();
    loop {
        let began = Instant::now();
        told.again.mark_unchanged();
        let ended = match Process::start(&prepared, &node) {
            Ok(mut process) => tokio::select! {
                ended = process.ended(&prepared, &node) => ended,
                () = stopped(&mut told.stop) => {
                    return stop_one(process, &prepared, &node).await;
                }
            },
            Err(error) => Ended::somehow(format!("cannot be started: {error:#}")),
        };
        let pause = match ended.as_ordered {
            true => backoff.after_an_order(),
            false => backoff.after(began.elapsed()),
        };
        if ended.is_final {
            report(&prepared, &node, &format!("{node}: its process {}", ended.how));
            given_up.add(&node);
        } else {
            let seconds = pause.as_secs();
            let what =
                format!("{node}: its process {}; starting it again in {seconds} s", ended.how);
            report(&prepared, &node, &what);
        }
        tokio::select! {
            () = wait(&mut told.again, pause, ended.is_final) => given_up.remove(&node),
            () = stopped(&mut told.stop) => return,
        }
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A supervisor that is gone wants its nodes stopped as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn wait(again: &mut watch::Receiver<()>, pause: Duration, is_final: bool) {
    if !is_final {
        sleep(pause).await;
    } else if again.changed().await.is_err() {
        // Nobody is left who could say it.
        std::future::pending().await
    }
}

async fn stop_one(mut process: Process, prepared: &Prepared, node: &NodeName) {
    say(format!("{node}: stopping"));
    if process.stop(prepared, node).await {
        say(format!("{node}: stopped"));
    } else {
        let seconds = super::process::STOP_TIMEOUT.as_secs();
        say(format!("{node}: did not stop within {seconds} s, killed"));
    }
}

fn report(prepared: &Prepared, node: &NodeName, what: &str) {
    say(what);
    let log = layout::node_log(&prepared.spec.nodes[node]);
    let words = last_words(prepared, &log);
    if words.is_empty() {
        say(format!("hint: look into `{}`", log.display()));
    }
    for line in words {
        say(format!("{node}: it said: {line}"));
    }
}

/// What the node said last, usually why it ended, and its hint.
fn last_words(prepared: &Prepared, log: &Path) -> Vec<String> {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = prepared.server.act(read).unwrap_or_default();
    last_of(&String::from_utf8_lossy(&bytes))
}

fn last_of(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    // The last error with all its lines, where one ends the log; else the last line.
    let tail = lines.iter().rposition(|line| line.starts_with("howdah: "));
    let is_error = |from: &usize| lines[*from..].iter().all(|line| !is_dated(line));
    let from = tail.filter(is_error).unwrap_or(lines.len().saturating_sub(1));
    lines[from..].iter().map(|line| (*line).to_owned()).collect()
}

/// A line of the running node, not of its end.
fn is_dated(line: &str) -> bool {
    line.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_whole_and_with_its_hint() {
        let text =
            "2026-01-01T00:00:00Z  INFO started\nhowdah: it differs:\n  a\n  b\nhint: mend\n";
        assert_eq!(last_of(text), ["howdah: it differs:", "  a", "  b", "hint: mend"]);
        let crashed = format!("{text}2026-01-01T00:00:01Z  INFO started again\n");
        assert_eq!(last_of(&crashed), ["2026-01-01T00:00:01Z  INFO started again"]);
        assert!(last_of("\n").is_empty());
    }
}
