//! What the paths read and write, and by which secrets an asker may change something.

use std::path::PathBuf;
use std::sync::Arc;

use howdah_base::Redacted;
use howdah_base::status::ClusterStatus;
use howdah_spec::ClusterSpec;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Health, Request};

/// What the agent tells, each on a channel of its own, and the way to ask it.
#[derive(Clone, Debug)]
pub struct Feeds {
    pub status: watch::Receiver<Arc<ClusterStatus>>,
    pub health: watch::Receiver<Health>,
    /// `None` until the store has been read for the first time.
    pub file: watch::Receiver<Option<Arc<FileInForce>>>,
    pub requests: mpsc::Sender<Request>,
}

/// Whoever knows more than is here of what `/metrics` tells, and answers with lines of it.
pub type MoreMetrics = mpsc::Sender<oneshot::Sender<String>>;

/// The cluster file in force.
#[derive(Clone, PartialEq, Debug)]
pub struct FileInForce {
    pub revision: u64,
    pub text: String,
    /// What the text means, defaults filled in.
    pub spec: Arc<ClusterSpec>,
}

/// Who may change something, and where it is written down.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Opens the requests that change something; an empty one opens nothing.
    pub token: Redacted<String>,
    /// For Patroni's clients: HTTP basic authentication besides the token.
    pub basic: Option<Basic>,
    /// Take changes without TLS from other machines too.
    pub plain_changes: bool,
    /// Where the audit log lies. Without one nothing can be changed.
    pub audit_dir: PathBuf,
}

/// A user and a password of HTTP basic authentication (RFC 7617).
#[derive(Clone, Debug)]
pub struct Basic {
    pub user: String,
    pub password: Redacted<String>,
}
