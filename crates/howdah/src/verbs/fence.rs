//! `howdah fence`: a node's server is stopped and stays down.

use howdah_base::NodeName;
use serde_json::json;

use crate::ask::known_node;
use crate::file::FileArg;
use crate::order::{self, Form};

/// Stop a node's server and keep it stopped; a primary hands over first
#[derive(clap::Args, Debug)]
pub struct Args {
    node: NodeName,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    known_node(&file.spec, &args.node)?;
    order::give(&file, "/fence", &json!({ "node": args.node }), args.form)
}
