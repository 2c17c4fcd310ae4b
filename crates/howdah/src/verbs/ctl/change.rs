//! Patronictl's verbs that change something, as requests to Howdah's nodes.

use std::time::Duration;

use howdah_api::client::Method;
use howdah_base::NodeName;
use howdah_base::record::ServerState;
use howdah_base::status::ClusterStatus;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::args::{Failover, Flush, Pause, Reinit, Reload, Restart, Role, Switchover};
use super::list;
use super::members::{service_info, table};
use super::read::of_role;
use super::{Place, confirm};
use crate::ask::{Asker, block_on};
use crate::failure::{Exit, Failure};
use crate::file::ClusterFile;
use crate::order::{self, check_nodes, send};
use crate::output::Format;
use crate::talk::{out, say};
use crate::verbs::flush::flush_switchover;
use crate::verbs::pause::until_known;
use crate::verbs::restart::cancel;

pub fn switchover(place: &Place, args: &Switchover) -> anyhow::Result<()> {
    let file = place.cluster(args.cluster.as_deref())?;
    let status = shown(&file)?;
    let leader = args.leader.clone().or(status.leader);
    let leader = leader.ok_or_else(|| Failure::failed("this cluster has no leader"))?;
    let mut body = json!({ "leader": leader, "candidate": args.candidate });
    if let Some(at) = scheduled(args.scheduled.as_deref())? {
        body["scheduled_at"] = json!(at);
    }
    let to = args.candidate.as_ref().map_or("the best replica", NodeName::as_str);
    let question = format!(
        "Are you sure you want to switchover cluster {}, demoting current leader {leader} in \
         favour of {to}?",
        file.spec.cluster
    );
    confirm(&question, args.force)?;
    finish(&file, "/switchover", &body)
}

pub fn failover(place: &Place, args: &Failover) -> anyhow::Result<()> {
    let file = place.cluster(args.cluster.as_deref())?;
    shown(&file)?;
    let Some(candidate) = &args.candidate else {
        return Err(Failure::bad_input("a failover needs a candidate")
            .hint("--candidate MEMBER")
            .into());
    };
    let mut body = json!({ "candidate": candidate });
    if let Some(leader) = &args.leader {
        body["leader"] = json!(leader);
    }
    let question =
        format!("Are you sure you want to failover cluster {} to {candidate}?", file.spec.cluster);
    confirm(&question, args.force)?;
    finish(&file, "/failover", &body)
}

/// The cluster before something is done to it.
fn shown(file: &ClusterFile) -> anyhow::Result<ClusterStatus> {
    let status = block_on(Asker::of_file(file).status())?;
    say("Current cluster topology");
    say(table(&status, false, Format::Pretty).print(Format::Pretty) + &service_info(&status));
    Ok(status)
}

fn finish(file: &ClusterFile, path: &str, body: &Value) -> anyhow::Result<()> {
    out(send(file, Method::POST, path, body)?.message);
    let view = super::args::View::default();
    list::run(file, &view, Format::Pretty)
}

/// `now`, or a moment.
fn scheduled(text: Option<&str>) -> anyhow::Result<Option<String>> {
    match text {
        None | Some("now" | "") => Ok(None),
        Some(text) => order::moment(text).map(Some),
    }
}

pub fn restart(place: &Place, args: &Restart) -> anyhow::Result<()> {
    let file = place.cluster(Some(&args.cluster))?;
    let status = shown(&file)?;
    let mut members = members(&file, &status, &args.members, args.role)?;
    members.truncate(if args.one { 1 } else { members.len() });
    confirm(&format!("Are you sure you want to restart members {}?", words(&members)), args.force)?;
    let mut body = json!({ "nodes": members, "restart_pending": args.pending });
    if let Some(version) = &args.pg_version {
        body["postgres_version"] = json!(version);
    }
    if let Some(timeout) = &args.timeout {
        body["timeout"] = json!(timeout);
    }
    if let Some(at) = scheduled(args.scheduled.as_deref())? {
        body["schedule"] = json!(at);
    }
    out(send(&file, Method::POST, "/restart", &body)?.message);
    Ok(())
}

pub fn reload(place: &Place, args: &Reload) -> anyhow::Result<()> {
    let file = place.cluster(Some(&args.cluster))?;
    let status = shown(&file)?;
    let members = members(&file, &status, &args.members, args.role)?;
    confirm(&format!("Are you sure you want to reload members {}?", words(&members)), args.force)?;
    out(send(&file, Method::POST, "/reload", &json!({ "nodes": members }))?.message);
    Ok(())
}

pub fn reinit(place: &Place, args: &Reinit) -> anyhow::Result<()> {
    let file = place.cluster(Some(&args.cluster))?;
    shown(&file)?;
    if args.members.is_empty() {
        return Err(Failure::bad_input("name the members to reinitialize").into());
    }
    check_nodes(&file.spec, &args.members)?;
    let question = format!("Are you sure you want to reinitialize {}?", words(&args.members));
    confirm(&question, args.force)?;
    for member in &args.members {
        let body = json!({ "node": member, "from_leader": args.from_leader });
        let said = send(&file, Method::POST, "/reinitialize", &body)?.message;
        out(format!("{member}: {said}"));
    }
    if args.wait { block_on(until_streaming(&file, &args.members)) } else { Ok(()) }
}

/// A copy of a large directory takes hours; Ctrl-C ends the waiting and not the copy.
const COPY_WITHIN: Duration = Duration::from_secs(24 * 3600);
const LOOK_EVERY: Duration = Duration::from_secs(1);

async fn until_streaming(file: &ClusterFile, members: &[NodeName]) -> anyhow::Result<()> {
    let asker = Asker::of_file(file);
    let deadline = Instant::now() + COPY_WITHIN;
    while Instant::now() < deadline {
        let status = asker.status().await.ok();
        let done = |member: &NodeName| {
            let nodes = status.iter().flat_map(|status| &status.nodes);
            let mut own = nodes.filter(|node| node.node == *member);
            own.any(|node| node.order.is_none() && node.state == ServerState::Streaming)
        };
        if members.iter().all(done) {
            out("Reinitialize is completed");
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
    Err(Failure::new(Exit::TimedOut, "the copy has not come to its end").into())
}

pub fn flush(place: &Place, args: &Flush) -> anyhow::Result<()> {
    let file = place.cluster(Some(&args.cluster))?;
    let Some((target, names)) = args.words.split_last() else {
        return Err(Failure::bad_input("flush what? restart or switchover").into());
    };
    let names: Result<Vec<NodeName>, _> = names.iter().map(|name| name.parse()).collect();
    let names = names.map_err(|_| Failure::bad_input("not the name of a member"))?;
    match target.as_str() {
        "restart" => {
            let status = block_on(Asker::of_file(&file).status())?;
            let members = members(&file, &status, &names, args.role)?;
            let question = format!("Are you sure you want to flush members {}?", words(&members));
            confirm(&question, args.force)?;
            out(cancel(&file, &members)?.message);
            Ok(())
        }
        "switchover" => {
            out(flush_switchover(&file)?.message);
            Ok(())
        }
        other => {
            Err(Failure::bad_input(format!("not `restart` or `switchover`: `{other}`")).into())
        }
    }
}

pub fn pause(place: &Place, args: &Pause, paused: bool) -> anyhow::Result<()> {
    let file = place.cluster(args.cluster.as_deref())?;
    let path = if paused { "/pause" } else { "/resume" };
    let said = send(&file, Method::POST, path, &Value::Null)?.message;
    if args.wait {
        block_on(until_known(&file, paused))?;
    }
    let what = if paused { "paused" } else { "resumed" };
    out(format!("Success: cluster management is {what} ({said})"));
    Ok(())
}

/// Those named, or all, that have the role.
fn members(
    file: &ClusterFile,
    status: &ClusterStatus,
    named: &[NodeName],
    role: Role,
) -> anyhow::Result<Vec<NodeName>> {
    check_nodes(&file.spec, named)?;
    let fit = of_role(status, role).into_iter().map(|node| node.node.clone());
    let members: Vec<NodeName> =
        fit.filter(|node| named.is_empty() || named.contains(node)).collect();
    if members.is_empty() {
        return Err(Failure::failed("no member fits").hint("howdah list").into());
    }
    Ok(members)
}

fn words(members: &[NodeName]) -> String {
    members.iter().map(NodeName::as_str).collect::<Vec<_>>().join(", ")
}
