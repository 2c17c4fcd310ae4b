//! `howdah unfence`: the server of a fenced node may run again.

use howdah_base::NodeName;
use serde_json::json;

use crate::ask::known_node;
use crate::file::FileArg;
use crate::order::{self, Form};

/// Let the server of a fenced node run again
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
    order::give(&file, "/unfence", &json!({ "node": args.node }), args.form)
}
