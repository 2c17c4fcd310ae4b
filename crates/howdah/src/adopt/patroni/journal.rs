//! What has been done on this node, and how Patroni ran before: written durably ahead of each
//! step, so that a command that was cut short goes on where it stopped.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::daemon::Daemon;
use super::rest::Member;
use crate::failure::why;
use crate::prepare::write_file;

const FOLDER: &str = "adopted";
const FILE: &str = "patroni.json";

/// How far this node is. Written before what it names is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Patroni's process is stopped; PostgreSQL stays as it is.
    Daemon,
    /// PostgreSQL is stopped and its directory marked as the node's.
    Take,
    /// The node is Howdah's.
    Taken,
}

/// One node's account.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Journal {
    pub step: Step,
    pub daemon: Daemon,
    /// Everybody, as Patroni knew them when its process was stopped here.
    pub members: Vec<Member>,
    /// The name of the member that led.
    pub leader: String,
    pub system_identifier: String,
}

impl Journal {
    pub fn read(state_dir: &Path) -> anyhow::Result<Option<Journal>> {
        let path = path(state_dir);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                anyhow::bail!("cannot read, {}: `{}`", why(&error), path.display())
            }
        };
        let journal = serde_json::from_str(&text);
        Ok(Some(journal.with_context(|| format!("read `{}`", path.display()))?))
    }

    /// Only its owner reads it: variables of Patroni's process hold passwords.
    pub fn write(&self, state_dir: &Path) -> anyhow::Result<()> {
        let path = path(state_dir);
        let folder = path.parent().unwrap_or(state_dir);
        fs::create_dir_all(folder).context("make a folder for what was there before")?;
        let text = serde_json::to_string_pretty(self).context("write what was there before")?;
        write_file(&path, 0o600, text.as_bytes())?;
        nix::unistd::sync();
        Ok(())
    }

    /// There is nothing to undo any more.
    pub fn forget(state_dir: &Path) -> anyhow::Result<()> {
        match fs::remove_dir_all(state_dir.join(FOLDER)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("remove what was kept")
            }
            _ => Ok(()),
        }
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join(FOLDER).join(FILE)
}
