//! What this node has promised, in `state_dir/promise.json`: durable before it is told, read before
//! anything is decided (PROTOCOL sections 2 and 4).

use std::path::PathBuf;
use std::time::Duration;

use howdah_base::record::Revocation;
use howdah_postgres::write_durably;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::jobs::blocking;
use crate::shared::Shared;

/// A promise that is not on the disk by then is none.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// The file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Promises {
    /// Nothing is received any more.
    #[serde(default)]
    pub revoked: Revocation,
}

impl Promises {
    /// What an agent of this node promised last. Blocking.
    ///
    /// # Errors
    /// A file that does not read: without it nobody knows what was promised, so the node must not
    /// take part in anything.
    pub fn load(shared: &Shared) -> Result<Promises, String> {
        let path = path(shared);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Promises::default());
            }
            Err(error) => return Err(format!("cannot read, {error}: `{}`", path.display())),
        };
        serde_json::from_str(&text).map_err(|error| {
            format!(
                "what this node has promised cannot be read, {error}: `{}`\n\
                 hint: with every other node of the cluster running, remove this node's folder and \
                 let it be made anew",
                path.display()
            )
        })
    }

    /// Writes the file, whole and durably.
    pub async fn keep(self, shared: &Shared) -> Result<Promises, String> {
        let path = path(shared);
        let written = blocking(move || {
            let text = serde_json::to_string(&self).map_err(|e| e.to_string())?;
            write_durably(&path, &text).map_err(|e| e.to_string())
        });
        match timeout(WRITE_WITHIN, written).await {
            Ok(written) => written.map(|()| self),
            Err(_) => Err(format!("the disk of state_dir did not take it within {WRITE_WITHIN:?}")),
        }
    }
}

fn path(shared: &Shared) -> PathBuf {
    shared.config.own().state_dir.join("promise.json")
}
