//! `howdah wal`: what PostgreSQL calls as `archive_command` and `restore_command`.
//!
//! PostgreSQL takes an exit code below 126 of a `restore_command` for "there is no such file", and ends
//! recovery there (`src/backend/access/transam/xlogarchive.c`). So that is said only when the
//! repository has answered so; everything else ends above.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::Bytes;
use clap::Subcommand;
use howdah_archive::desk::{self, Answer, NotStored, PATIENCE, Request};
use howdah_base::WalFile;
use howdah_repo::RepoError;
use howdah_repo::name::LineageId;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use crate::archive::door;
use crate::failure::Failure;
use crate::file::{ClusterFile, FileArg};
use crate::prepare::{Layout, here, layout};
use crate::talk::say;

/// Put a WAL file into the repository, or get one from there
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    /// Of this lineage [default: this cluster's]
    #[arg(long)]
    lineage: Option<String>,
    #[command(flatten)]
    file: FileArg,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Put it there: `archive_command = 'howdah wal -f FILE push %p'`
    Push {
        /// Where the file lies; its name is the segment's
        path: PathBuf,
    },
    /// Get it from there: `restore_command = 'howdah wal -f FILE get --whole %f %p'`; a standby, which
    /// streams what is missing, goes without --whole
    Get {
        /// A segment, or a timeline's history
        name: WalFile,
        /// Where it is put
        path: PathBuf,
        /// A segment that is missing among others is an error, and not the end of the WAL
        #[arg(long)]
        whole: bool,
    },
}

const AGAIN_MIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(5);

pub fn run(args: &Args) -> anyhow::Result<()> {
    match &args.what {
        What::Push { path } => push(path, args),
        What::Get { name, path, whole } => {
            // Whatever keeps the answer from being found, PostgreSQL must not take it for one.
            match get(name, path, args).map_err(Failure::made_unknown)? {
                true => Ok(()),
                false if *whole => {
                    is_the_end(name, args).map_err(Failure::made_unknown)?;
                    Err(Failure::failed("").into())
                }
                // A standby asks for what is not there yet every few seconds.
                false => Err(Failure::failed("").into()),
            }
        }
    }
}

fn push(path: &Path, args: &Args) -> anyhow::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if desk::is_kept_elsewhere(name) {
        return Ok(());
    }
    let name: WalFile = name.parse().map_err(|bad: howdah_base::BadWalFile| {
        Failure::bad_input(bad.to_string()).hint("name a file of `pg_wal`")
    })?;
    let file = args.file.load_running()?;
    let request = Request::Push { lineage: named(args)?, path: absolute(path)? };
    match ask(&file, &request) {
        Some(Answer::Done) => Ok(()),
        Some(Answer::Refused { what, hint }) => Err(Failure::refused(what).hint(hint).into()),
        Some(Answer::Failed(what)) => Err(Failure::failed(what).into()),
        Some(Answer::Absent | Answer::Yourself) | None => {
            let bytes = std::fs::read(path).with_context(|| format!("read: `{}`", path.display()));
            runtime()?.block_on(store(&name, bytes?.into(), &file, args))
        }
    }
}

async fn store(
    name: &WalFile,
    bytes: Bytes,
    file: &ClusterFile,
    args: &Args,
) -> anyhow::Result<()> {
    let lineage = door::lineage(file, args.lineage.as_deref()).await?;
    let about = lineage.about().await?;
    let stored = desk::store(&lineage, &about, name, bytes).await;
    stored.map_err(|error: NotStored| match error.hint() {
        Some(hint) => Failure::refused(error.to_string()).hint(hint).into(),
        None => error.into(),
    })
}

/// Whether it was there.
fn get(name: &WalFile, path: &Path, args: &Args) -> anyhow::Result<bool> {
    let file = args.file.load_running()?;
    let path = absolute(path)?;
    let request = Request::Get { lineage: named(args)?, name: name.clone(), path: path.clone() };
    match ask(&file, &request) {
        Some(Answer::Done) => Ok(true),
        Some(Answer::Absent) => Ok(false),
        Some(Answer::Failed(what) | Answer::Refused { what, .. }) => anyhow::bail!(what),
        Some(Answer::Yourself) | None => {
            let Some(bytes) = runtime()?.block_on(fetch(name, &file, args))? else {
                return Ok(false);
            };
            desk::put_in_place(&path, &bytes)?;
            Ok(true)
        }
    }
}

async fn fetch(name: &WalFile, file: &ClusterFile, args: &Args) -> anyhow::Result<Option<Vec<u8>>> {
    let begun = Instant::now();
    let mut wait = AGAIN_MIN;
    loop {
        let error = match try_to_fetch(name, file, args).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let trouble = error.downcast_ref().is_some_and(|e| matches!(e, RepoError::Trouble { .. }));
        if !trouble || begun.elapsed() > PATIENCE {
            return Err(error);
        }
        say(format!("howdah: {error:#}; asking again"));
        sleep(wait).await;
        wait = (wait * 2).min(AGAIN_MAX);
    }
}

async fn try_to_fetch(
    name: &WalFile,
    file: &ClusterFile,
    args: &Args,
) -> anyhow::Result<Option<Vec<u8>>> {
    let lineage = door::lineage(file, args.lineage.as_deref()).await?;
    // Only the file itself may be absent: that of the lineage says that this is none.
    let about = lineage.about().await.map_err(|error| match error {
        RepoError::Absent { .. } => anyhow::anyhow!(
            "there is no such lineage in the repository: `{}`: {error}",
            lineage.id()
        ),
        error => error.into(),
    })?;
    match desk::fetch(&lineage, name, about.segment_bytes).await {
        Ok(fetched) => Ok(Some(fetched.bytes)),
        Err(RepoError::Absent { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// That nothing follows of what is not there. Expiry, or whoever else removes WAL while it is replayed, makes
/// a hole where a recovery would end as if it had all.
fn is_the_end(name: &WalFile, args: &Args) -> anyhow::Result<()> {
    let Some(timeline) = name.timeline().filter(|_| !name.as_str().ends_with(".history")) else {
        return Ok(());
    };
    let file = args.file.load_running()?;
    let listed = runtime()?.block_on(async {
        let lineage = door::lineage(&file, args.lineage.as_deref()).await?;
        Ok::<_, anyhow::Error>(lineage.segments(timeline, Some(name)).await?)
    })?;
    let Some(next) = listed.iter().find(|listed| listed.segment.as_str() > name.as_str()) else {
        return Ok(());
    };
    let next = &next.segment;
    Err(Failure::failed(format!(
        "{name} is not in the repository, though {next} is: WAL is missing"
    ))
    .hint("howdah verify; then restore from a newer backup, or to a moment before")
    .into())
}

/// The agent of the node whose file it is; else of any node of this machine.
fn ask(file: &ClusterFile, request: &Request) -> Option<Answer> {
    file.spec.backup.as_ref()?;
    let nodes = here::here(&file.spec, &Layout::new(&file.spec.base_dir));
    let mut nodes: Vec<_> = nodes.values().collect();
    nodes.sort_by_key(|node| !request.path().starts_with(&node.data_dir));
    nodes.into_iter().find_map(|node| desk::ask(&layout::archive_socket(node), request))
}

/// Only whoever finds no agent needs one.
fn runtime() -> anyhow::Result<Runtime> {
    howdah_tls::install_provider();
    Builder::new_current_thread().enable_all().build().context("start a runtime")
}

fn named(args: &Args) -> anyhow::Result<Option<LineageId>> {
    let named = args.lineage.as_deref().map(str::parse).transpose();
    Ok(named.map_err(|error: RepoError| Failure::bad_input(error.to_string()))?)
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).context("find the working directory")
}
