//! The cluster CA, the certificates it issues, and the TLS configurations made of them.
//!
//! ```text
//! tls/ca.crt ca.key                 made once, on the first machine; the key goes to every data
//!                                   node that joins and stays with who prepares it there
//! tls/<node>.crt .key               the node towards clients, peers, HTTP; its PostgreSQL, its etcd
//! tls/replicator.crt .key           a standby's login (CN=howdah_replicator)
//! client/operator.crt .key          who may order changes (CN=operator:<name>)
//! <dir>/proxy.crt .key              a proxy without a node, towards nodes (CN=proxy:<name>)
//! <dir>/server.crt .key             the same towards its clients
//! ```
//!
//! A door: it makes, keeps and loads files. Who may connect is decided by who uses the
//! configurations. Absent on purpose: revocation lists and a change of the CA (a cluster that
//! must distrust a node gets a new CA) and passwords on keys (an unattended server would need one
//! beside the key).

mod authority;
mod binding;
mod certificate;
mod config;
mod error;
mod files;
mod identity;
mod pair;
mod peer;
mod pin;
mod pooler;
mod refusal;
mod seal;

pub use authority::{Authority, CLUSTER, NewKey, OPERATOR, PROXY, REPLICATOR, request};
pub use binding::end_point;
pub use certificate::{Certificate, Life};
pub use config::{
    for_clients, for_http, for_peers, install_provider, nodes_to_http, to_http, to_peers,
};
pub use error::TlsError;
pub use files::{Owner, read_key, write};
pub use identity::Identity;
pub use pair::Pair;
pub use peer::Member;
pub use pin::{Fingerprint, to_pinned};
pub use pooler::{ServerCheck, for_anybody, to_servers};
pub use refusal::{Refused, refused};
pub use seal::{random, same, seal, sha256, unseal};
