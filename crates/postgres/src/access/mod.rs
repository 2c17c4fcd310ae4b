//! Roles and databases of the cluster file, made true on the running cluster.
//!
//! ```text
//!   read(server) ──▶ Current ─┐
//!                             ├─▶ plan ──▶ changes ──▶ shown (--diff) ──▶ apply(server)
//!   cluster file ──▶ Wanted ──┘
//! ```
//!
//! What the file names is made exactly so: rights, memberships, settings, owners, extensions.
//! What it does not name is left alone, and nothing is ever dropped. A second plan is empty.
//!
//! Passwords reach the server only as SCRAM verifiers ([`scram`]), so that neither its log nor
//! its statistics ever hold one; whether a password is still the wanted one is found out from
//! the verifier that the server has.

mod apply;
mod change;
mod current;
mod error;
mod plan;
mod session;
mod settings;
mod sql;
mod wanted;

pub mod scram;

pub use apply::apply;
pub use change::Change;
pub use current::{Current, Database, Role, read};
pub use error::{AccessError, Refusal};
pub use plan::plan;
pub use wanted::{Rights, Wanted, WantedDatabase, WantedRole};

#[cfg(test)]
mod tests;
