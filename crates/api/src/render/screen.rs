//! `howdah status`: the whole cluster on one screen.

use std::collections::BTreeSet;
use std::fmt::Write;

use howdah_base::record::NO_LOSS;
use howdah_base::status::{ClusterStatus, NodeStatus};

use super::problems;
use super::table::{cells, table};
use super::words::{NOTHING, lag, moment, role, size, state};

/// Who is what, how far behind, where clients connect, and what is wrong.
pub fn screen(status: &ClusterStatus) -> String {
    let parts = [
        head(status),
        nodes(status),
        endpoints(status),
        super::backups::backups(status),
        opted_out(status),
        verdict(status),
    ];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn head(status: &ClusterStatus) -> String {
    let leader = status.leader.as_ref().map_or("no leader".to_owned(), |n| format!("leader {n}"));
    let store = &status.store;
    let planned = status.planned.as_ref().map(|planned| {
        let to = planned.to.as_ref().map_or("the best standby".to_owned(), ToString::to_string);
        let (at, by) = (moment(planned.at_unix_ms), &planned.by);
        format!("planned: a switchover to {to} at {at} UTC, asked for by {by}\n")
    });
    let restarts = status.nodes.iter().filter_map(restart).collect::<String>();
    let reachable = if store.reachable { "reachable" } else { "not reachable" };
    format!(
        "cluster {}, {leader}, term {}, as {} sees it\n\
         durability {}: {}\n{}\
         store {}: {reachable}; cluster file: revision {}\n{}{}{restarts}",
        status.cluster,
        status.term,
        status.seen_by,
        status.durability,
        spare(status),
        rpo(status),
        store.kind,
        status.config_revision,
        lost(status),
        planned.unwrap_or_default(),
    )
}

/// What the present leader may lack of the last one's.
fn lost(status: &ClusterStatus) -> String {
    let last = status.history.last().filter(|change| change.loss != NO_LOSS);
    last.map_or_else(String::new, |change| {
        let from = change.from.as_ref().map_or(NOTHING.to_owned(), ToString::to_string);
        let (term, leader) = (change.term, &change.leader);
        format!("lost when {leader} took over from {from} (term {term}): {}\n", change.loss)
    })
}

/// What was given up is among the problems.
fn restart(node: &NodeStatus) -> Option<String> {
    let plan = node.restart.as_ref().filter(|plan| plan.given_up.is_none())?;
    let (name, by) = (&node.node, &plan.by);
    Some(match plan.begun_unix_ms {
        Some(_) => format!("under way: the planned restart of {name}, asked for by {by}\n"),
        None => {
            let at = moment(plan.at_unix_ms);
            format!("planned: a restart of {name} at {at} UTC, asked for by {by}\n")
        }
    })
}

/// What one more loss would cost: with voters never a commit, at worst the service.
fn spare(status: &ClusterStatus) -> String {
    let alone = !status.nodes.iter().any(|node| node.voter);
    let said = match status.nodes_spare {
        None if status.durability == "async" => {
            return "commits of the last moments may be lost with the leader's host".to_owned();
        }
        None => "how many nodes may be lost is not known yet",
        Some(0) if alone => "no node may be lost now: commits are on one node only",
        Some(0) => {
            "no node may be lost now: writes might stop until it is back (nothing acknowledged \
             would be lost)"
        }
        Some(1) => "1 node may be lost: writes go on, and no acknowledged commit is lost",
        Some(more) => {
            return format!(
                "{more} nodes may be lost: writes go on, and no acknowledged commit is lost"
            );
        }
    };
    said.to_owned()
}

/// What is lost with the leader's host if that is lost now.
fn rpo(status: &ClusterStatus) -> String {
    let Some(rpo) = status.rpo else { return String::new() };
    let promised = status.durability != "async";
    let now = match (rpo.bytes, rpo.since_unix_ms) {
        (Some(0), _) if promised => "0, no acknowledged commit is on the leader only".to_owned(),
        (Some(0), _) => "0, at the last look a standby had all WAL; none is waited for".to_owned(),
        (Some(bytes), Some(since)) => {
            let (bytes, since) = (size(bytes), moment(since));
            format!("{bytes} of WAL that no standby has confirmed, written since {since} UTC")
        }
        (Some(bytes), None) => format!("{} of WAL that no standby has confirmed", size(bytes)),
        (None, _) => "not known, no standby has confirmed anything yet".to_owned(),
    };
    format!("RPO now: {now}\n")
}

fn nodes(status: &ClusterStatus) -> String {
    let head = ["NODE", "ROLE", "STATE", "SYNC", "TIMELINE", "LSN", "LAG", "ADDRESS"];
    let mut rows = vec![cells(head)];
    rows.extend(status.nodes.iter().map(node));
    table(&rows)
}

fn node(node: &NodeStatus) -> Vec<String> {
    let nothing = || NOTHING.to_owned();
    let position = node.position;
    vec![
        node.node.to_string(),
        role(node).to_owned(),
        state(node).to_owned(),
        if node.voter { "voter".to_owned() } else { nothing() },
        position.map_or_else(nothing, |position| position.timeline.to_string()),
        position.map_or_else(nothing, |position| position.lsn.to_string()),
        lag(node),
        address(&node.host, node.postgres_port),
    ]
}

/// One line a node, one column a kind of endpoint.
fn endpoints(status: &ClusterStatus) -> String {
    if status.endpoints.is_empty() {
        return String::new();
    }
    let kinds = kinds(status);
    let mut rows = vec![vec!["CLIENTS".to_owned()]];
    rows[0].extend(kinds.iter().map(|kind| kind.to_uppercase()));
    for name in status.endpoints.iter().map(|e| &e.node).collect::<BTreeSet<_>>() {
        let mut row = vec![name.to_string()];
        for kind in &kinds {
            let found = status.endpoints.iter().find(|e| e.node == *name && e.name == *kind);
            row.push(found.map_or(NOTHING.to_owned(), |e| address(&e.host, e.port)));
        }
        rows.push(row);
    }
    table(&rows)
}

/// In the order in which they first appear: the agent lists `rw` first.
fn kinds(status: &ClusterStatus) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for endpoint in &status.endpoints {
        if !kinds.contains(&endpoint.name.as_str()) {
            kinds.push(&endpoint.name);
        }
    }
    kinds
}

/// Not among what is wrong: whoever set it may have meant it. But it is to be seen.
fn opted_out(status: &ClusterStatus) -> String {
    let mut lines: Vec<String> = status
        .opted_out
        .iter()
        .map(|setting| format!("{setting}; undo: {}", setting.undo()))
        .collect();
    match status.opted_out_sessions {
        0 => {}
        1 => lines.push("1 session that asked for it when it connected".to_owned()),
        more => lines.push(format!("{more} sessions that asked for it when they connected")),
    }
    if lines.is_empty() {
        return String::new();
    }
    format!(
        "commits that do not wait for durability {}:\n  - {}\n",
        status.durability,
        lines.join("\n  - ")
    )
}

fn verdict(status: &ClusterStatus) -> String {
    let problems = problems(status);
    if problems.is_empty() {
        return "all is well\n".to_owned();
    }
    let mut text = "what is wrong:\n".to_owned();
    for problem in problems {
        // Writing to a string does not fail.
        let _ = writeln!(text, "  - {problem}");
    }
    text
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
