//! `howdah flush`: what is planned is dropped; patronictl's name for it.

use std::time::Duration;

use clap::ValueEnum;
use howdah_api::client::Method;
use howdah_base::NodeName;
use howdah_base::ask::Receipt;
use serde_json::Value;
use tokio::time::sleep;

use super::restart::cancel;
use crate::ask::{Asker, block_on};
use crate::failure::Failure;
use crate::file::{ClusterFile, FileArg};
use crate::order::{self, Form};

/// Drop what is planned: restarts, or a switchover
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(value_enum)]
    what: What,
    /// Only the restarts of these nodes
    #[arg(value_name = "NODE")]
    nodes: Vec<NodeName>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    Restart,
    Switchover,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    order::check_nodes(&file.spec, &args.nodes)?;
    if args.what == What::Restart {
        return args.form.tell(cancel(&file, &args.nodes));
    }
    args.form.tell(flush_switchover(&file))
}

/// Drops the planned switchover. One under way is not given up by this:
/// `howdah switchover --abort` does that.
pub fn flush_switchover(file: &ClusterFile) -> anyhow::Result<Receipt> {
    if !block_on(is_planned(file))? {
        return Err(Failure::failed("no switchover is planned").hint("howdah status").into());
    }
    order::send(file, Method::DELETE, "/switchover", &Value::Null)
}

/// The status may be a moment older than the plan.
async fn is_planned(file: &ClusterFile) -> anyhow::Result<bool> {
    let asker = Asker::of_file(file);
    for _ in 0..LOOKS {
        if asker.status().await?.planned.is_some() {
            return Ok(true);
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(false)
}

const LOOKS: u32 = 5;
const LOOK_EVERY: Duration = Duration::from_millis(200);
