//! PgBouncer's files: read into settings by which a pooler runs (`howdah pgbouncer`), or into the
//! little that has a place in a cluster file.
//!
//! ```text
//! pgbouncer.ini ──lines──► section, name, value ──options──► Settings
//! variables of its images ──environment──► the same          │ and what is said of each key
//! userlist.txt ──userlist──► name, password or hash
//! ```

mod carry;
mod databases;
mod environment;
mod lines;
mod options;
mod read;
mod settings;
mod userlist;
mod users;
mod values;

#[cfg(test)]
mod tests;

pub use carry::path_of;
pub(crate) use carry::{POOLER, carry, place, take};
pub use environment::{FromVariables, Variables, ini_of};
pub use lines::{Line, Says, lines};
pub use options::{OPTIONS, Opt, Takes, find as option};
pub use read::{Read, read, read_and_set};
pub use settings::{
    Asking, AuthType, DatabaseSettings, Hosts, ListenAddr, Own, Settings, SslMode, TlsFiles,
};
pub use userlist::userlist;
