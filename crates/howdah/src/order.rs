//! An operator's order to the running cluster, and how its answer is printed.

use anyhow::Context;
use howdah_api::client::Method;
use howdah_api::when;
use howdah_base::NodeName;
use howdah_base::ask::Receipt;
use howdah_spec::ClusterSpec;
use serde_json::{Value, json};

use crate::ask::{Asker, block_on, known_node, read_receipt};
use crate::failure::Failure;
use crate::file::ClusterFile;
use crate::talk::out;

/// In which form an answer is printed.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub struct Form {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

impl Form {
    /// Data: `text` for people, `value` for programs.
    pub fn print(self, text: &str, value: &impl serde::Serialize) -> anyhow::Result<()> {
        if self.json {
            out(serde_json::to_string_pretty(value).context("write JSON")?);
        } else {
            out(text);
        }
        Ok(())
    }

    /// What came of a request, or why nothing did: then as an object too, where JSON is asked for.
    pub fn tell(self, answer: anyhow::Result<Receipt>) -> anyhow::Result<()> {
        match answer {
            Ok(receipt) => self.print(&receipt.message, &receipt),
            Err(error) => {
                if self.json {
                    let failure = error.downcast_ref::<Failure>();
                    let hint = failure.and_then(|failure| failure.hint.as_ref());
                    let nodes = failure.map(|failure| &failure.nodes[..]).unwrap_or_default();
                    let error = format!("{error:#}");
                    self.print("", &json!({ "error": error, "hint": hint, "nodes": nodes }))?;
                }
                Err(error)
            }
        }
    }
}

/// Gives an order by POST and prints the answer.
pub fn give(file: &ClusterFile, path: &str, body: &Value, form: Form) -> anyhow::Result<()> {
    form.tell(send(file, Method::POST, path, body))
}

/// Gives an order and returns the node's answer.
pub fn send(
    file: &ClusterFile,
    method: Method,
    path: &str,
    body: &Value,
) -> anyhow::Result<Receipt> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    read_receipt(&block_on(Asker::of_file(file).send(method, path, body))?)
}

/// Each name is a node of the cluster.
pub fn check_nodes(spec: &ClusterSpec, nodes: &[NodeName]) -> anyhow::Result<()> {
    nodes.iter().try_for_each(|node| known_node(spec, node).map(drop))
}

/// A moment to come, as the command line takes it, for a node to read: RFC 3339.
pub fn moment(text: &str) -> anyhow::Result<String> {
    let now = when::now_unix_ms();
    let at = when::parse(text, now)
        .map_err(|error| Failure::bad_input(format!("{error}: `{text}`")).hint(TIMES))?;
    if at < now {
        return Err(Failure::bad_input(format!("this moment has passed: `{text}`"))
            .hint(TIMES)
            .into());
    }
    Ok(when::rfc3339(at))
}

const TIMES: &str = "write `--at +10min`, or `--at 2030-01-31T04:00:00+02:00`";
