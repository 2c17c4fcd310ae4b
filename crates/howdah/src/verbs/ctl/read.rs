//! Patronictl's verbs that change nothing: dsn, history, query, version.

use howdah_base::NodeName;
use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, NodeStatus};
use serde_json::Value;

use super::Place;
use super::args::{Dsn, History, Query, Role, Version};
use super::list::again;
use crate::ask::{Asker, block_on};
use crate::failure::Failure;
use crate::output::{Format, Table};
use crate::talk::out;
use crate::verbs::psql::Choice;
use crate::verbs::{query, version};

pub fn dsn(place: &Place, args: &Dsn) -> anyhow::Result<()> {
    let file = place.cluster(args.cluster.as_deref())?;
    let status = block_on(Asker::of_file(&file).status())?;
    let found = match &args.member {
        Some(member) => status.nodes.iter().find(|node| node.node == *member),
        None => of_role(&status, args.role.unwrap_or(Role::Leader)).into_iter().next(),
    };
    let node = found.ok_or_else(|| Failure::failed("no member fits").hint("howdah list"))?;
    out(format!("host={} port={}", node.host, node.postgres_port));
    Ok(())
}

/// The members that have the role now.
pub fn of_role(status: &ClusterStatus, role: Role) -> Vec<&NodeStatus> {
    let leads = |node: &NodeStatus| status.leader.as_ref() == Some(&node.node);
    let fits = |node: &&NodeStatus| match role {
        Role::Leader | Role::Primary => leads(node),
        Role::StandbyLeader => false,
        Role::Replica | Role::Standby => {
            matches!(node.state, ServerState::Streaming | ServerState::Standby)
        }
        Role::Any => node.alive,
    };
    status.nodes.iter().filter(fits).collect()
}

pub fn history(place: &Place, args: &History) -> anyhow::Result<()> {
    let file = place.cluster(args.cluster.as_deref())?;
    let answers = block_on(Asker::of_file(&file).each("/history"))?;
    let lines = answers
        .into_iter()
        .find_map(|(_, answer)| serde_json::from_str::<Vec<Vec<Value>>>(&answer.ok()?.body).ok());
    let rows =
        lines.ok_or_else(|| Failure::failed("no node told the history").hint("howdah status"))?;
    let columns = ["TL", "LSN", "Reason", "Timestamp", "New Leader"].map(str::to_owned).to_vec();
    out(Table { title: None, columns, rows, right: vec!["TL", "LSN"] }.print(args.format));
    Ok(())
}

pub fn version(place: &Place, args: &Version) -> anyhow::Result<()> {
    out(format!("patronictl version {} (howdah)", env!("CARGO_PKG_VERSION")));
    let Some(cluster) = &args.cluster else { return Ok(()) };
    let file = place.cluster(Some(cluster))?;
    out("");
    for (node, answer) in block_on(Asker::of_file(&file).each("/patroni"))? {
        if args.members.is_empty() || args.members.contains(&node) {
            out(answer
                .and_then(|answer| told(&node, &answer.body))
                .unwrap_or_else(|error| format!("{node}: failed to get version: {error}")));
        }
    }
    Ok(())
}

fn told(node: &NodeName, body: &str) -> Result<String, String> {
    let body: Value = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let howdah = body["howdah"]["version"].as_str().unwrap_or("unknown");
    let server = body["server_version"].as_u64();
    let server = server.map(|number| format!(" PostgreSQL {}", version::of_number(number)));
    Ok(format!("{node}: Howdah {howdah}{}", server.unwrap_or_default()))
}

pub fn query(place: &Place, args: &Query) -> anyhow::Result<()> {
    let file = place.cluster(args.cluster.as_deref())?;
    let endpoint = match args.role.unwrap_or(Role::Leader) {
        Role::Leader | Role::Primary => Choice::Rw,
        Role::Replica | Role::Standby => Choice::Ro,
        Role::Any => Choice::Any,
        Role::StandbyLeader => return Err(Failure::failed("no member fits").into()),
    };
    let asked = query::Asked {
        sql: args.command.as_deref(),
        from: args.sql_file.as_deref(),
        endpoint,
        node: args.member.as_ref(),
        role: args.username.as_deref(),
        database: args.dbname.as_deref(),
    };
    again(args.watch.period(), || {
        let table = query::ask(&file, &asked)?;
        Ok(match args.format {
            Format::Tsv => table.separated(&args.delimiter),
            format => table.print(format),
        })
    })
}
