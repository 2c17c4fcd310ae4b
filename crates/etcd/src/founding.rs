//! The right to make a new store: written where the cluster's CA is made, and used up once.
//!
//! A node without data cannot know whether it is new or has lost what it had. So it makes no
//! store on its own account: this file says that the cluster is made here and now, and by whom.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use howdah_base::NodeName;
use serde::{Deserialize, Serialize};

use crate::error::KeeperError;

/// Who makes the store together, in one file a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Founding {
    pub members: BTreeSet<NodeName>,
    /// Drawn once, so that a store made later is not taken for this one.
    pub nonce: String,
}

const NONCE_BYTES: usize = 8;

impl Founding {
    /// A new store of these members.
    ///
    /// # Errors
    /// When the kernel has no random numbers.
    pub fn of(members: BTreeSet<NodeName>) -> io::Result<Founding> {
        let mut bytes = [0; NONCE_BYTES];
        fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
        let nonce = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Founding { members, nonce })
    }

    /// The file's content.
    pub fn text(&self) -> String {
        format!("{}\n", serde_json::json!(self))
    }

    /// `None` without a file, which is the usual case.
    pub(crate) fn read(path: &Path) -> Result<Option<Founding>, KeeperError> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(KeeperError::file("read the right to found the store", path)(error));
            }
        };
        let read = serde_json::from_str(&text).map_err(io::Error::other);
        read.map(Some).map_err(KeeperError::file("read the right to found the store", path))
    }

    /// The store has been made: the right is used up.
    pub(crate) fn use_up(path: &Path) -> Result<(), KeeperError> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(KeeperError::file("remove the used right to found the store", path)(error))
            }
            _ => Ok(()),
        }
    }
}
