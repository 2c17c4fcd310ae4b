//! `howdah ctl`: patronictl's verbs and flags, for hands and scripts that know them.
//!
//! Also when the program is called `patronictl`. The cluster file takes the place of patronictl's
//! configuration: `-c`, else as for all verbs.

pub mod list;
pub mod members;
pub mod settings;

mod args;
mod change;
mod read;

use std::io::BufRead;
use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;

use crate::failure::Failure;
use crate::file::{ClusterFile, FileArg};
use crate::talk::say;

/// Patroni's patronictl: its verbs, flags and output
#[derive(clap::Args, Debug)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Args {
    /// The cluster file [default: $HOWDAH_FILE, else ./howdah.toml, else this machine's cluster]
    #[arg(short = 'c', long = "config-file", value_name = "FILE", global = false)]
    config: Option<PathBuf>,
    /// Refused: the cluster file says where the store is
    #[arg(short = 'd', long = "dcs-url", alias = "dcs", value_name = "URL", hide = true)]
    dcs: Option<String>,
    /// Without effect: nodes are known by the cluster's CA
    #[arg(short = 'k', long, hide = true)]
    insecure: bool,
    #[command(subcommand)]
    verb: Verb,
}

/// In patronictl's own order.
#[derive(Subcommand, Debug)]
enum Verb {
    Dsn(args::Dsn),
    #[command(name = "edit-config")]
    EditConfig(args::EditConfig),
    Failover(args::Failover),
    Flush(args::Flush),
    History(args::History),
    List(args::List),
    Pause(args::Pause),
    Query(args::Query),
    Reinit(args::Reinit),
    Reload(args::Reload),
    Remove(args::Remove),
    Restart(args::Restart),
    Resume(args::Pause),
    #[command(name = "show-config")]
    ShowConfig(args::Cluster),
    Switchover(args::Switchover),
    Topology(args::Topology),
    Version(args::Version),
    #[command(name = "demote-cluster", hide = true)]
    DemoteCluster(args::Cluster),
    #[command(name = "promote-cluster", hide = true)]
    PromoteCluster(args::Cluster),
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(url) = &args.dcs {
        return Err(Failure::bad_input(format!("a store cannot be named here: `{url}`"))
            .hint("the cluster file says where the store is: -c FILE")
            .into());
    }
    let place = Place { config: args.config.clone() };
    match &args.verb {
        Verb::Dsn(args) => read::dsn(&place, args),
        Verb::EditConfig(args) => {
            settings::edit(&place.cluster(args.cluster.as_deref())?, &args.edit)
        }
        Verb::Failover(args) => change::failover(&place, args),
        Verb::Flush(args) => change::flush(&place, args),
        Verb::History(args) => read::history(&place, args),
        Verb::List(args) => list::run(&place.clusters(&args.clusters)?, &args.view, args.format),
        Verb::Pause(args) => change::pause(&place, args, true),
        Verb::Query(args) => read::query(&place, args),
        Verb::Reinit(args) => change::reinit(&place, args),
        Verb::Reload(args) => change::reload(&place, args),
        Verb::Remove(args) => Err(remove(Some(&args.cluster)).into()),
        Verb::Restart(args) => change::restart(&place, args),
        Verb::Resume(args) => change::pause(&place, args, false),
        Verb::ShowConfig(args) => settings::show(&place.cluster(args.cluster.as_deref())?),
        Verb::Switchover(args) => change::switchover(&place, args),
        Verb::Topology(args) => {
            list::topology(&place.clusters(&args.clusters)?, args.watch.period())
        }
        Verb::Version(args) => read::version(&place, args),
        Verb::DemoteCluster(_) | Verb::PromoteCluster(_) => {
            Err(Failure::failed("there are no standby clusters").hint("howdah switchover").into())
        }
    }
}

/// Which cluster a verb means.
#[derive(Debug)]
pub struct Place {
    config: Option<PathBuf>,
}

impl Place {
    /// The cluster of the file; one that is named must be it.
    pub fn cluster(&self, named: Option<&str>) -> anyhow::Result<ClusterFile> {
        if let Some(path) = self.config.as_ref().filter(|path| is_yaml(path)) {
            return Err(Failure::bad_input(format!(
                "this is a file of Patroni's, not a cluster file: `{}`",
                path.display()
            ))
            .hint("howdah import makes a cluster file of it")
            .into());
        }
        let file = FileArg { file: self.config.clone(), client: None }.load_running()?;
        match named.filter(|named| *named != file.spec.cluster.as_str()) {
            None => Ok(file),
            Some(other) => Err(Failure::bad_input(format!(
                "the cluster of this file is `{}`, not: `{other}`",
                file.spec.cluster
            ))
            .hint("name another file with -c")
            .into()),
        }
    }

    /// Of several names, as `list` takes them.
    pub fn clusters(&self, named: &[String]) -> anyhow::Result<ClusterFile> {
        named.iter().skip(1).try_for_each(|name| self.cluster(Some(name)).map(drop))?;
        self.cluster(named.first().map(String::as_str))
    }
}

fn is_yaml(path: &std::path::Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yml" || extension == "yaml")
}

/// Patroni's `remove` wipes its store's record, so that a running cluster loses its identity.
pub fn remove(cluster: Option<&str>) -> Failure {
    let name = cluster.map(|name| format!(" of {name}")).unwrap_or_default();
    Failure::failed(format!("the record{name} is not removed: its nodes need it"))
        .hint("howdah down --purge removes a cluster with all its data")
}

/// Asks `question` unless `force` is set; anything but yes is an end.
pub fn confirm(question: &str, force: bool) -> anyhow::Result<()> {
    if force {
        return Ok(());
    }
    say(format!("{question} [y/N]:"));
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("read the answer")?;
    if ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::failed("aborted: nothing was done").hint("--force asks nothing").into())
}
