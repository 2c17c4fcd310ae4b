//! `howdah clone`: a cluster as it was at a moment becomes the beginning of another one.
//!
//! The clone has its own file, name, keys, passwords and lineage. It never writes into that of its origin,
//! and brings no subscription along that would take what is meant for the other.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use howdah_archive::restore::write::{Action, Destination, Over, check};
use howdah_base::NodeName;
use howdah_repo::name::LineageId;
use howdah_spec::NodeKind;

use crate::archive::door;
use crate::ask::known_node;
use crate::failure::Failure;
use crate::file::{self, ClusterFile, FileArg};
use crate::prepare::{Caller, Layout, here, prepare};
use crate::restoring::planned;
use crate::restoring::target::{MomentArgs, TARGETS};
use crate::talk::out;

/// Make another cluster out of this one's backups, as it was at a moment
#[derive(clap::Args, Debug)]
#[command(after_help = TARGETS)]
pub struct Args {
    /// The other cluster's file
    #[arg(long = "as", value_name = "FILE")]
    other: PathBuf,
    /// Which node of it begins [default: its first_node, or the only one]
    #[arg(long, value_name = "NODE")]
    node: Option<NodeName>,
    #[command(flatten)]
    moment: MomentArgs,
    /// A tablespace goes elsewhere: OLD=NEW, two folders
    #[arg(long, value_name = "OLD=NEW")]
    tablespace: Vec<String>,
    /// Print the plan, and touch nothing
    #[arg(long)]
    dry_run: bool,
    /// Of this lineage [default: this cluster's]
    #[arg(long)]
    lineage: Option<String>,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let origin = args.file.load_for_backups()?;
    let other = file::load(&std::path::absolute(&args.other)?)?;
    check_apart(&origin, &other)?;
    let node = node(args, &other)?;
    let lineage = door::runtime()?.block_on(plan(args, &origin, &other, &node))?;
    if args.dry_run {
        return Ok(());
    }
    let prepared = prepare(&other, Caller::PrepareFor(&node))?;
    let resolved = prepared.layout.file();
    let mut command = Command::new(std::env::current_exe().context("find this executable")?);
    command.args(["restore", "--clone", "--as-node", node.as_str(), "--file"]);
    command.arg(&origin.path).arg("--of").arg(&resolved);
    command.args(["--lineage", &lineage.to_string()]);
    command.arg("--into").arg(&prepared.spec.nodes[&node].data_dir).args(args.moment.words());
    for tablespace in &args.tablespace {
        command.args(["--tablespace", tablespace]);
    }
    if !command.status().context("run howdah restore")?.success() {
        return Err(Failure::failed("there is no clone yet; it said why above")
            .hint("mend that, and give this command again: it goes on with what is there")
            .into());
    }
    match here::is_one_machine(&other.spec) {
        true => out(format!("start the clone: howdah up{}", other.typed)),
        false => out(format!("start the clone: howdah run --node {node}{}", other.typed)),
    }
    Ok(())
}

/// Two clusters that could not be told apart are not made.
fn check_apart(origin: &ClusterFile, other: &ClusterFile) -> anyhow::Result<()> {
    let refused = |what: String, hint: &str| Err(Failure::bad_input(what).hint(hint).into());
    let (one, two) = (&origin.spec, &other.spec);
    if one.cluster == two.cluster {
        let what = format!("the clone is called `{}` too", two.cluster);
        return refused(what, "give it a name of its own: `cluster` in its file");
    }
    if one.base_dir == two.base_dir {
        let what = format!("the clone would lie where its origin is: `{}`", two.base_dir.display());
        return refused(what, "give it a base_dir of its own, or none");
    }
    if let (Some(one), Some(two)) = (&one.vip, &two.vip)
        && one.address == two.address
    {
        let what = format!("the clone would take its origin's virtual IP: `{}`", two.address);
        return refused(what, "give it another address in `[vip]`, or none");
    }
    Ok(())
}

/// The node that has the data first. Others might otherwise begin an empty cluster.
fn node(args: &Args, other: &ClusterFile) -> anyhow::Result<NodeName> {
    let spec = &other.spec;
    let mut data = spec.nodes.iter().filter(|(_, node)| node.kind == NodeKind::Data);
    let only = data.next().filter(|_| data.next().is_none()).map(|(name, _)| name);
    let first = spec.first_node.as_ref().or(only);
    let named = args.node.as_ref().map(|node| known_node(spec, node)).transpose()?;
    match (named.map(|(name, _)| name), first) {
        (None, Some(first)) => Ok(first.clone()),
        (Some(named), Some(first)) if named == first => Ok(named.clone()),
        (named, _) => {
            let name = named.or(spec.nodes.keys().next()).map_or("n1", NodeName::as_str);
            Err(Failure::bad_input("the clone's file does not say which node begins")
                .hint(format!("write `first_node = \"{name}\"` at its top"))
                .into())
        }
    }
}

/// Prints it, and looks whether it can be carried out; nothing is touched.
async fn plan(
    args: &Args,
    origin: &ClusterFile,
    other: &ClusterFile,
    node: &NodeName,
) -> anyhow::Result<LineageId> {
    let lineage = door::lineage(origin, args.lineage.as_deref()).await?;
    let planned = planned(&lineage, args.moment.wish()?).await?;
    let data_dir = &other.spec.nodes[node].data_dir;
    out(format!("cluster       {}, beginning on node {node}", other.spec.cluster));
    out(planned.shown(&args.moment.to, data_dir).trim_end());
    let major = planned.about.postgres_version / 10_000;
    if other.spec.postgresql.major != Some(major) {
        let what =
            format!("the backup is of PostgreSQL {major}, and the clone's file does not say so");
        let hint = format!("write `major = {major}` below `[postgresql]`");
        return Err(Failure::bad_input(what).hint(hint).into());
    }
    crate::facts::install(&other.spec, data_dir)?;
    let there = data_dir.join("howdah.json").exists();
    if there || Layout::new(&other.spec.base_dir).up_pid().exists() {
        let what = format!("there is a cluster already: `{}`", other.spec.base_dir.display());
        return Err(Failure::refused(what)
            .hint("name another base_dir in the clone's file")
            .into());
    }
    let destination = Destination {
        data_dir: data_dir.clone(),
        tablespaces: planned.tablespaces(&args.tablespace)?,
        jobs: 1,
        recovery: planned.recovery(origin, &lineage, Action::Promote)?,
    };
    check(&lineage, &planned.label, &destination, Over::Interrupted).await?;
    Ok(lineage.id())
}
