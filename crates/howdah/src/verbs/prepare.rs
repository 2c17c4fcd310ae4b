//! `howdah prepare`: folders, keys and passwords, without starting anything.

use howdah_base::NodeName;

use crate::ask::known_node;
use crate::file::FileArg;
use crate::prepare::{Caller, here, prepare};
use crate::reverts;
use crate::talk::out;

/// Make folders, certificates and passwords; start nothing
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Prepare for this node and those beside it [default: the nodes of this machine]
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load()?;
    if let Some(node) = &args.node {
        known_node(&file.spec, node)?;
    }
    let caller = args.node.as_ref().map_or(Caller::Prepare, Caller::PrepareFor);
    let prepared = prepare(&file, caller)?;
    reverts::remember_first(&prepared.layout, &file.path, &prepared.text);
    let base = prepared.layout.base().display();
    out(format!("prepared `{base}`; servers run as {}", prepared.server.name));
    if here::is_one_machine(&prepared.spec) {
        out(format!("\nstart all nodes here:\n  howdah up{}", file.typed));
        out("\nor each under a service manager:");
    } else {
        out("\nstart the nodes of this machine:");
    }
    let resolved = prepared.layout.file();
    let here = here::here(&prepared.spec, &prepared.layout);
    for node in here.keys() {
        out(format!("  howdah run --node {node} -f {}", resolved.display()));
    }
    let elsewhere = prepared.spec.nodes.keys().filter(|node| !here.contains_key(*node));
    for (at, node) in elsewhere.enumerate() {
        if at == 0 {
            out("\nlet the other machines in; each command prints what to type there:");
        }
        out(format!("  howdah token create {node} -f {}", resolved.display()));
    }
    Ok(())
}
