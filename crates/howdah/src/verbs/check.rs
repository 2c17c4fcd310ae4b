//! `howdah check`: everything that is wrong with a cluster file, or everything that it means.

use howdah_base::NodeName;
use howdah_postgres::install::Install;
use howdah_spec::{NodeKind, parameters};

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
    let (parsed, mut mistakes) = howdah_spec::parse_leniently(&name, &text, &file::context(&path));
    let spec = &parsed.spec;
    // Without a node there is no directory to find a server for, and the file says so itself.
    let data = spec.nodes.iter().find(|(_, node)| node.kind == NodeKind::Data);
    let Some(first) = data.map(|(name, _)| name) else {
        return Err(file::rejected(&mistakes).into());
    };
    let node = match &args.node {
        Some(node) if mistakes.0.is_empty() => known_node(spec, node)?.0,
        _ => first,
    };
    if spec.nodes[node].kind == NodeKind::Witness {
        // No PostgreSQL is wanted on its machine.
        say(format!("{name} is good; {node} is a witness: it needs etcd and no PostgreSQL"));
        return Ok(());
    }
    let server = match facts::server(spec, &spec.nodes[node]) {
        Ok(server) => server,
        // What is wrong with the file comes first: it may be why no server was found.
        Err(_) if !mistakes.0.is_empty() => return Err(file::rejected(&mistakes).into()),
        Err(error) => return Err(error),
    };
    mistakes.0.extend(parameters::check_against(&name, &parsed, &server.parameters));
    mistakes.0.sort();
    mistakes.0.dedup();
    if !mistakes.0.is_empty() {
        return Err(file::rejected(&mistakes).into());
    }
    let Install { bin_dir, major, version } = &server.install;
    out(howdah_spec::check_text(spec, node, &facts::machine(spec), *major));
    say(format!("{name} is good for PostgreSQL {version}: `{}`", bin_dir.display()));
    Ok(())
}
