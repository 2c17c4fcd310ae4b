//! `howdah failover`: a standby takes over although the leader cannot be reached.

use howdah_base::NodeName;
use serde_json::json;

use crate::ask::{Asker, block_on, known_node};
use crate::failure::Failure;
use crate::file::{ClusterFile, FileArg};
use crate::order::{self, Form};
use crate::talk::say;

/// Let a standby take over although the primary cannot be reached
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The standby that takes over
    #[arg(value_name = "NODE", required_unless_present = "named")]
    to: Option<NodeName>,
    /// The same by its name
    #[arg(long = "to", value_name = "NODE", conflicts_with = "to", hide = true)]
    named: Option<NodeName>,
    /// Go on even if acknowledged commits may be missing on it
    #[arg(long)]
    accept_data_loss: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    let Some(to) = args.to.as_ref().or(args.named.as_ref()) else {
        return Err(Failure::bad_input("a failover names its node").into());
    };
    known_node(&file.spec, to)?;
    say_what_is_lost(&file, to);
    let body = json!({ "to": to, "accept_loss": args.accept_data_loss });
    say(format!("asking {to} to take over; this answers when it is done"));
    order::give(&file, "/failover", &body, args.form)
}

/// What the answering node can say of the loss, before anything is done.
fn say_what_is_lost(file: &ClusterFile, to: &NodeName) {
    let Ok(status) = block_on(Asker::of_file(file).status()) else { return };
    let node = status.nodes.iter().find(|node| node.node == *to);
    if let Some(loss) = node.and_then(|node| node.failover_loses.as_ref()) {
        say(format!("what a failover to {to} would lose: {loss}"));
    }
}
