//! `howdah backup`: the cluster's files into its repository, from a server of this machine.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use howdah_api::render::size;
use howdah_api::when;
use howdah_archive::backup::engine::{self, Options, Phase, Progress, Report, Source};
use howdah_base::{Bytes, NodeName};
use howdah_postgres::session::Session;
use howdah_repo::Lineage;
use howdah_repo::name::Label;
use howdah_spec::{NodeKind, NodeSpec};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::archive::{door, lease, progress, words};
use crate::ask::known_node;
use crate::failure::{Exit, Failure};
use crate::file::{ClusterFile, FileArg};
use crate::order::Form;
use crate::prepare::{Layout, account, here};
use crate::talk::say;

/// Back the cluster up into its repository, from a server of this machine
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Read and store all pages, whatever earlier backups have
    #[arg(long)]
    full: bool,
    /// From this node's server [default: a standby of this machine, else the primary]
    #[arg(long)]
    node: Option<NodeName>,
    /// Read so much a second at most, such as 50MB
    #[arg(long, value_name = "SIZE")]
    max_rate: Option<Bytes>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

/// A standby further behind than this is taken only where there is nothing else.
const BEHIND_MAX: u64 = 64 << 20;
/// Of what WAL summaries call unchanged, so much is read and compared each time.
const AUDIT_PERCENT: u8 = 1;
/// Names that are tried, a second apart.
const LABELS_MAX: u32 = 5;
const WAL_WITHIN: Duration = Duration::from_secs(300);

pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::talk::warnings();
    let file = args.file.load_for_backups()?;
    let jobs = usize::try_from(door::backup(&file)?.jobs)?;
    // Servers let only their own user in over the socket, and only it reads their files.
    account::server_account(&file.spec.run_as)?.become_for_good()?;
    let report = door::runtime()?.block_on(back_up(args, &file, jobs))?;
    tell(args, &report)
}

async fn back_up(args: &Args, file: &ClusterFile, jobs: usize) -> anyhow::Result<Report> {
    let (node, source, cluster) = choose(args.node.as_ref(), file).await?;
    let lineage = door::lineage_of(file, cluster).await?;
    let label = label(&lineage).await?;
    let holder = format!("backup {label} of node {node}, {}", words::process());
    let held = lease::acquire(lineage.repository(), holder).await?;
    let lease = held.lease().await;
    say(format!("howdah: backup `{label}` from node {node}"));
    let (told, progress) = watch::channel(Progress::default());
    let options = Options {
        label,
        jobs,
        bytes_per_s: args.max_rate.map(|rate| rate.0),
        incremental: !args.full,
        summaries: true,
        audit_percent: AUDIT_PERCENT,
        wal_within: WAL_WITHIN,
    };
    let looked_at = progress.clone();
    let report = tokio::select! {
        report = engine::back_up(&lineage, &lease, &source, &options, &told) => {
            report.map_err(Into::into)
        }
        error = held.keep() => return Err(error),
        () = progress::follow(progress) => Err(anyhow!("nobody tells how far the backup is")),
        asked = given_up(&looked_at) => asked.and(Err(cancelled().into())),
    };
    held.release().await;
    report
}

/// What has been stored is found again by a backup that follows soon.
fn cancelled() -> Failure {
    Failure::new(Exit::Cancelled, "the backup was given up: nothing was committed")
        .hint("howdah backup goes on from what was stored, for a day")
}

/// The node that is named; else a standby that keeps up, which has nothing better to do; else the
/// primary. With the identifier of its cluster.
async fn choose(
    named: Option<&NodeName>,
    file: &ClusterFile,
) -> anyhow::Result<(NodeName, Source, u64)> {
    if let Some(named) = named {
        known_node(&file.spec, named)?;
    }
    let mut other = None;
    for (name, node) in here::here(&file.spec, &Layout::new(&file.spec.base_dir)) {
        if node.kind != NodeKind::Data || named.is_some_and(|named| *named != name) {
            continue;
        }
        let source = source(&node);
        let Ok(session) = Session::connect(&source.socket_dir, source.port, "postgres").await
        else {
            continue;
        };
        let facts = match session.source_facts().await {
            Ok(facts) => facts,
            Err(error) if named.is_some() => return Err(error.into()),
            // Another one may do.
            Err(_) => continue,
        };
        let cluster = facts.system_identifier;
        let keeps_up = facts.behind.is_some_and(|bytes| bytes <= BEHIND_MAX);
        if keeps_up || named.is_some() {
            return Ok((name, source, cluster));
        }
        if !facts.in_recovery || other.is_none() {
            other = Some((name, source, cluster));
        }
    }
    other.ok_or_else(|| {
        let failure = Failure::new(Exit::NoNode, "no server of this machine answers");
        failure.hint("run it where a node with PostgreSQL runs; howdah status").into()
    })
}

fn source(node: &NodeSpec) -> Source {
    let (data_dir, socket_dir) = (node.data_dir.clone(), node.state_dir.join("run"));
    Source { data_dir, socket_dir: PathBuf::from(&socket_dir), port: node.postgres_port }
}

/// Until somebody wants it to end, while it still may: a commit that has begun is not cut off.
async fn given_up(progress: &watch::Receiver<Progress>) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    loop {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        if progress.borrow().phase < Phase::Committing {
            return Ok(());
        }
        say("howdah: it is being committed already");
    }
}

fn tell(args: &Args, report: &Report) -> anyhow::Result<()> {
    let about = &report.about;
    let statistics = &about.statistics;
    let took = Duration::from_millis(
        u64::try_from(about.stopped_ms.saturating_sub(about.started_ms)).unwrap_or(0),
    );
    let mut text = format!(
        "backup `{}`: {} in {:.1} s, {} new and {} stored",
        about.label,
        size(statistics.bytes),
        took.as_secs_f64(),
        size(statistics.new),
        size(statistics.stored),
    );
    if report.taken_over > 0 {
        let had = size(report.taken_over);
        text += &format!("\n{had} of them were stored already, by a backup that was given up");
    }
    for page in &report.silent_changes {
        text += &format!(
            "\nchanged though no WAL tells of it, and stored as it is: page {} of `{}`",
            page.page, page.path
        );
    }
    for bad in &report.bad_pages {
        text +=
            &format!("\ndamaged in the server's own files: page {} of `{}`", bad.page, bad.path);
    }
    args.form.print(
        &text,
        &json!({
            "backup": about,
            "bad_pages": report.bad_pages,
            "silent_changes": report.silent_changes,
            "taken_over": report.taken_over,
        }),
    )?;
    match report.bad_pages.len() {
        0 => Ok(()),
        count => Err(Failure::failed(format!("{count} pages are damaged on the server"))
            .hint("the backup has them as they are: look at that disk, and reinit the node")
            .into()),
    }
}

/// By the moment: `20300131-040000`, UTC. One that was begun in the same second, and given up perhaps,
/// has the name already.
async fn label(lineage: &Lineage) -> anyhow::Result<Label> {
    for _ in 0..LABELS_MAX {
        let now = when::rfc3339(when::now_unix_ms() / 1000 * 1000);
        let plain: String =
            now.trim_end_matches("+00:00").chars().filter(|c| !matches!(c, '-' | ':')).collect();
        let label = plain.replace('T', "-").parse()?;
        if !lineage.attempts().await?.contains(&label) {
            return Ok(label);
        }
        sleep(Duration::from_secs(1)).await;
    }
    Err(Failure::failed("backups of this very second are in the repository already")
        .hint("look at this machine's clock; howdah backups")
        .into())
}
