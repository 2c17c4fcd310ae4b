//! What can go wrong around the virtual IP.

use std::io;
use std::path::{Path, PathBuf};

/// Why something about the virtual IP failed.
#[derive(Debug, thiserror::Error)]
pub enum VipError {
    #[error("cannot {action}: {source}: `{}`", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },

    #[error("cannot {action}: {source}")]
    System { action: &'static str, source: io::Error },

    #[error(
        "another helper works here, its lock: `{}`\n\
         hint: one helper holds one address; end the other", lock.display()
    )]
    AlreadyRuns { lock: PathBuf },

    #[error("there is no such interface: `{interface}`\nhint: see `ip link`, and `[vip]`")]
    NoInterface { interface: String },

    #[error(
        "not allowed to change addresses: `{interface}`\n\
         hint: start the helper as root, or with CAP_NET_ADMIN and CAP_NET_RAW"
    )]
    NotAllowed { interface: String },

    #[error("the helper did not come up, {why}: `{}`\nhint: read its log: `{}`",
        socket.display(), log.display())]
    NotUp { why: String, socket: PathBuf, log: PathBuf },
}

impl VipError {
    /// For `map_err` on file operations.
    pub(crate) fn io<E: Into<io::Error>>(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> VipError + use<E> {
        let path = path.to_owned();
        move |source| VipError::Io { action, path, source: source.into() }
    }

    /// For `map_err` on system calls that concern no file.
    pub(crate) fn system<E: Into<io::Error>>(action: &'static str) -> impl FnOnce(E) -> VipError {
        move |source| VipError::System { action, source: source.into() }
    }
}
