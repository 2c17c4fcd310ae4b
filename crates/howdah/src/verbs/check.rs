//! `howdah check`: everything that is wrong with a cluster file, or everything that it means.

use anyhow::Context;
use howdah_base::NodeName;
use howdah_postgres::install::Install;
use howdah_spec::{Mistakes, parameters};

use crate::ask::known_node;
use crate::facts;
use crate::file::{self, FileArg};
use crate::talk::{out, say};

/// Check the cluster file; show all values in force and where they come from
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Show the parameters of this node's server [default: the first one's]
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let path = args.file.find()?;
    let name = file::shown(&path);
    let text = file::read(&path)?;
    let parsed = howdah_spec::parse_with_places(&name, &text, &file::context(&path))
        .map_err(|mistakes| file::rejected(&mistakes))?;
    let spec = &parsed.spec;
    let node = match &args.node {
        Some(node) => known_node(spec, node)?.0,
        None => spec.nodes.keys().next().context("find a node in the cluster file")?,
    };
    let server = facts::server(spec, &spec.nodes[node])?;
    let mistakes = Mistakes(parameters::check_against(&name, &parsed, &server.parameters));
    if !mistakes.0.is_empty() {
        return Err(file::rejected(&mistakes).into());
    }
    let Install { bin_dir, major, version } = &server.install;
    out(howdah_spec::check_text(spec, node, &facts::machine(spec), *major));
    say(format!("{name} is good for PostgreSQL {version}: `{}`", bin_dir.display()));
    Ok(())
}
