//! What keeps a member from being kept, in words for an operator.

use std::io;
use std::path::{Path, PathBuf};

/// Why the keeper cannot work, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    #[error(
        "etcd is not installed on this machine: looked for `etcd` in {looked}\n\
         hint: apt-get install etcd-server, or name the binary as `store.etcd.bin`"
    )]
    NoBinary { looked: String },

    #[error(
        "etcd is too old, 3.4 is needed: `{}` is {version}\n\
         hint: install a newer one, or name it as `store.etcd.bin`", path.display()
    )]
    TooOld { path: PathBuf, version: String },

    #[error(
        "cannot ask for its version: `{}`: {why}\n\
         hint: is it the etcd binary, and may howdah's user run it?", path.display()
    )]
    NotRunnable { path: PathBuf, why: String },

    #[error("cannot {action}: `{}`: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },

    #[error("the keeper of the store did not come up: {why}; its log: `{}`", log.display())]
    NotUp { why: String, log: PathBuf },
}

impl KeeperError {
    pub(crate) fn file(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(io::Error) -> KeeperError + use<> {
        let path = path.to_owned();
        move |source| KeeperError::File { action, path, source }
    }
}
