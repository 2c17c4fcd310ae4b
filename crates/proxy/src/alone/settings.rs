//! What a pooler alone is told: its databases, who may come in, and how. Exchanged as a whole while
//! clients are served; where it listens is not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use howdah_base::Span;
use howdah_spec::hba::HbaRule;
use howdah_wire::scram::Verifier;
use rustls::{ClientConfig, ServerConfig};

use crate::console::Shown;
use crate::policy::Policy;
use crate::route::Address;

/// Everything that can be changed while clients are served.
#[derive(Clone, Debug)]
pub struct Settings {
    pub policy: Policy,
    /// By the name that clients ask for.
    pub databases: BTreeMap<String, Arc<Database>>,
    /// For names that are not among them (`*`): the database is called as the client calls it.
    pub fallback: Option<Arc<Database>>,
    pub auth: Auth,
    /// Who is known, by name (`auth_file`).
    pub roles: BTreeMap<String, Arc<Kept>>,
    /// With [`Auth::Hba`].
    pub hba: Arc<Vec<HbaRule>>,
    pub clients_max: u32,
    /// For TLS with clients; `None`: there is none.
    pub client_tls: Option<ClientTls>,
    pub server_tls: ServerTls,
    /// Startup parameters that are taken and not followed.
    pub ignored: BTreeSet<String>,
    pub logs_connections: bool,
    /// A client's address goes behind its application_name.
    pub adds_host: bool,
    pub console: Console,
    pub tcp: Tcp,
    /// TLS, first packet and login of a client.
    pub client_login_timeout: Duration,
    /// Reaching a server and logging into it.
    pub connect_timeout: Duration,
}

/// Where a database of clients is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Database {
    /// At least one; each is tried, in turn.
    pub addresses: Vec<Address>,
    /// Its name there; `None`: as clients call it.
    pub name: Option<String>,
    /// Everybody is this role there.
    pub user: Option<String>,
    pub password: Option<howdah_base::Redacted<String>>,
    /// The same query for all whom [`Settings::roles`] does not know.
    pub asks: Option<Asks>,
    /// Settings that its clients begin with, where they say nothing else.
    pub begins_with: Vec<(String, String)>,
}

/// A role's verifier is asked of a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asks {
    pub user: String,
    /// Of two columns, with the name as `$1`.
    pub query: String,
    /// Where; `None`: in the client's own database.
    pub database: Option<String>,
}

/// How clients prove who they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Auth {
    /// Not at all, and the name does not matter.
    Any,
    /// Not at all; the name must be known.
    Trust,
    Plain,
    /// MD5, or SCRAM for whoever has a verifier.
    Md5,
    Scram,
    /// By a certificate with the name.
    Cert,
    /// As [`Settings::hba`] says.
    Hba,
}

/// What is kept of a role's password.
pub struct Kept {
    pub secret: KeptSecret,
    /// Of a password in clear: made once, because it takes long.
    verifier: OnceLock<Verifier>,
}

#[derive(Clone, PartialEq, Eq)]
pub enum KeptSecret {
    Nothing,
    Password(String),
    Md5(String),
    Verifier(Verifier),
}

impl Kept {
    /// As it stands in a user list or in `pg_authid`.
    pub fn of(text: &str) -> Kept {
        let secret = match text.parse::<Verifier>() {
            _ if text.is_empty() => KeptSecret::Nothing,
            Ok(verifier) => KeptSecret::Verifier(verifier),
            Err(_) if is_md5(text) => KeptSecret::Md5(text.to_owned()),
            Err(_) => KeptSecret::Password(text.to_owned()),
        };
        Kept { secret, verifier: OnceLock::new() }
    }

    /// By which a client proves itself with SCRAM; `None`: it cannot. May take milliseconds.
    pub(crate) fn verifier(&self) -> Option<&Verifier> {
        match &self.secret {
            KeptSecret::Verifier(verifier) => Some(verifier),
            KeptSecret::Password(text) => {
                Some(self.verifier.get_or_init(|| Verifier::new(text, howdah_tls::random())))
            }
            KeptSecret::Md5(_) | KeptSecret::Nothing => None,
        }
    }
}

fn is_md5(text: &str) -> bool {
    text.strip_prefix("md5")
        .is_some_and(|hash| hash.len() == 32 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Secrets, all of them.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for KeptSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[derive(Clone, Debug)]
pub struct ClientTls {
    pub config: Arc<ServerConfig>,
    /// Nobody comes in without, except by a Unix socket.
    pub required: bool,
}

/// How servers are reached over TCP.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// `None`: in the clear.
    pub config: Option<Arc<ClientConfig>>,
    /// A server without TLS is none.
    pub required: bool,
}

/// Who may speak to the pooler itself.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Console {
    pub admins: Vec<String>,
    pub watchers: Vec<String>,
    /// What SHOW CONFIG shows.
    pub shown: Vec<Shown>,
    /// Where clients come in over TCP.
    pub port: u16,
}

/// What sockets are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tcp {
    /// `None`: the other side is not probed.
    pub keepalive: Option<Span>,
    /// Zero: the system's.
    pub user_timeout: Span,
}

/// Where clients come in; fixed for the life of the process.
#[derive(Clone, Debug)]
pub struct Listens {
    pub addresses: Vec<std::net::SocketAddr>,
    pub unix: Option<UnixPlace>,
    pub backlog: u32,
    pub reuse_port: bool,
}

/// The socket in it is called as PostgreSQL's.
#[derive(Clone, Debug)]
pub struct UnixPlace {
    pub directory: PathBuf,
    pub port: u16,
    /// Permissions of the socket.
    pub mode: u32,
    /// Group of the socket.
    pub group: Option<u32>,
}
