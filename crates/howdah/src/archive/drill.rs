//! A drill of this cluster, with what its file says: for the verb, and for whoever does it by the clock.

use std::path::PathBuf;
use std::time::Duration;

use howdah_archive::drill::{Options, Primary, UserCheck};
use howdah_archive::restore::plan::Target;
use howdah_base::NodeName;
use howdah_postgres::install;
use howdah_postgres::session::Session;
use howdah_repo::name::{Label, LineageId};
use howdah_spec::{ClusterSpec, NodeKind};

use super::{door, open, words};
use crate::failure::{Exit, Failure};
use crate::file::ClusterFile;
use crate::prepare::{Layout, here};

/// How long the repository may take to hold the WAL of a commit.
const WAL_WITHIN: Duration = Duration::from_secs(60);

/// What an operator may want otherwise than the file says.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub label: Option<Label>,
    pub target: Target,
    /// The same as it was typed.
    pub target_words: String,
    pub scratch: Option<PathBuf>,
    pub keep: bool,
    /// Whether a row is written on the primary.
    pub canary: bool,
}

impl Default for Wanted {
    fn default() -> Wanted {
        Wanted {
            label: None,
            target: Target::Latest,
            target_words: "latest".to_owned(),
            scratch: None,
            keep: false,
            canary: true,
        }
    }
}

/// To be called as the servers' user: only it gets through the primary's socket.
pub async fn options(
    file: &ClusterFile,
    lineage: LineageId,
    wanted: Wanted,
) -> anyhow::Result<Options> {
    let backup = door::backup(file)?;
    let primary = match wanted.canary {
        true => Some(primary(&file.spec).await?),
        false => None,
    };
    let path = std::env::var("PATH").unwrap_or_default();
    let check = |check: &howdah_spec::backup::DrillCheck| UserCheck {
        name: check.name.clone(),
        database: check.database.clone(),
        sql: check.sql.clone(),
        expect: check.expect.clone(),
    };
    Ok(Options {
        label: wanted.label,
        target: wanted.target,
        target_words: wanted.target_words,
        primary,
        wal_within: WAL_WITHIN,
        scratch: wanted.scratch.unwrap_or_else(|| backup.drill.scratch.clone()),
        keep: wanted.keep,
        jobs: usize::try_from(backup.jobs)?,
        restore_command: door::restore_command(file, lineage)?,
        installs: install::find(file.spec.postgresql.bin_dir.as_deref(), &path),
        within: backup.drill.within.0,
        preload: backup.drill.preload.clone(),
        checks: backup.drill.checks.iter().map(check).collect(),
        by: words::host(),
    })
}

/// The primary, if a node of this machine is it.
async fn primary(spec: &ClusterSpec) -> anyhow::Result<Primary> {
    let mut others: Vec<NodeName> = Vec::new();
    for (name, node) in here::here(spec, &Layout::new(&spec.base_dir)) {
        if node.kind != NodeKind::Data {
            continue;
        }
        let (socket_dir, port) = (node.state_dir.join("run"), node.postgres_port);
        let asked =
            async { Session::connect(&socket_dir, port, "postgres").await?.in_recovery().await };
        match asked.await {
            Ok(false) => return Ok(Primary { socket_dir, port, token: token()? }),
            Ok(true) | Err(_) => others.push(name),
        }
    }
    let names: Vec<&str> = others.iter().map(NodeName::as_str).collect();
    let said = match names.is_empty() {
        true => "no node of this machine has a server".to_owned(),
        false => format!("none of this machine's nodes is the primary: {}", names.join(", ")),
    };
    Err(Failure::new(Exit::NoNode, said)
        .hint(
            "howdah status; run it where the primary runs, or with --no-canary, which measures no \
             recovery point",
        )
        .into())
}

fn token() -> anyhow::Result<String> {
    Ok(open::random::<16>()?.iter().map(|byte| format!("{byte:02x}")).collect())
}
