//! The repository for verbs: whoever has the cluster file has a way in, and no node has to run.

use anyhow::Context;
use howdah_repo::Lineage;
use howdah_repo::name::LineageId;
use howdah_spec::backup::BackupSpec;

use tokio::runtime::{Builder, Runtime};

use super::open;
use crate::facts;
use crate::failure::Failure;
use crate::file::ClusterFile;

/// What the file says of backups.
pub fn backup(file: &ClusterFile) -> anyhow::Result<&BackupSpec> {
    file.spec.backup.as_ref().ok_or_else(|| {
        Failure::bad_input(format!("the cluster file has no `[backup]`: `{}`", file.path.display()))
            .hint("add `[backup]` with `repository = ...`")
            .into()
    })
}

/// Where a verb reads and writes a repository.
pub fn runtime() -> anyhow::Result<Runtime> {
    howdah_tls::install_provider();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.context("start a runtime")
}

/// How a server that was restored gets its WAL. It has nobody to stream from: a hole is not where WAL ends.
pub fn restore_command(file: &ClusterFile, lineage: LineageId) -> anyhow::Result<String> {
    command(file, lineage, "get --whole")
}

/// The same of a standby, which goes on by streaming wherever the repository has nothing.
pub fn standby_command(file: &ClusterFile, lineage: LineageId) -> anyhow::Result<String> {
    command(file, lineage, "get")
}

fn command(file: &ClusterFile, lineage: LineageId, get: &str) -> anyhow::Result<String> {
    let exe = facts::executable()?;
    let path = std::path::absolute(&file.path)?;
    // One word of a shell each, in which PostgreSQL's `%` stand for themselves.
    let quoted = |text: String| format!("'{}'", text.replace('\'', "'\\''").replace('%', "%%"));
    Ok(format!(
        "{} wal -f {} --lineage {lineage} {get} %f %p",
        quoted(exe.display().to_string()),
        quoted(path.display().to_string()),
    ))
}

/// The lineage that is named; else the only one of this cluster's name.
pub async fn lineage(file: &ClusterFile, named: Option<&str>) -> anyhow::Result<Lineage> {
    let repository = open::open(backup(file)?).await?;
    if let Some(named) = named {
        let id = named.parse().map_err(|_| {
            Failure::bad_input(format!("not the id of a lineage: `{named}`"))
                .hint("16 hexadecimal digits")
        })?;
        let lineage = repository.lineage(id);
        return match lineage.about().await {
            Err(error) if error.is_absent() => {
                let place = repository.storage().place();
                Err(Failure::bad_input(format!("no such lineage in `{place}`: `{named}`"))
                    .hint("without --lineage it is this cluster's")
                    .into())
            }
            about => Ok(about.map(|_| lineage)?),
        };
    }
    open::only_lineage(&repository, &file.spec, None).await
}

/// That of a server, by its system identifier: a cluster that was made anew has another.
pub async fn lineage_of(file: &ClusterFile, system_identifier: u64) -> anyhow::Result<Lineage> {
    let repository = open::open(backup(file)?).await?;
    open::only_lineage(&repository, &file.spec, Some(system_identifier)).await
}
