//! `howdah adopt`: an existing PostgreSQL becomes a node, without a dump. The plan comes first.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_spec::ClusterSpec;

use crate::adopt::give_back::GiveBack;
use crate::adopt::patroni::{self, Order};
use crate::adopt::{self, Address, Check, Found, Level};
use crate::ask::known_node;
use crate::facts;
use crate::failure::{Exit, Failure};
use crate::file::{ClusterFile, FileArg};
use crate::prepare::{Caller, prepare};
use crate::talk::{out, say};

/// Make an existing PostgreSQL a node of the cluster, or give it back: first a plan, then with --yes
#[derive(clap::Args, Debug)]
#[command(override_usage = USAGE)]
pub struct Args {
    /// Its data directory, or a URL of the running server (postgres://...)
    #[arg(value_name = "DATADIR|URL", required_unless_present_any = ["give_back", "patroni"])]
    source: Option<String>,
    #[command(flatten)]
    file: FileArg,
    /// Which node it becomes [default: the one whose data_dir it is]
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
    /// The role to ask the running server with [default: named as the server's system user]
    #[arg(long, value_name = "ROLE")]
    superuser: Option<String>,
    /// Do it
    #[arg(long)]
    yes: bool,
    /// Give it back: configured and run as before, with all that was written since
    #[arg(long)]
    give_back: bool,
    /// Take this node of a running Patroni cluster over: standbys first, then the leader
    #[arg(long, value_name = "PATRONI.YML", conflicts_with_all = ["source", "give_back", "superuser"])]
    patroni: Option<PathBuf>,
    /// With --patroni: give this node back to Patroni, as it was
    #[arg(long, requires = "patroni", conflicts_with_all = ["yes", "finish"])]
    abort: bool,
    /// With --patroni: all nodes are taken over; remove what Patroni has left
    #[arg(long, requires = "patroni", conflicts_with = "yes")]
    finish: bool,
    /// With --patroni: how long a standby waits for the leader to be taken over, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600, requires = "patroni")]
    wait: u64,
    /// Print the plan as JSON
    #[arg(long)]
    json: bool,
}

const USAGE: &str = "\
howdah adopt [OPTIONS] <DATADIR|URL>
       howdah adopt [OPTIONS] --give-back <DATADIR|--node NODE>
       howdah adopt [OPTIONS] --patroni <PATRONI.YML> [--abort|--finish]";

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = load(args)?;
    if let Some(patroni) = &args.patroni {
        return of_patroni(args, &file, patroni);
    }
    if args.give_back {
        return give_back(args, &file);
    }
    let source = args.source.as_deref().unwrap_or_default();
    let address = Address::parse(source);
    let data_dir = data_dir(source)?;
    let node = node(&file.spec, args.node.as_ref(), &data_dir)?;
    let install = facts::install(&file.spec, &data_dir)?;
    let user = address.as_ref().and_then(|address| address.user.as_deref());
    let password = address.as_ref().and_then(|address| address.password.as_ref());
    let superuser = args.superuser.as_deref().or(user);
    let found = adopt::look_as(&install, &data_dir, superuser, password)?;
    let checks = adopt::judge(&found, &file.spec, &node, install.major);
    show(args, &found, &node, &checks)?;
    if checks.iter().any(|check| check.level == Level::Stop) {
        return Err(Failure::failed("it cannot be adopted like this; nothing was changed").into());
    }
    if !args.yes {
        say(format!("nothing was changed; to do it: {} --yes", typed(args, &file)));
        return Ok(());
    }
    let prepared = prepare(&file, Caller::Prepare)?;
    adopt::take::take(&prepared, &install, &found, password, &node)?;
    start(&file, &node)
}

/// Who has a PostgreSQL and no cluster file gets one from what configures it.
fn load(args: &Args) -> anyhow::Result<ClusterFile> {
    let found = args.file.find().map_err(|error| match error.downcast::<Failure>() {
        Ok(failure) => {
            let from = match (&args.patroni, args.source.as_deref()) {
                (Some(patroni), _) => patroni.display().to_string(),
                (None, Some(dir)) if Path::new(dir).join("postgresql.conf").is_file() => {
                    format!("{dir}/postgresql.conf {dir}/pg_hba.conf")
                }
                (None, _) => "POSTGRESQL.CONF PG_HBA.CONF".to_owned(),
            };
            let to = args.file.file.as_ref().map(|path| format!(" --output {}", path.display()));
            let to = to.unwrap_or_default();
            failure
                .hint(format!("howdah import {from}{to}, which makes one; read it, then adopt"))
                .into()
        }
        Err(error) => error,
    });
    found.and_then(|_| args.file.load())
}

fn give_back(args: &Args, file: &ClusterFile) -> anyhow::Result<()> {
    let node = match (&args.source, &args.node) {
        (None, Some(node)) => known_node(&file.spec, node)?.0.clone(),
        (None, None) => {
            return Err(Failure::bad_input("which one is it? name its directory, or --node").into());
        }
        (Some(source), named) => {
            let at = node(&file.spec, None, &data_dir(source)?)?;
            if let Some(other) = named.as_ref().filter(|named| **named != at) {
                let what = format!("this directory is node {at}'s, not {other}'s: `{source}`");
                return Err(Failure::bad_input(what).into());
            }
            at
        }
    };
    let Some(order) = GiveBack::of(&file.spec, &node)? else {
        say(format!("node {node} was given back already; nothing is left to do"));
        return Ok(());
    };
    let checks = order.plan()?;
    if args.json {
        let plan = serde_json::json!({ "title": order.title(), "checks": checks });
        out(serde_json::to_string_pretty(&plan).context("write the plan")?);
    } else {
        out(order.title());
        show_checks(&checks);
    }
    if checks.iter().any(|check| check.level == Level::Stop) {
        return Err(Failure::failed("it cannot be given back yet; nothing was changed").into());
    }
    if !args.yes {
        let typed = &file.typed;
        say(format!(
            "nothing was changed; to do it: howdah adopt --give-back --node {node}{typed} --yes"
        ));
        return Ok(());
    }
    order.carry_out()
}

fn of_patroni(args: &Args, file: &ClusterFile, patroni: &Path) -> anyhow::Result<()> {
    let node = args.node.as_ref();
    let order = Order { file, patroni, node, wait: Duration::from_secs(args.wait) };
    if args.abort {
        return patroni::abort(&order);
    }
    if args.finish {
        return patroni::finish(&order);
    }
    let plan = patroni::plan(&order)?;
    if args.json {
        let plan = serde_json::json!({ "title": plan.title, "checks": plan.checks });
        out(serde_json::to_string_pretty(&plan).context("write the plan")?);
    } else {
        out(&plan.title);
        show_checks(&plan.checks);
    }
    let stops = plan.checks.iter().any(|check| check.level == Level::Stop);
    if args.yes || stops {
        return patroni::carry_out(&order, plan);
    }
    let file = patroni.display();
    say(format!(
        "nothing was changed; to do it: howdah adopt --patroni {file}{} --yes",
        order.file.typed
    ));
    Ok(())
}

fn show(args: &Args, found: &Found, node: &NodeName, checks: &[Check]) -> anyhow::Result<()> {
    if args.json {
        let plan = serde_json::json!({
            "data_dir": found.data_dir,
            "node": node,
            "system_identifier": found.control.system_identifier.to_string(),
            "checks": checks,
        });
        out(serde_json::to_string_pretty(&plan).context("write the plan")?);
        return Ok(());
    }
    out(format!("{} becomes node {node}:", found.data_dir.display()));
    show_checks(checks);
    Ok(())
}

fn show_checks(checks: &[Check]) {
    for check in checks {
        let mark = match check.level {
            Level::Well => "  ok      ",
            Level::Change => "  change  ",
            Level::Warning => "  warning ",
            Level::Stop => "  STOP    ",
        };
        let then = check.then.as_ref().map(|then| format!(": {then}")).unwrap_or_default();
        out(format!("{mark}{}{then}", check.what));
    }
}

fn typed(args: &Args, file: &ClusterFile) -> String {
    let source = args.source.as_deref().unwrap_or_default();
    let address = Address::parse(source);
    let secret = address.as_ref().is_some_and(|address| address.password.is_some());
    let secret = if secret { "PGPASSWORD=... " } else { "" };
    let source = address.as_ref().map_or(source, |address| &address.url);
    let node = args.node.as_ref().map(|node| format!(" --node {node}")).unwrap_or_default();
    let role = args.superuser.as_ref().map(|role| format!(" --superuser {role}"));
    format!("{secret}howdah adopt {source}{}{node}{}", file.typed, role.unwrap_or_default())
}

/// A directory is taken as it is; a URL leads to the server, which names its directory.
fn data_dir(source: &str) -> anyhow::Result<PathBuf> {
    let Some(address) = Address::parse(source) else {
        let path = std::path::absolute(source).context("find the working directory")?;
        return path.canonicalize().map_err(|error| {
            Failure::bad_input(format!("no such directory ({error}): `{source}`")).into()
        });
    };
    let mut psql = Command::new("psql");
    psql.args(["-X", "-A", "-t", "-q", "-w", "-d", &address.url, "-c", "show data_directory"]);
    if let Some(password) = &address.password {
        psql.env("PGPASSWORD", password.expose());
    }
    let output = psql.env("PGCONNECT_TIMEOUT", "5").stdin(Stdio::null()).output();
    let output = output.context("run psql")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !output.status.success() {
        return Err(Failure::new(Exit::Failed, format!("the server does not answer: {said}"))
            .hint("a password can stand in the URL, in PGPASSWORD or in ~/.pgpass; the role needs pg_read_all_settings")
            .into());
    }
    let path = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    path.canonicalize().map_err(|_| {
        Failure::failed(format!("its directory is not on this machine: `{}`", path.display()))
            .hint("run howdah adopt on the server's own machine")
            .into()
    })
}

fn node(spec: &ClusterSpec, named: Option<&NodeName>, data_dir: &Path) -> anyhow::Result<NodeName> {
    if let Some(named) = named {
        return Ok(known_node(spec, named)?.0.clone());
    }
    adopt::node_at(spec, data_dir).cloned().ok_or_else(|| {
        let first = spec.nodes.keys().next().map_or("n1", NodeName::as_str);
        let what = format!("no node has its data there: `{}`", data_dir.display());
        let hint = format!("write `data_dir = {data_dir:?}` in `[nodes.{first}]`");
        Failure::bad_input(what).hint(hint).into()
    })
}

/// With all nodes on this machine the cluster is started at once: the sooner, the better.
fn start(file: &ClusterFile, node: &NodeName) -> anyhow::Result<()> {
    let mut hosts = file.spec.nodes.values().map(|node| node.host.as_str());
    let first = hosts.next().unwrap_or_default();
    if !hosts.all(|host| host == first) {
        say(format!("start it now: howdah run --node {node}{}", file.typed));
        return Ok(());
    }
    let exe = std::env::current_exe().context("find this program")?;
    let status = Command::new(exe)
        .args(["up", "--detach", "-f"])
        .arg(&file.path)
        .status()
        .context("run howdah up")?;
    anyhow::ensure!(status.success(), "howdah up ended with {status}");
    Ok(())
}
