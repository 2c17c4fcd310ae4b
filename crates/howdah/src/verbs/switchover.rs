//! `howdah switchover`: moves the primary while its node is alive.

use howdah_base::NodeName;
use serde_json::json;

use crate::ask::{Asker, block_on, known_node};
use crate::file::FileArg;
use crate::talk::{out, say};

/// Move the primary to a standby; no commit is lost, clients reconnect
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The standby that takes over [default: the best one]
    #[arg(long, value_name = "NODE")]
    to: Option<NodeName>,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    if let Some(to) = &args.to {
        known_node(&file.spec, to)?;
    }
    let to = args.to.as_ref().map_or("the best standby", NodeName::as_str);
    let asker = Asker::of_file(&file);
    say(format!("moving the primary to {to}; this answers when it is done"));
    out(block_on(asker.change("/switchover", json!({ "to": args.to }).to_string()))?);
    Ok(())
}
