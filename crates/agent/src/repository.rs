//! How an agent gets a standby's directory from the repository. The way there is another shell's, which
//! this crate does not know: the binary gives it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use howdah_base::{History, Lsn};
use howdah_spec::ClusterSpec;
use tokio::sync::watch;

/// What is to be made.
#[derive(Clone, Debug)]
pub struct FromRepository {
    /// The cluster file in force.
    pub spec: Arc<ClusterSpec>,
    /// A place where nothing is yet.
    pub into: PathBuf,
    /// The cluster's.
    pub system_identifier: u64,
    /// The leader's: nothing that does not lie on it is taken.
    pub history: History,
    /// What a standby must not undercut, by the parameter's name.
    pub sizes: BTreeMap<String, u64>,
    /// How far it is.
    pub told: watch::Sender<Told>,
}

/// How far it is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Told {
    pub said: String,
    /// The repository holds all WAL up to here that will be needed: no server has to keep it.
    pub held: Option<Lsn>,
}

/// A directory that was shut down in recovery, with nothing left of how it got there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// From which backup.
    pub said: String,
    /// The WAL up to here is in it.
    pub replayed: Lsn,
}

/// What the making comes to.
pub type Making = Pin<Box<dyn Future<Output = Result<Made, String>> + Send>>;

/// The way to backups and WAL.
pub trait Backups: Debug + Send + Sync {
    /// Makes it; what lies there counts only when this is `Ok`. Given up when it is dropped.
    fn standby(&self, wanted: FromRepository) -> Making;
}
