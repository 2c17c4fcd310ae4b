//! Keeps one node's process running until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use howdah_base::NodeName;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::process::Process;
use crate::prepare::{Prepared, layout};
use crate::talk::say;

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
    let log = layout::node_log(&prepared.spec.nodes[node]);
    say(format!("{node}: its process {how}; starting it again in {} s", pause.as_secs()));
    say(format!("hint: look into `{}`", log.display()));
}
