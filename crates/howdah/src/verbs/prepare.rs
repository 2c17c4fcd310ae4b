//! `howdah prepare`: folders, keys and passwords, without starting anything.

use crate::file::FileArg;
use crate::prepare::{Caller, prepare};
use crate::talk::out;

/// Make folders, certificates and passwords; start nothing
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load()?;
    let prepared = prepare(&file, Caller::Prepare)?;
    let base = prepared.layout.base().display();
    out(format!("prepared `{base}`; servers run as {}", prepared.server.name));
    out(format!("\nstart all nodes here:\n  howdah up{}", file.typed));
    out("\nor each under a service manager:");
    for node in prepared.spec.nodes.keys() {
        out(format!("  howdah run --node {node} -f {}", prepared.layout.file().display()));
    }
    Ok(())
}
