//! Whether a Patroni node can be taken over now, and what changes.

use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use howdah_import::patroni::Synchronous;
use howdah_spec::{ClusterSpec, Durability, StoreSpec};

use super::super::judge::{Check, Level, check, libraries, owner, place, rewinding, version};
use super::Step;
use super::here::{Here, Seen};
use super::rest::{Member, Who};
use crate::facts;
use crate::prepare::here::is_one_machine;

/// A standby that is further behind needs its time after the restart, bytes.
const LAG_MAX: u64 = 16 << 20;
/// A member of etcd that does not take a connection by then is told of.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Everything that counts, the heaviest last.
pub fn judge(here: &Here, seen: &Seen, spec: &ClusterSpec) -> Vec<Check> {
    let found = &seen.found;
    let mut checks = vec![
        place(found, spec, &here.node),
        version(found, here.install.major),
        owner(found, spec),
        rewinding(found),
        process(here),
        pausing(here, seen),
    ];
    checks.extend(cluster(here, seen, spec));
    checks.extend(ports(here));
    checks.extend(server(here, seen, spec));
    checks.extend(sizes(here, seen, spec));
    checks.extend(store(spec));
    checks.extend(first(here, seen, spec));
    if seen.leads(here) {
        checks.extend(seen.others.iter().map(|(member, who)| before(member, who)));
    }
    checks.sort_by_key(|check| check.level);
    checks
}

/// How Patroni runs here, and whether it can be stopped without PostgreSQL.
fn process(here: &Here) -> Check {
    let Some(daemon) = &here.daemon else {
        return match here.step() {
            Some(Step::Daemon) => check(Level::Well, "Patroni's process is stopped here", ""),
            _ => check(Level::Stop, "no Patroni runs here with this file", "start it"),
        };
    };
    if daemon.pid == 1 {
        let what = "Patroni is the first process of a container, which ends with it";
        return check(Level::Stop, what, "a new standby outside of it can join; see docs/adopt.md");
    }
    match &daemon.unit {
        Some(unit) if !unit.spares_postgresql() => {
            let what = format!(
                "{} has KillMode={}: PostgreSQL would be killed",
                unit.name, unit.kill_mode
            );
            let then =
                format!("systemctl edit {}, with `KillMode=process` in [Service]", unit.name);
            check(Level::Stop, what, then)
        }
        _ => check(Level::Change, daemon.told(), "it is stopped; PostgreSQL runs on meanwhile"),
    }
}

fn pausing(here: &Here, seen: &Seen) -> Check {
    let version = seen.own.as_ref().map(|said| said.version.clone()).unwrap_or_default();
    match &seen.own {
        Some(said) if said.paused => check(Level::Well, format!("Patroni {version} is paused"), ""),
        Some(_) if here.config.restapi.user.is_none() => check(
            Level::Change,
            format!("Patroni {version} runs, and takes changes from anybody"),
            "it is paused, on all nodes",
        ),
        Some(_) => check(
            Level::Change,
            format!("Patroni {version} is paused, for all nodes"),
            "it does nothing then",
        ),
        None => check(Level::Well, "Patroni has been paused", ""),
    }
}

/// Whether all is well with it, and nothing in it that Howdah has not.
fn cluster(here: &Here, seen: &Seen, spec: &ClusterSpec) -> Vec<Check> {
    let mut checks = Vec::new();
    let dynamic = &here.config.bootstrap_dcs;
    if dynamic.standby_cluster || seen.members.iter().any(|member| member.role == "standby_leader")
    {
        let then = "end its standby_cluster first: there is nothing like it yet";
        checks.push(check(Level::Stop, "it follows a cluster elsewhere", then));
    }
    if dynamic.synchronous != Synchronous::Off && spec.durability == Durability::Async {
        let what = "Patroni waits for a synchronous standby, and the cluster file does not";
        checks.push(check(Level::Warning, what, "write `durability = \"quorum\"`"));
    }
    let leader = seen.members.iter().find(|member| member.name == seen.leader);
    let timeline = leader.and_then(|leader| leader.timeline);
    for member in &seen.members {
        checks.extend(member_is_well(member, timeline));
    }
    let unknown = seen.members.iter().filter(|member| !is_node(spec, member));
    checks.extend(unknown.map(|member| {
        let what =
            format!("the cluster file has no node at {}'s REST API, {}", member.name, member.api);
        check(Level::Stop, what, "howdah import, with the patroni.yml of every node")
    }));
    checks
}

fn is_node(spec: &ClusterSpec, member: &Member) -> bool {
    spec.nodes.values().any(|node| crate::ask::http_address(node) == member.api)
}

fn member_is_well(member: &Member, timeline: Option<u64>) -> Option<Check> {
    let name = &member.name;
    if member.state.is_empty() {
        // Its Patroni has been stopped by us, and is told of by `before`.
        return None;
    }
    if !member.runs() {
        let then = "a cluster is taken over while it is well; patronictl list";
        return Some(check(Level::Warning, format!("{name} is {}", member.state), then));
    }
    if member.timeline.is_some() && member.timeline != timeline {
        let then = "wait until it follows its leader";
        return Some(check(Level::Warning, format!("{name} is on another timeline"), then));
    }
    let lag = member.lag.filter(|lag| *lag > LAG_MAX)?;
    let what = format!("{name} is {} MB behind", lag >> 20);
    Some(check(Level::Warning, what, "better when it has caught up"))
}

/// HAProxy and clients go on unchanged when both stay.
fn ports(here: &Here) -> Vec<Check> {
    let theirs = &here.config;
    let rest = theirs.restapi.listen.as_ref().map_or(8008, |listen| listen.port);
    let postgres = theirs.postgresql.listen.as_ref().map_or(5432, |listen| listen.port);
    let one = |what: &str, key: &str, theirs: u16, ours: u16| {
        if theirs == ours {
            return check(Level::Well, format!("{what} stays on port {ours}"), "");
        }
        let then = format!("to keep it: `{key} = {theirs}` in `[nodes.{}]`", here.node);
        check(Level::Warning, format!("{what} moves from port {theirs} to {ours}"), then)
    };
    vec![
        one("PostgreSQL", "postgres_port", postgres, here.spec.postgres_port),
        one("the REST API, which HAProxy asks,", "http_port", rest, here.spec.http_port),
    ]
}

fn server(here: &Here, seen: &Seen, spec: &ClusterSpec) -> Vec<Check> {
    let Some(running) = &seen.found.running else {
        return vec![check(Level::Stop, "its PostgreSQL does not run", "patronictl list")];
    };
    let mut checks = vec![check(
        Level::Change,
        format!("PostgreSQL runs as process {} with {} clients", running.pid, running.clients),
        "it is stopped (fast) and started once: sessions end",
    )];
    if running.in_recovery == seen.leads(here) {
        let what = "what PostgreSQL says of its role is not what Patroni says";
        checks.push(check(Level::Stop, what, "wait until Patroni has settled"));
    }
    let socket = &running.socket_dir;
    if !socket.as_os_str().is_empty() {
        let what = format!("its socket in {} goes away", socket.display());
        checks.push(check(Level::Change, what, "clients of this machine connect by TCP"));
    }
    checks.extend(libraries(running, spec));
    if running.archive_mode != "off" && !spec.postgresql.parameters.contains_key("archive_mode") {
        let what = format!("it archives its WAL: `{}`", running.archive_command);
        let then = "keep `archive_mode` and `archive_command` in `[postgresql.parameters]`";
        checks.push(check(Level::Warning, what, then));
    }
    checks.push(check(
        Level::Change,
        format!("PostgreSQL's rules are in `{}`", running.hba_file.display()),
        "the cluster file's `hba` takes their place; what is not there is refused",
    ));
    checks
}

/// A standby that Patroni still runs stops replaying when its primary has more of these; given
/// back, it would not start.
fn sizes(here: &Here, seen: &Seen, spec: &ClusterSpec) -> Option<Check> {
    let machine = facts::machine(spec);
    let wanted = howdah_spec::effective(spec, &here.node, &machine, here.install.major);
    let differs = |(name, now): (&String, &u64)| {
        let wanted: u64 = wanted.get(name)?.value.parse().ok()?;
        (wanted != *now).then(|| format!("{name} = {now}"))
    };
    let lines: Vec<String> = seen.found.control.sizes.iter().filter_map(differs).collect();
    (!lines.is_empty()).then(|| {
        let what = "some sizes would change while half of the nodes are Patroni's";
        let then = format!(
            "write into `[postgresql.parameters]`: {}; howdah apply changes them afterwards",
            lines.join(", ")
        );
        check(Level::Stop, what, then)
    })
}

/// That etcd takes connections; whether it lets us in is seen before anything is stopped.
fn store(spec: &ClusterSpec) -> Vec<Check> {
    let etcd = match &spec.store {
        StoreSpec::Etcd(etcd) if !etcd.managed => etcd,
        StoreSpec::Etcd(_) => return Vec::new(),
        StoreSpec::Embedded { .. } if is_one_machine(spec) => return Vec::new(),
        StoreSpec::Embedded { .. } => {
            let then = "write `[store.etcd]` with its `endpoints`";
            return vec![check(Level::Stop, "several machines need etcd for a store", then)];
        }
    };
    let answers = |endpoint: &&String| {
        let address = endpoint.split_once("://").map_or(endpoint.as_str(), |(_, rest)| rest);
        let addresses = address.to_socket_addrs().into_iter().flatten();
        addresses.into_iter().any(|at| TcpStream::connect_timeout(&at, CONNECT_WITHIN).is_ok())
    };
    let (well, silent): (Vec<&String>, Vec<&String>) =
        etcd.endpoints.iter().partition(|e| answers(e));
    let level = if well.is_empty() { Level::Stop } else { Level::Warning };
    let mut checks: Vec<Check> = silent
        .iter()
        .map(|endpoint| check(level, format!("etcd does not answer: `{endpoint}`"), "is it up?"))
        .collect();
    if !well.is_empty() {
        checks.push(check(
            Level::Well,
            format!("etcd answers; the cluster's keys go to {}", etcd.prefix),
            "",
        ));
    }
    checks
}

/// On several machines the file says where the cluster's CA is made; an empty node that starts
/// earlier would create a cluster of its own.
fn first(here: &Here, seen: &Seen, spec: &ClusterSpec) -> Option<Check> {
    let led = seen.members.iter().find(|member| member.name == seen.leader)?;
    let leader = spec.nodes.iter().find(|(_, node)| crate::ask::http_address(node) == led.api);
    let (leader, _) = leader?;
    let named = spec.first_node.as_ref();
    let needed = !is_one_machine(spec) || spec.nodes.len() > seen.members.len();
    if named == Some(leader) || named.is_none() && !needed {
        return None;
    }
    let what = format!("the cluster begins on {leader}, which leads now; the file does not say so");
    let then = format!("write `first_node = \"{leader}\"` at the top of it, on every machine");
    // A standby that is waiting already would wait for another node.
    let level = if here.step().is_some() { Level::Warning } else { Level::Stop };
    Some(check(level, what, then))
}

/// The leader comes last: until then every other server follows it.
fn before(member: &Member, who: &Who) -> Check {
    let name = &member.name;
    match who {
        Who::Nobody => check(Level::Well, format!("{name}'s Patroni is stopped"), ""),
        Who::Howdah(_) => check(Level::Well, format!("{name} is Howdah's"), ""),
        Who::Patroni(_) => {
            let what = format!("{name} comes first: its Patroni still runs");
            check(Level::Stop, what, "on its machine: howdah adopt --patroni FILE --yes")
        }
        Who::Unknown(why) => check(
            Level::Stop,
            format!("whether {name}'s Patroni runs cannot be told: {why}"),
            "on its machine: howdah adopt --patroni FILE --yes",
        ),
    }
}
