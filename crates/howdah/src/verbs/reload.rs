//! `howdah reload`: files are written anew, and servers read them.

use howdah_base::NodeName;
use serde_json::json;

use crate::file::FileArg;
use crate::order::{self, Form};

/// Let servers read their files again: all nodes, or those named
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only these nodes
    #[arg(value_name = "NODE")]
    nodes: Vec<NodeName>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    order::check_nodes(&file.spec, &args.nodes)?;
    order::give(&file, "/reload", &json!({ "nodes": args.nodes }), args.form)
}
