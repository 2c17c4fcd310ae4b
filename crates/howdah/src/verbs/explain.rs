//! `howdah explain`: what each node last decided, by which rule, and what keeps it from more.

use howdah_api::render;
use howdah_base::NodeName;

use crate::ask::{Asker, block_on, known_node};
use crate::file::FileArg;
use crate::order::Form;

/// Show each node's last decision, its rule and its reason
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only this node
    node: Option<NodeName>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    if let Some(node) = &args.node {
        known_node(&file.spec, node)?;
    }
    let mut status = block_on(Asker::of_file(&file).status())?;
    if let Some(node) = &args.node {
        status.nodes.retain(|line| line.node == *node);
    }
    args.form.print(&render::explain(&status), &status.nodes)
}
