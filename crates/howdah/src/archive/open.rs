//! The repository that the cluster file names: opened, or made where there is none, and this
//! cluster's lineage in it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::Context;
use howdah_repo::name::LineageId;
use howdah_repo::storage::S3Options;
use howdah_repo::{
    Address, Fork, KeySource, Lineage, LineageAbout, RepoError, Repository, Storage, StorageOptions,
};
use howdah_spec::backup::{BackupSpec, RepositorySpec, S3Spec};
use howdah_spec::{ClusterSpec, SecretRef};

use super::lineages::{self, Named};
use crate::admit;
use crate::failure::Failure;
use crate::prepare::{Layout, secret};

/// Whose WAL and backups they are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Name and identity: others may have the name.
    pub cluster: String,
    /// PostgreSQL's.
    pub system_identifier: u64,
    /// Bytes of a segment of its WAL.
    pub segment_bytes: u32,
}

/// Where it is, without touching it.
pub fn storage(backup: &BackupSpec) -> anyhow::Result<Storage> {
    let options = match &backup.repository {
        RepositorySpec::Directory(path) => StorageOptions::at(Address::Directory(path.clone())),
        RepositorySpec::S3(s3) => s3_options(s3)?,
    };
    Ok(Storage::open(&options)?)
}

fn s3_options(s3: &S3Spec) -> anyhow::Result<StorageOptions> {
    let value = |source: &Option<SecretRef>| match source {
        None => Ok(None),
        Some(source) => match secret::read(source)? {
            None => Err(anyhow::Error::from(
                Failure::bad_input(
                    "a key of the repository's storage is in a file that is missing",
                )
                .hint("look at `access_key` and `secret_key` in `[backup.s3]`"),
            )),
            some => Ok(some),
        },
    };
    let address = Address::S3 { bucket: s3.bucket.clone(), prefix: s3.prefix.clone() };
    Ok(StorageOptions {
        s3: S3Options {
            allow_http: s3.endpoint.as_deref().is_some_and(|at| at.starts_with("http://")),
            endpoint: s3.endpoint.clone(),
            region: Some(s3.region.clone()),
            path_style: s3.path_style,
            ca_file: s3.ca.clone(),
            access_key: value(&s3.access_key)?,
            secret_key: value(&s3.secret_key)?,
        },
        ..StorageOptions::at(address)
    })
}

/// Where its key comes from.
pub fn key(backup: &BackupSpec) -> KeySource {
    match &backup.key {
        None => KeySource::None,
        Some(SecretRef::File(path)) => KeySource::File(path.clone()),
        Some(SecretRef::Env(name)) => KeySource::Env(name.clone()),
        Some(SecretRef::Command(words)) => KeySource::Command(words.clone()),
    }
}

/// One that is there.
pub async fn open(backup: &BackupSpec) -> anyhow::Result<Repository> {
    if let Some(repository) = open_there(backup).await? {
        return Ok(repository);
    }
    let place = storage(backup)?.place().to_owned();
    Err(Failure::failed(format!("no repository is there: `{place}`"))
        .hint("the cluster's primary makes one when it starts with `[backup]`")
        .into())
}

/// One that is there, or none.
pub async fn open_there(backup: &BackupSpec) -> anyhow::Result<Option<Repository>> {
    match Repository::open(storage(backup)?, &key(backup)).await {
        Err(RepoError::Absent { .. }) => Ok(None),
        opened => Ok(Some(opened?)),
    }
}

/// One that is there, or a new one. Its key is made up only where the file says nothing of its own
/// about it, below `secrets`, and never for a repository that exists.
pub async fn open_or_make(
    backup: &BackupSpec,
    secrets: &Path,
    now_ms: i64,
) -> anyhow::Result<Repository> {
    let storage = storage(backup)?;
    let mut key = key(backup);
    if !Repository::is_absent(&storage).await? {
        return Ok(Repository::open(storage, &key).await?);
    }
    if let KeySource::File(path) = &key
        && path.starts_with(secrets)
        && !path.exists()
    {
        let path = path.clone();
        key = Repository::make_key_file(&storage, &path).await?;
        tracing::warn!(
            "made a key for the repository; without it no backup can be read: keep a copy of `{}` \
             elsewhere, and on every node",
            path.display()
        );
    }
    let id = u128::from_le_bytes(random()?);
    match Repository::create(storage, &key, id, now_ms).await {
        // Another node was quicker.
        Err(RepoError::Taken { .. }) => open(backup).await,
        made => {
            let made = made?;
            tracing::info!("made a repository: `{}`", made.storage().place());
            Ok(made)
        }
    }
}

/// What the repository has of this cluster.
pub async fn find_lineage(
    repository: &Repository,
    owner: &Owner,
) -> Result<Option<Lineage>, RepoError> {
    for id in repository.lineages().await? {
        let lineage = repository.lineage(id);
        let about = match lineage.about().await {
            Err(RepoError::Absent { .. }) => continue,
            about => about?,
        };
        if about.cluster == owner.cluster && about.system_identifier == owner.system_identifier {
            return Ok(Some(lineage));
        }
    }
    Ok(None)
}

/// The same, begun where there is none.
pub async fn lineage(
    repository: &Repository,
    owner: &Owner,
    now_ms: i64,
) -> anyhow::Result<Lineage> {
    lineage_from(repository, owner, None, now_ms).await
}

/// The same, of a cluster whose history comes from elsewhere.
pub async fn lineage_from(
    repository: &Repository,
    owner: &Owner,
    parent: Option<Fork>,
    now_ms: i64,
) -> anyhow::Result<Lineage> {
    if let Some(lineage) = find_lineage(repository, owner).await? {
        return Ok(lineage);
    }
    let about = LineageAbout {
        cluster: owner.cluster.clone(),
        system_identifier: owner.system_identifier,
        segment_bytes: owner.segment_bytes,
        parent,
        created_ms: now_ms,
    };
    let id = LineageId(u64::from_le_bytes(random()?));
    Ok(repository.begin_lineage(id, &about).await?)
}

/// That of a cluster, for whoever has its file. Where its CA is, there is no doubt which one it is: a
/// cluster of the same name, from which this one was restored perhaps, is another. Elsewhere it is the
/// only one of the name that no other one has taken the place of.
pub async fn only_lineage(
    repository: &Repository,
    spec: &ClusterSpec,
    system_identifier: Option<u64>,
) -> anyhow::Result<Lineage> {
    let own = Layout::new(&spec.base_dir).ca();
    let identity = own.exists().then(|| admit::identity_at(&own)).transpose()?;
    let named = lineages::named(repository, spec.cluster.as_str()).await?;
    let whose = identity.map(|identity| super::owner(spec, &identity));
    let is_own = |about: &LineageAbout| whose.as_ref().is_none_or(|own| *own == about.cluster);
    let is_of = |about: &LineageAbout| {
        system_identifier.is_none_or(|id| id == about.system_identifier) && is_own(about)
    };
    let found: Vec<&Named> = named.iter().filter(|(_, about)| is_of(about)).collect();
    let present = lineages::present(&found).await?;
    let newest: Vec<&Lineage> = present.iter().map(|(lineage, _)| lineage).collect();
    let ids = |all: Vec<String>| format!("name one with --lineage: {}", all.join(", "));
    match newest[..] {
        [lineage] => Ok(lineage.clone()),
        [] => {
            let place = repository.storage().place();
            let all: Vec<String> = named.iter().map(|(other, _)| other.id().to_string()).collect();
            let hint = match all.is_empty() {
                true => "name another with --lineage, if it is another cluster's".to_owned(),
                false => format!("clusters of this name that are gone are there; {}", ids(all)),
            };
            let what = format!("no WAL of `{}` is in `{place}`", spec.cluster);
            Err(Failure::failed(what).hint(hint).into())
        }
        _ => Err(Failure::failed(format!("several clusters are called `{}`", spec.cluster))
            .hint(ids(newest.iter().map(|lineage| lineage.id().to_string()).collect()))
            .into()),
    }
}

/// From the kernel.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    let mut source = File::open("/dev/urandom").context("open: `/dev/urandom`")?;
    source.read_exact(&mut bytes).context("read random bytes: `/dev/urandom`")?;
    Ok(bytes)
}
