//! What a node remembers of having been admitted, in its state_dir.

use std::path::PathBuf;

use howdah_spec::NodeSpec;
use serde::{Deserialize, Serialize};

use crate::prepare::{layout, write_file};

/// Empty for a node that has never taken part, or has lost its disk.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    /// The agent that ran here last; its lock shows that it is gone.
    #[serde(default)]
    pub agent: Option<String>,
    /// Fingerprint of this machine's file as it was when the node was admitted with it.
    #[serde(default)]
    pub file: Option<String>,
}

impl Kept {
    pub fn read(node: &NodeSpec) -> Kept {
        let text = std::fs::read_to_string(path(node)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }

    /// A disk that is full does not keep a node from starting: the next start takes a lease's
    /// time longer.
    pub fn write(&self, node: &NodeSpec) {
        let text = serde_json::json!(self).to_string();
        if let Err(error) = write_file(&path(node), 0o600, text.as_bytes()) {
            tracing::warn!("{error:#}");
        }
    }
}

fn path(node: &NodeSpec) -> PathBuf {
    layout::admitted(node)
}
