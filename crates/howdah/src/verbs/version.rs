//! `howdah version`: of this program, and of what runs.

use howdah_base::NodeName;
use serde_json::{Map, Value, json};

use crate::ask::{Asker, block_on};
use crate::file::FileArg;
use crate::order::Form;

/// Show the versions of this program, of running nodes and of their servers
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only these nodes
    #[arg(value_name = "NODE")]
    nodes: Vec<NodeName>,
    /// Only this program
    #[arg(long, conflicts_with = "nodes")]
    own: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let own = env!("CARGO_PKG_VERSION");
    let file = if args.own { None } else { args.file.load_running().ok() };
    let Some(file) = file else {
        return args.form.print(&format!("howdah {own}"), &json!({ "howdah": own }));
    };
    let mut text = format!("howdah {own}");
    let mut nodes = Map::new();
    for (node, answer) in block_on(Asker::of_file(&file).each("/patroni"))? {
        if !args.nodes.is_empty() && !args.nodes.contains(&node) {
            continue;
        }
        let body = answer.and_then(|answer| read(&answer.body));
        text += &match &body {
            Ok((howdah, Some(server))) => format!("\n{node}: howdah {howdah}, PostgreSQL {server}"),
            Ok((howdah, None)) => format!("\n{node}: howdah {howdah}, PostgreSQL is down"),
            Err(error) => format!("\n{node}: {error}"),
        };
        let value = match body {
            Ok((howdah, server)) => json!({ "howdah": howdah, "postgresql": server }),
            Err(error) => json!({ "error": error }),
        };
        nodes.insert(node.to_string(), value);
    }
    args.form.print(&text, &json!({ "howdah": own, "nodes": nodes }))
}

/// The node's version and its server's.
fn read(body: &str) -> Result<(String, Option<String>), String> {
    let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let howdah = body["howdah"]["version"].as_str().unwrap_or("unknown").to_owned();
    Ok((howdah, body["server_version"].as_u64().map(of_number)))
}

/// PostgreSQL's `server_version_num` as people say it: 150018 is 15.18.
pub fn of_number(number: u64) -> String {
    format!("{}.{}", number / 10_000, number % 10_000)
}
