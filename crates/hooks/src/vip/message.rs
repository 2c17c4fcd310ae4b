//! What agent and helper say to each other: one JSON object a line, one answer a request.
//!
//! A helper outlives upgrades of the agent, so a field added here later needs a default.

use std::net::IpAddr;

use howdah_base::Tick;
use serde::{Deserialize, Serialize};

/// A longer line is refused, and who sent it is dropped.
pub const LINE_BYTES_MAX: usize = 4096;

/// What the agent may ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// The address is to be there until shortly before this moment of the boot-time clock.
    Hold {
        until: Tick,
    },
    /// It is to go. Answered when it has gone.
    Drop,
    State,
    /// The address goes, and the helper ends.
    Leave,
}

/// How things are after a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reply {
    pub pid: u32,
    pub address: IpAddr,
    pub prefix: u8,
    pub interface: String,
    /// The address is there.
    pub holds: bool,
    pub until: Option<Tick>,
    /// Why what was asked was not done.
    pub error: Option<String>,
}

/// One message as a line. Values of these types always serialize.
pub fn line(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
