//! Every door of the crate, tried on a real PostgreSQL.
//!
//! The tests run as PostgreSQL's own user, as the agent does: a test process that is root becomes
//! that user before anything else.

mod copying;
mod directory;
mod harness;
mod promotion;
mod rewinding;
mod session;
mod sync;
mod wal_end;
