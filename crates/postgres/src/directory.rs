//! PGDATA as it lies on the disk: whose it is, what state it is in, and what marks it.

mod history;

use std::fs;
use std::path::Path;

use howdah_base::{DirectoryId, History, NodeName};
use serde::{Deserialize, Serialize};

use crate::control::{self, ControlData};
use crate::install::Install;
use crate::{PgError, durable};

pub(crate) use history::forget_timelines_after;
pub(crate) use history::received_histories;
pub use history::{clear_reserved, read_history, reserve_timeline};

/// Says whose a directory is; a copy brings the source's along and gets its own at once.
const IDENTITY: &str = "howdah.json";
/// In the state directory: says that PGDATA is worthless until it is made anew.
const UNUSABLE: &str = "unusable.json";

/// The content of `howdah.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DirectoryFile {
    pub id: DirectoryId,
    pub node: NodeName,
    /// Made by initdb or adopted, not yet a cluster.
    #[serde(default)]
    pub fresh: bool,
    /// It held data before it became a node's: never worthless, whatever the store says.
    #[serde(default)]
    pub adopted: bool,
}

/// What lies there.
#[derive(Clone, PartialEq, Debug)]
pub enum DirectoryState {
    Missing,
    Empty,
    /// Not PostgreSQL's, of another major, or not to be read.
    Foreign {
        what: String,
    },
    /// A rewind was interrupted.
    Unusable {
        why: String,
    },
    Ready(Ready),
}

/// A directory that can be started.
#[derive(Clone, PartialEq, Debug)]
pub struct Ready {
    pub file: Option<DirectoryFile>,
    pub control: ControlData,
    pub standby_signal: bool,
    /// Of the newest timeline of which it holds WAL.
    pub history: History,
}

/// Looks at PGDATA. Blocking: its disk may hang.
pub fn read(install: &Install, data_dir: &Path, state_dir: &Path) -> DirectoryState {
    match fs::read_to_string(state_dir.join(UNUSABLE)) {
        Ok(why) => return DirectoryState::Unusable { why },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // There is a mark: what it says matters less than that.
        Err(error) => return DirectoryState::Unusable { why: format!("its mark: {error}") },
    }
    match fs::read_dir(data_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => DirectoryState::Missing,
        Err(error) => foreign(format!("it cannot be read, {error}: `{}`", data_dir.display())),
        Ok(mut entries) => match entries.next() {
            None => DirectoryState::Empty,
            Some(_) => whole(install, data_dir),
        },
    }
}

fn foreign(what: String) -> DirectoryState {
    DirectoryState::Foreign { what }
}

fn whole(install: &Install, data_dir: &Path) -> DirectoryState {
    let Ok(version) = fs::read_to_string(data_dir.join("PG_VERSION")) else {
        return foreign(format!("it is not PostgreSQL's: `{}`", data_dir.display()));
    };
    if version.trim() != install.major.to_string() {
        return foreign(format!(
            "it is of PostgreSQL {}, and this node runs {}: `{}`",
            version.trim(),
            install.version,
            data_dir.display()
        ));
    }
    match ready(install, data_dir) {
        Ok(ready) => DirectoryState::Ready(ready),
        Err(error) => foreign(error.to_string()),
    }
}

fn ready(install: &Install, data_dir: &Path) -> Result<Ready, PgError> {
    let control = control::read(install, data_dir)?;
    Ok(Ready {
        file: read_file(data_dir)?,
        standby_signal: data_dir.join("standby.signal").exists(),
        history: received_histories(data_dir, &control)?.swap_remove(0),
        control,
    })
}

/// The directory's identity; `None` when nobody gave it one.
pub fn read_file(data_dir: &Path) -> Result<Option<DirectoryFile>, PgError> {
    let path = data_dir.join(IDENTITY);
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|e| PgError::Unexpected(format!("{e}: `{}`", path.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PgError::io("read", &path)(error)),
    }
}

/// Gives the directory its identity, durably.
pub fn write_file(data_dir: &Path, file: &DirectoryFile) -> Result<(), PgError> {
    let text = serde_json::to_string(file).map_err(|e| PgError::Unexpected(e.to_string()))?;
    durable::write(&data_dir.join(IDENTITY), &text)
}

/// From here on PGDATA is worthless, until [`mark_usable`].
pub(crate) fn mark_unusable(state_dir: &Path, why: &str) -> Result<(), PgError> {
    durable::write(&state_dir.join(UNUSABLE), why)
}

pub(crate) fn mark_usable(state_dir: &Path) -> Result<(), PgError> {
    durable::remove(&state_dir.join(UNUSABLE))
}
