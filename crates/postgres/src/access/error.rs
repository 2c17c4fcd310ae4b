//! Why the file cannot be made true: what it asks for, or what the server answers.

use thiserror::Error;

/// Something in the file that this server cannot have. Found before anything is changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    #[error(
        "the role belongs to PostgreSQL or to howdah: `{0}`\n\
         hint: choose another name"
    )]
    ReservedRole(String),
    #[error("the database belongs to PostgreSQL: `{0}`\nhint: choose another name")]
    ReservedDatabase(String),
    #[error(
        "the owner of database {database} is no role: `{owner}`\n\
         hint: add it to the file as a role"
    )]
    NoOwner { database: String, owner: String },
    #[error(
        "role {role} is to be a member of what is no role: `{group}`\n\
         hint: add it to the file as a role of kind `group`"
    )]
    NoGroup { role: String, group: String },
    #[error(
        "the extension for database {database} is not installed on this server: `{extension}`\n\
         hint: install its package on every node"
    )]
    NoExtension { database: String, extension: String },
}

/// What stood in the way while reading or changing.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum AccessError {
    /// No connection, or it was lost: what was under way may or may not be done. Reading again
    /// tells.
    #[error("the server cannot be asked ({why}) in database: `{database}`")]
    Unreachable { database: String, why: String },
    /// The server refused it. What came before it is done.
    #[error("the server refused ({why}): `{shown}`")]
    Refused { shown: String, why: String },
}
