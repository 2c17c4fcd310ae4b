//! `howdah pause`: hands off, for as long as it takes.

use std::time::Duration;

use howdah_base::status::ClusterStatus;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::ask::{Asker, block_on};
use crate::failure::{Exit, Failure};
use crate::file::{ClusterFile, FileArg};
use crate::order::{self, Form};

/// Promote, start and stop nothing by itself until `howdah resume`
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Come back when every node that answers knows of it
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    order::give(&file, "/pause", &Value::Null, args.form)?;
    if args.wait { block_on(until_known(&file, true)) } else { Ok(()) }
}

/// The store tells every node at once; this is for one that is cut off from it.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits until every node that answers sees the pause, or its end.
pub async fn until_known(file: &ClusterFile, paused: bool) -> anyhow::Result<()> {
    let asker = Asker::of_file(file);
    let deadline = Instant::now() + KNOWN_WITHIN;
    loop {
        let behind = behind(&asker, paused).await?;
        if behind.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let what = format!("these nodes do not know of it yet: `{}`", behind.join("`, `"));
            return Err(Failure::new(Exit::TimedOut, what).hint("howdah status").into());
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn behind(asker: &Asker, paused: bool) -> anyhow::Result<Vec<String>> {
    let mut behind = Vec::new();
    for (node, answer) in asker.each("/status").await? {
        let Ok(answer) = answer else { continue };
        let status = serde_json::from_str::<ClusterStatus>(&answer.body);
        if status.is_ok_and(|status| status.paused.is_some() != paused) {
            behind.push(node.to_string());
        }
    }
    Ok(behind)
}
