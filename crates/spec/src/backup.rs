//! `[backup]`: where backups and WAL are kept, and with what they are sealed.

use std::path::PathBuf;

use howdah_base::Span;

pub use crate::drill::{DrillCheck, DrillSpec};
use crate::schedule::ScheduleSpec;
use crate::types::SecretRef;

/// The repository of a cluster, and how it is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackupSpec {
    pub repository: RepositorySpec,
    pub cipher: Cipher,
    /// The repository's key, 32 bytes as hex or base64. `None` with [`Cipher::None`] only.
    pub key: Option<SecretRef>,
    /// Threads that read, compress and seal on the node that makes a backup.
    pub jobs: u32,
    pub standbys: StandbysFrom,
    pub keep: KeepSpec,
    pub drill: DrillSpec,
    pub schedule: ScheduleSpec,
}

/// What new standbys are made from, and those that have to be made anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StandbysFrom {
    /// A server that runs: the primary, or a standby that the file names for it.
    Primary,
    /// The newest backup and WAL; a server only where that does not come off.
    Repository,
}

impl StandbysFrom {
    /// The words of the cluster file.
    pub const WORDS: [(&str, StandbysFrom); 2] =
        [("primary", StandbysFrom::Primary), ("repository", StandbysFrom::Repository)];

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, from)| *from == self).map_or("", |(word, _)| word)
    }
}

/// How long backups and WAL stay. A count of zero keeps none by itself; the newest backup always
/// stays, and those that moments of the recovery window are reached from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeepSpec {
    /// So many of the newest.
    pub last: u32,
    /// Those that are not older.
    pub within: Span,
    /// The newest of each of so many days, weeks (ISO 8601), months and years, in
    /// [`ScheduleSpec::zone`].
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
    pub yearly: u32,
    /// Any moment since then can be gone back to.
    pub wal: Span,
}

impl BackupSpec {
    /// Whatever is found elsewhere: its key, and those of its storage.
    pub fn secrets(&self) -> impl Iterator<Item = &SecretRef> {
        let storage = match &self.repository {
            RepositorySpec::S3(s3) => [&s3.access_key, &s3.secret_key],
            RepositorySpec::Directory(_) => [&None, &None],
        };
        self.key.iter().chain(storage.into_iter().flatten())
    }
}

/// Where it lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RepositorySpec {
    /// A directory that all nodes reach at this path.
    Directory(PathBuf),
    S3(S3Spec),
}

impl RepositorySpec {
    /// Which one it is, however it is reached: a path, or a bucket's address and its server.
    pub fn place(&self) -> String {
        match self {
            RepositorySpec::Directory(path) => path.display().to_string(),
            RepositorySpec::S3(S3Spec { bucket, prefix, endpoint, .. }) => {
                let at = endpoint.as_ref().map(|endpoint| format!(" at {endpoint}"));
                format!("s3://{bucket}/{prefix}{}", at.unwrap_or_default())
            }
        }
    }
}

/// A bucket of Amazon's S3, or of a server that speaks its protocol.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct S3Spec {
    pub bucket: String,
    /// All objects lie below it; without `/` at either end, empty for the whole bucket.
    pub prefix: String,
    /// Such as `https://minio.example:9000`; Amazon's of the region when `None`.
    pub endpoint: Option<String>,
    pub region: String,
    /// The bucket stands in the path, not in the host's name.
    pub path_style: bool,
    /// Who vouches for the endpoint; the system's authorities when `None`.
    pub ca: Option<PathBuf>,
    /// With `secret_key`; the environment's `AWS_ACCESS_KEY_ID` and its like, or the machine's
    /// role, when `None`.
    pub access_key: Option<SecretRef>,
    pub secret_key: Option<SecretRef>,
}

/// What objects are sealed with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cipher {
    Aes256Gcm,
    /// Whoever reads the repository reads the data.
    None,
}

impl Cipher {
    /// The words of the cluster file.
    pub const WORDS: [(&str, Cipher); 2] =
        [("aes-256-gcm", Cipher::Aes256Gcm), ("none", Cipher::None)];

    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, cipher)| *cipher == self).map_or("", |(word, _)| word)
    }
}
