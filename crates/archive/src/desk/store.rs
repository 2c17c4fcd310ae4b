//! One WAL file into the repository, as an `archive_command` brings it: the same content again is fine,
//! other content is refused, and so is what contradicts chunks that were streamed.

use bytes::Bytes;
use howdah_base::WalFile;
use howdah_postgres::wal::segment;
use howdah_repo::{Lineage, LineageAbout, Put, RepoError};
use thiserror::Error;

#[derive(Debug, Error)]
pub enum NotStored {
    #[error(transparent)]
    Repository(#[from] RepoError),
    #[error("not a segment of this cluster, {why}: `{name}`")]
    NotOurs { name: WalFile, why: &'static str },
    #[error("the repository has other content under this name: `{0}`")]
    Other(WalFile),
    #[error("the repository has other WAL of this segment, from byte {from} on: `{name}`")]
    Contradicts { name: WalFile, from: u32 },
}

impl NotStored {
    /// The next thing to do; `None`: it may be tried again.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            NotStored::Repository(_) => None,
            NotStored::NotOurs { .. } => Some("look whose server calls this command"),
            NotStored::Other(_) => Some(
                "another server writes to this lineage: give each cluster a repository of its own",
            ),
            NotStored::Contradicts { .. } => Some(
                "this server has lost WAL that it had written, or another writes to this lineage: \
                 look at its disk, then howdah backup --full",
            ),
        }
    }
}

/// What only PostgreSQL itself has a use for: a backup's label, and what a promotion leaves of an old
/// timeline's last segment, which the stream has.
pub fn is_kept_elsewhere(name: &str) -> bool {
    name.ends_with(".backup") || name.ends_with(".partial")
}

/// Durable once it has returned.
pub async fn store(
    lineage: &Lineage,
    about: &LineageAbout,
    name: &WalFile,
    bytes: Bytes,
) -> Result<(), NotStored> {
    let put = match name.as_str().ends_with(".history").then(|| name.timeline()).flatten() {
        Some(timeline) => lineage.put_history(timeline, bytes).await?,
        None => {
            check(name, &bytes, bytes.len() as u64, about)?;
            if let Some((from, _)) = lineage.chunk_that_differs(name, &bytes).await? {
                return Err(NotStored::Contradicts { name: name.clone(), from });
            }
            lineage.put_segment(name, bytes, about.segment_bytes).await?
        }
    };
    match put {
        Put::New | Put::Same => Ok(()),
        Put::Other => Err(NotStored::Other(name.clone())),
    }
}

/// Whether what begins so, and has `len` bytes, is a segment of this cluster, under its own name and
/// whole.
pub fn check(
    name: &WalFile,
    begin: &[u8],
    len: u64,
    about: &LineageAbout,
) -> Result<(), NotStored> {
    let refused = |why| Err(NotStored::NotOurs { name: name.clone(), why });
    let Some(said) = segment::said(begin) else { return refused("it has no header") };
    if said.system_identifier != about.system_identifier {
        return refused("it is another server's");
    }
    if said.size != u64::from(about.segment_bytes) || len != said.size {
        return refused("it is not as long as a segment");
    }
    if name.start(said.size) != Some(said.start) {
        return refused("its header names another place");
    }
    Ok(())
}
