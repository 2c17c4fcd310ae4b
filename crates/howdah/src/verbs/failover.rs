//! `howdah failover`: a standby takes over although the leader cannot be reached.

use howdah_base::NodeName;
use serde_json::json;

use crate::ask::{Asker, block_on, known_node};
use crate::file::FileArg;
use crate::talk::{out, say};

/// Let a standby take over although the primary cannot be reached
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The standby that takes over
    #[arg(long, value_name = "NODE")]
    to: NodeName,
    /// Go on even if acknowledged commits may be missing on it
    #[arg(long)]
    accept_data_loss: bool,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    known_node(&file.spec, &args.to)?;
    let body = json!({ "to": args.to, "accept_loss": args.accept_data_loss });
    say(format!("asking {} to take over; this answers when it is done", args.to));
    out(block_on(Asker::of_file(&file).change("/failover", body.to_string()))?);
    Ok(())
}
