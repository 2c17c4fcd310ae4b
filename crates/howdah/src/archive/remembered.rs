//! Which repository this cluster uses, as its shared record says: what lies in its place must be that
//! one. A mount that is missing, or a folder that machines do not share, would otherwise become a new
//! and empty repository, and WAL would go there.

use std::sync::Arc;

use howdah_base::record::key;
use howdah_spec::backup::{BackupSpec, RepositorySpec};
use howdah_store::{Store, Txn};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// A repository, and where it was.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Remembered {
    pub place: String,
    /// As its marker says.
    pub id: String,
}

/// Where the file says that it is. Another place may have another repository.
pub fn place(backup: &BackupSpec) -> String {
    match &backup.repository {
        RepositorySpec::Directory(path) => format!("{}", path.display()),
        RepositorySpec::S3(s3) => {
            let endpoint = s3.endpoint.as_deref().unwrap_or(&s3.region);
            format!("{endpoint} {}/{}", s3.bucket, s3.prefix)
        }
    }
}

/// What was remembered last, and its revision.
pub async fn read(store: &Arc<dyn Store>) -> anyhow::Result<Option<(Remembered, u64)>> {
    Ok(store.snapshot().await?.get(key::REPOSITORY)?)
}

/// The id that the repository in `place` must have; `None` where any will do, a new one too.
pub fn expected(last: Option<&Remembered>, place: &str) -> Option<String> {
    last.filter(|last| last.place == place).map(|last| last.id.clone())
}

/// Writes down that `id` is in `place`. Somebody else's word in between is not replaced.
pub async fn write(
    store: &Arc<dyn Store>,
    seen: Option<&(Remembered, u64)>,
    now: Remembered,
) -> anyhow::Result<()> {
    if seen.is_some_and(|(last, _)| *last == now) {
        return Ok(());
    }
    let revision = seen.map(|(_, revision)| *revision);
    store.txn(Txn::new().as_seen(key::REPOSITORY, revision).put(key::REPOSITORY, &now)).await?;
    Ok(())
}

/// Nothing is where the cluster's repository was.
pub fn gone(place: &str, id: &str) -> Failure {
    Failure::failed(format!("the cluster's repository ({id}) is not in `{place}` any more")).hint(
        "is a mount missing here, or a folder that all nodes should share? To begin a new one, name \
         another place in `[backup]`",
    )
}

/// Another one is where the cluster's repository was.
pub fn other(place: &str, id: &str, found: &str) -> Failure {
    let what = format!("in `{place}` is not the cluster's repository ({id}) but another, {found}");
    Failure::failed(what).hint(
        "is another folder mounted here, or one that nodes do not share? To go on with this one, name \
         it by another path in `[backup]`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: &str, id: &str) -> Remembered {
        Remembered { place: place.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn a_place_keeps_its_repository_and_another_place_is_free() {
        let last = at("/a", "1");
        assert_eq!(expected(None, "/a"), None);
        assert_eq!(expected(Some(&last), "/a").as_deref(), Some("1"));
        assert_eq!(expected(Some(&last), "/b"), None);
    }
}
