//! The cluster CA, the certificates it issues, and the TLS configurations made of them.
//!
//! ```text
//! tls/ca.crt ca.key                 made once; the key stays with who ran `howdah up`
//! tls/<node>.crt .key               the node towards clients, towards peers, and its PostgreSQL
//! tls/replicator.crt .key           a standby's login (CN=howdah_replicator)
//! ```
//!
//! A door: it makes, keeps and loads files. Who may connect is decided by who uses the
//! configurations. Absent on purpose: revocation lists (a cluster that must distrust a node
//! gets a new CA) and passwords on keys (an unattended server would need one beside the key).

mod authority;
mod config;
mod error;
mod files;
mod pair;
mod peer;

pub use authority::{Authority, REPLICATOR};
pub use config::{for_clients, for_peers, install_provider, to_peers};
pub use error::TlsError;
pub use files::Owner;
pub use pair::Pair;
