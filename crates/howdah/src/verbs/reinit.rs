//! `howdah reinit`: a standby's directory is made anew.

use howdah_base::NodeName;
use serde_json::json;

use crate::archive::door;
use crate::ask::known_node;
use crate::file::FileArg;
use crate::order::{self, Form};

/// Copy a standby's directory anew; the old one is kept until the copy is complete
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The standby
    node: NodeName,
    /// Copy from this node [default: as the tags say, else the primary]
    #[arg(long, value_name = "NODE")]
    from: Option<NodeName>,
    /// From the newest backup and WAL; what stands in the way is logged, and a server is copied then
    #[arg(long, conflicts_with = "from")]
    from_repository: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    known_node(&file.spec, &args.node)?;
    let mut body = json!({ "node": args.node });
    if let Some(from) = &args.from {
        known_node(&file.spec, from)?;
        body["from"] = json!(from);
    }
    if args.from_repository {
        door::backup(&file)?;
        body["from_repository"] = json!(true);
    }
    order::give(&file, "/reinitialize", &body, args.form)
}
