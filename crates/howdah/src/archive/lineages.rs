//! The lineages of a repository, and which of them are the present ones of their clusters.

use howdah_repo::{Lineage, LineageAbout, RepoError, Repository};

/// A lineage, and what it says of itself.
pub type Named = (Lineage, LineageAbout);

/// A child may be younger than the last WAL of a cluster that is gone by so much: clocks of a storage
/// and of a machine differ.
const CLOCKS_DIFFER_MS: i64 = 60_000;

/// All lineages.
pub async fn all(repository: &Repository) -> anyhow::Result<Vec<Named>> {
    let mut found = Vec::new();
    for id in repository.lineages().await? {
        let lineage = repository.lineage(id);
        match lineage.about().await {
            Err(RepoError::Absent { .. }) => {}
            about => found.push((lineage, about?)),
        }
    }
    Ok(found)
}

/// All lineages of clusters that are called so.
pub async fn named(repository: &Repository, cluster: &str) -> anyhow::Result<Vec<Named>> {
    let all = all(repository).await?;
    let is = |about: &LineageAbout| name_of(about) == Some(cluster);
    Ok(all.into_iter().filter(|(_, about)| is(about)).collect())
}

/// The cluster's name, without its identity.
pub fn name_of(about: &LineageAbout) -> Option<&str> {
    about.cluster.rsplit_once('-').map(|(name, _)| name)
}

/// When anything was written into it last, milliseconds since 1970; 0: nothing was.
pub async fn newest_ms(lineage: &Lineage) -> Result<i64, RepoError> {
    let (storage, id) = (lineage.repository().storage(), lineage.id());
    let mut newest = 0;
    for folder in [id.wal(), id.backups()] {
        let listed = storage.list(&folder, None).await?;
        newest = listed.iter().map(|object| object.modified_ms).chain([newest]).max().unwrap_or(0);
    }
    Ok(newest)
}

/// Those of `all` that no other one has taken the place of. A clone takes nobody's place, and neither
/// does a rehearsal of a recovery while the cluster that it came from goes on writing.
pub async fn present<'a>(all: &[&'a Named]) -> Result<Vec<&'a Named>, RepoError> {
    let mut present = Vec::new();
    for parent in all {
        let id = parent.0.id().to_string();
        let children = all.iter().filter(|(_, about)| {
            about.parent.as_ref().is_some_and(|fork| fork.lineage == id)
                && name_of(about) == name_of(&parent.1)
        });
        let taken_at = children.map(|(_, about)| about.created_ms).max();
        let is_over = match taken_at {
            None => false,
            Some(at) => newest_ms(&parent.0).await? <= at.saturating_add(CLOCKS_DIFFER_MS),
        };
        if !is_over {
            present.push(*parent);
        }
    }
    Ok(present)
}
