//! `howdah drill`: rehearsals that measure.

use std::path::PathBuf;

use anyhow::Context;
use clap::Subcommand;
use howdah_archive::drill::{self, Phase, Report, Told};
use howdah_archive::proof::Outcome;
use howdah_archive::restore::write::Progress;
use howdah_repo::name::Label;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::archive::door;
use crate::archive::drill::{Wanted, options};
use crate::archive::lease::now_ms;
use crate::archive::words::{self, Shown};
use crate::failure::Failure;
use crate::file::{ClusterFile, FileArg};
use crate::prepare::{account, make_owned_dir};
use crate::restoring::target::target;
use crate::talk::{out, say};
use howdah_api::render::size;

/// Rehearse, and measure
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    Restore(RestoreArgs),
}

/// Restore a backup beside the cluster, start it apart, look at it, and throw it away
#[derive(clap::Args, Debug)]
struct RestoreArgs {
    /// This backup [default: the newest that leads to the target]
    label: Option<Label>,
    /// Replay to: latest, immediate, time=..., lsn=..., xid=..., name=...
    #[arg(long, value_name = "TARGET", default_value = "latest")]
    to: String,
    /// The copy lies below this folder [default: `scratch` of `[backup.drill]`]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Leave the copy there
    #[arg(long)]
    keep: bool,
    /// Write no row on the primary: neither the recovery point is measured, nor is the backup green by it
    #[arg(long)]
    no_canary: bool,
    /// How it is printed
    #[arg(long, value_enum, default_value_t)]
    format: Shown,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Of this lineage [default: this cluster's]
    #[arg(long)]
    lineage: Option<String>,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let What::Restore(args) = &args.what;
    crate::talk::warnings();
    let file = args.file.load_for_backups()?;
    let backup = door::backup(&file)?;
    let scratch = args.scratch.clone().unwrap_or_else(|| backup.drill.scratch.clone());
    let scratch = std::path::absolute(scratch)?;
    let wanted = Wanted {
        label: args.label.clone(),
        target: target(&args.to)?,
        target_words: args.to.clone(),
        scratch: Some(scratch.clone()),
        keep: args.keep,
        canary: !args.no_canary && args.to == "latest",
    };
    let server = account::server_account(&file.spec.run_as)?;
    if !scratch.exists() {
        make_owned_dir(&scratch, 0o700, &server)?;
    }
    server.check_reach(&scratch)?;
    server.become_for_good()?;
    let report = door::runtime()?.block_on(rehearse(args, &file, wanted))?;
    tell(args, &report)
}

/// Until it is done, or somebody wants it to end: then the copy goes, too.
async fn rehearse(
    args: &RestoreArgs,
    file: &ClusterFile,
    wanted: Wanted,
) -> anyhow::Result<Report> {
    let mut interrupted = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let mut ended = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let lineage = door::lineage(file, args.lineage.as_deref()).await?;
    let options = options(file, lineage.id(), wanted).await?;
    let (phase, phases) = watch::channel(Phase::default());
    let (restored, progress) = watch::channel(Progress::default());
    let told = Told { phase, restored };
    tokio::select! {
        report = Box::pin(drill::drill(&lineage, &options, &told, now_ms)) => Ok(report?),
        _ = interrupted.recv() => Err(given_up()),
        _ = ended.recv() => Err(given_up()),
        () = follow(phases, progress) => anyhow::bail!("nobody tells how far the drill is"),
    }
}

fn given_up() -> anyhow::Error {
    Failure::failed("the drill was given up; nothing of it is left").into()
}

async fn follow(mut phases: watch::Receiver<Phase>, progress: watch::Receiver<Progress>) {
    while phases.changed().await.is_ok() {
        let phase = *phases.borrow_and_update();
        say(match phase {
            Phase::Canary => continue,
            Phase::Planning => "howdah: looking for the way".to_owned(),
            Phase::Restoring => "howdah: restoring".to_owned(),
            Phase::Replaying => {
                format!("howdah: {} written; the copy replays WAL", size(progress.borrow().done))
            }
            Phase::Checking => "howdah: the copy answers; looking at it".to_owned(),
            Phase::Ending => "howdah: ending the copy".to_owned(),
        });
    }
}

fn tell(args: &RestoreArgs, report: &Report) -> anyhow::Result<()> {
    match if args.json { Shown::Json } else { args.format } {
        Shown::Json => {
            let value =
                json!({ "backup": report.label, "drilled": report.drilled, "kept": report.kept });
            out(serde_json::to_string_pretty(&value).context("write JSON")?);
        }
        Shown::Text => out(shown(report)),
    }
    if let Some(kept) = &report.kept {
        say(format!("hint: the copy stays; remove it when it is of no use: {}", kept.display()));
    }
    let Some(check) = report.drilled.why_red() else { return Ok(()) };
    let label = &report.label;
    let what = format!("the drill of backup `{label}` is red, {}: {}", check.name, check.said);
    Err(Failure::failed(what).hint(next(&check.name, label)).into())
}

/// What to do about a check that failed.
fn next(check: &str, label: &str) -> String {
    match check {
        "plan" | "restore" => format!("howdah verify {label} names what is damaged or missing"),
        "canary" => "howdah status says whether WAL reaches the repository".to_owned(),
        "space" => "the backup itself may be sound".to_owned(),
        "tidying up" => "remove that folder".to_owned(),
        _ => "with --keep the copy stays, to be looked at".to_owned(),
    }
}

fn shown(report: &Report) -> String {
    let found = &report.drilled;
    let verdict = if found.passed { "green" } else { "red" };
    let mut text = format!("drill of backup `{}` to {}: {verdict}\n", report.label, found.target);
    let mut line = |name: &str, said: String| text += &format!("  {name:<10} {said}\n");
    if let Some(rpo) = found.rpo_ms {
        let behind = found.behind_bytes.map_or_else(String::new, |bytes| {
            format!("; when it began, the repository was {} of WAL behind", size(bytes))
        });
        line("RPO", format!("{}{behind}", words::time(rpo)));
    }
    if let (Some(rto), Some(files), Some(replay)) =
        (found.rto_ms, found.restored_ms, found.replayed_ms)
    {
        let parts = format!("files {}, WAL {}", words::time(files), words::time(replay));
        let checks = found
            .checks_ms
            .map_or_else(String::new, |checks| format!("; checks {}", words::time(checks)));
        line("RTO", format!("{} ({parts}){checks}", words::time(rto)));
    }
    line("size", format!("{}, and at most {} of WAL", size(found.bytes), size(found.wal_bytes)));
    for left in &found.left_out {
        line("without", left.clone());
    }
    for check in &found.checks {
        let outcome = match check.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::NotChecked => "unchecked",
        };
        line(outcome, format!("{}: {}", check.name, check.said.replace('\n', "\n             ")));
    }
    text
}
