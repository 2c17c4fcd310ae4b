//! How an agent gets WAL files of another node's dead server. The way there is the peers' port,
//! which this crate does not know: the binary gives it.

use std::fmt::Debug;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;

use howdah_base::{NodeName, Term, WalFile};

/// Whose WAL: the node that leads `term` without a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WalFrom {
    pub from: NodeName,
    pub host: String,
    pub peer_port: u16,
    pub term: Term,
}

/// Which file, how long it must be in bytes, and the path that it is written to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WalPart {
    pub file: WalFile,
    pub len: u64,
    pub into: PathBuf,
}

/// What a fetch comes to.
pub type Fetching = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The way to other nodes' WAL.
pub trait WalSource: Debug + Send + Sync {
    /// Writes the file; what lies at its path counts only when this is `Ok`. Bounded: ends with an
    /// error when nothing comes any more.
    fn fetch(&self, from: WalFrom, part: WalPart) -> Fetching;
}
