//! Keeps one node's process running until it is told to stop.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::NodeName;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::process::Process;
use crate::prepare::{Prepared, layout};
use crate::talk::say;

/// More than a line or two is for `howdah logs`.
const LAST_WORDS_BYTES_MAX: u64 = 2048;

/// Starts the node, and starts it again whenever it ends, until `stop` turns true.
pub async fn keep(prepared: Arc<Prepared>, node: NodeName, mut stop: watch::Receiver<bool>) {
    let mut backoff = Backoff::new();
    loop {
        let began = Instant::now();
        let how = match Process::start(&prepared, &node) {
            Ok(mut process) => tokio::select! {
                how = process.ended(&prepared, &node) => how,
                () = told(&mut stop) => return stop_one(process, &prepared, &node).await,
            },
            Err(error) => format!("cannot be started: {error:#}"),
        };
        let pause = backoff.after(began.elapsed());
        report(&prepared, &node, &how, pause);
        tokio::select! {
            () = sleep(pause) => {}
            () = told(&mut stop) => return,
        }
    }
}

async fn told(stop: &mut watch::Receiver<bool>) {
    // A supervisor that is gone wants its nodes stopped as well.
    let _ = stop.wait_for(|stop| *stop).await;
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

fn report(prepared: &Prepared, node: &NodeName, how: &str, pause: Duration) {
    say(format!("{node}: its process {how}; starting it again in {} s", pause.as_secs()));
    let log = layout::node_log(&prepared.spec.nodes[node]);
    match last_words(prepared, &log) {
        Some(words) => say(format!("{node}: it said: {words}")),
        None => say(format!("hint: look into `{}`", log.display())),
    }
}

/// What the node said last: usually why it ended.
fn last_words(prepared: &Prepared, log: &Path) -> Option<String> {
    let read = || {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORDS_BYTES_MAX)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = prepared.server.act(read).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines = text.lines().rev().filter(|line| !line.trim().is_empty());
    lines.find(|line| !line.starts_with("hint: ")).map(str::to_owned)
}
