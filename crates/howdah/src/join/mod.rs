//! How a machine becomes a node: a token is created where the CA's key lies, and redeemed once
//! by the machine that types it.
//!
//! ```text
//! howdah token create n2 (root)      secrets/join/ID.json: a hash, and the CA's key, sealed
//!        |                                    ^
//!        | printed: howdah join TOKEN         | unseals with the token's secret
//!        v                                    |
//! howdah join -     --key made here, TLS--> POST /join, answered by the node (postgres)
//! ```
//!
//! The node that answers runs as the servers' user and cannot read the CA's key. It needs it for
//! a moment only, and in that moment the new machine brings what opens it.

pub mod doorkeeper;
pub mod kept;
pub mod token;
