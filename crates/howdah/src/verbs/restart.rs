//! `howdah restart`: servers are restarted in their roles, one after the other.

use clap::ValueEnum;
use howdah_api::client::Method;
use howdah_base::NodeName;
use howdah_base::ask::Receipt;
use serde_json::json;

use crate::ask::{Asker, block_on, read_receipt};
use crate::failure::Failure;
use crate::file::{ClusterFile, FileArg};
use crate::order::{self, Form};
use crate::talk::say;

/// Restart PostgreSQL: all nodes one by one, or those named
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Only these nodes
    #[arg(value_name = "NODE")]
    nodes: Vec<NodeName>,
    /// Only where parameters wait for a restart
    #[arg(long)]
    pending: bool,
    /// Only servers in this role
    #[arg(long, value_enum)]
    role: Option<Role>,
    /// Only where PostgreSQL is older, such as 15.9
    #[arg(long, value_name = "VERSION")]
    older_than: Option<String>,
    /// Not now but then: RFC 3339, or +10min
    #[arg(long, value_name = "TIME", conflicts_with = "cancel")]
    at: Option<String>,
    /// Drop the restarts that are planned
    #[arg(long, conflicts_with_all = ["pending", "role", "older_than"])]
    cancel: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

/// What a server is.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    Primary,
    #[value(alias = "replica")]
    Standby,
}

impl Role {
    /// Patroni's word, which HTTP takes.
    pub fn word(self) -> &'static str {
        match self {
            Role::Primary => "primary",
            Role::Standby => "replica",
        }
    }
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    order::check_nodes(&file.spec, &args.nodes)?;
    if args.cancel {
        return args.form.tell(cancel(&file, &args.nodes));
    }
    let mut body = json!({ "nodes": args.nodes, "restart_pending": args.pending });
    if let Some(role) = args.role {
        body["role"] = json!(role.word());
    }
    if let Some(version) = &args.older_than {
        body["postgres_version"] = json!(version);
    }
    match &args.at {
        Some(at) => body["at"] = json!(order::moment(at)?),
        None => say("restarting one after the other; this answers when it is done"),
    }
    order::give(&file, "/restart", &body, args.form)
}

/// Drops what is planned for these nodes, or for any. The nodes are asked and not the status,
/// which may be a moment old.
pub fn cancel(file: &ClusterFile, nodes: &[NodeName]) -> anyhow::Result<Receipt> {
    let asker = Asker::of_file(file);
    let all = file.spec.nodes.keys().filter(|node| nodes.is_empty() || nodes.contains(node));
    let mut told: Vec<Receipt> = Vec::new();
    for node in all {
        let path = format!("/restart?node={node}");
        let answer = block_on(asker.send(Method::DELETE, &path, String::new()))?;
        if answer.code != NONE_PLANNED {
            told.push(read_receipt(&answer)?);
        }
    }
    let message: Vec<String> = told.iter().map(|receipt| receipt.message.clone()).collect();
    let nodes = told.iter().flat_map(|receipt| receipt.nodes.clone()).collect();
    let first = told.into_iter().next();
    let first =
        first.ok_or_else(|| Failure::failed("no restart is planned").hint("howdah status"))?;
    Ok(Receipt { message: message.join("\n"), nodes, ..first })
}

/// 404 of `DELETE /restart`.
const NONE_PLANNED: u16 = 404;
