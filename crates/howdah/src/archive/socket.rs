//! Where PostgreSQL's commands for single WAL files find this node's agent: the repository stays open
//! here, and what was streamed is known.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use howdah_archive::desk::{self, Desk, Lineages, NotFound, PATIENCE};
use howdah_archive::ship::Shipped;
use howdah_base::NodeName;
use howdah_postgres::control;
use howdah_repo::name::LineageId;
use howdah_repo::{Lineage, RepoError, Repository};
use howdah_spec::ClusterSpec;
use howdah_spec::backup::BackupSpec;
use tokio::sync::{Mutex, watch};

use super::{open, owner};
use crate::prepare::layout;

/// Answers until the process ends. Where the socket cannot be made, commands do it by themselves.
pub async fn serve(
    node: NodeName,
    identity: String,
    spec: watch::Receiver<Arc<ClusterSpec>>,
    shipped: watch::Receiver<Shipped>,
) {
    let (socket, data_dir) = {
        let spec = spec.borrow();
        let own = &spec.nodes[&node];
        (layout::archive_socket(own), own.data_dir.clone())
    };
    let listener = match desk::listen(&socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!("`howdah wal` opens the repository each time: {error}");
            return;
        }
    };
    let open = Open { spec, identity, data_dir, opened: Mutex::default() };
    Desk::new(open, shipped, PATIENCE).serve(&listener).await;
}

/// The repository that the file names, opened when it is first asked for.
struct Open {
    spec: watch::Receiver<Arc<ClusterSpec>>,
    identity: String,
    data_dir: PathBuf,
    opened: Mutex<Option<Opened>>,
}

struct Opened {
    backup: BackupSpec,
    repository: Repository,
    /// That of this cluster which was found last, and of which server.
    own: Option<(u64, Lineage)>,
}

impl Lineages for Open {
    async fn find(
        &self,
        named: Option<LineageId>,
        system_identifier: Option<u64>,
    ) -> Result<Lineage, NotFound> {
        let spec = Arc::clone(&self.spec.borrow());
        let backup = spec.backup.as_ref().ok_or(NotFound::None)?;
        let mut opened = self.opened.lock().await;
        let known = opened.take().filter(|opened| opened.backup == *backup);
        let opened = match known {
            Some(known) => opened.insert(known),
            None => {
                let repository = open::open(backup).await.map_err(|error| not_found(&error))?;
                opened.insert(Opened { backup: backup.clone(), repository, own: None })
            }
        };
        if let Some(named) = named {
            return Ok(opened.repository.lineage(named));
        }
        let server = match system_identifier {
            Some(server) => server,
            None => own_server(&self.data_dir).await.ok_or(NotFound::None)?,
        };
        if let Some((_, lineage)) = opened.own.as_ref().filter(|(of, _)| *of == server) {
            return Ok(lineage.clone());
        }
        let cluster = owner(&spec, &self.identity);
        let owner = open::Owner { cluster, system_identifier: server, segment_bytes: 0 };
        let found = open::find_lineage(&opened.repository, &owner).await;
        let found = found.map_err(|error| not_found(&error.into()))?;
        // Another cluster's server may call: the command itself says what is wrong then.
        let lineage = found.ok_or(NotFound::None)?;
        opened.own = Some((server, lineage.clone()));
        Ok(lineage)
    }
}

fn not_found(error: &anyhow::Error) -> NotFound {
    match error.downcast_ref() {
        Some(RepoError::Trouble { .. }) => NotFound::Trouble(format!("{error:#}")),
        _ => NotFound::Failed(format!("{error:#}")),
    }
}

/// The system identifier of the server that lies there, whether it runs or not.
async fn own_server(data_dir: &Path) -> Option<u64> {
    let path = data_dir.join("global/pg_control");
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
    control::system_identifier(&read.ok()?.ok()?)
}
