//! `howdah adopt`: a PostgreSQL that is there becomes a node, in place, without a dump.
//!
//! ```text
//!   look (door) ──► Found ──► judge (pure) ──► Check… ──► take: keep what was, stop, mark
//!                                                          give_back: the same, backwards
//! ```
//!
//! Nothing is changed before every check has passed and the operator has said yes. What is
//! changed is kept before, below the node's state directory, so that it can be given back.
//! [`patroni`] takes a whole cluster over, node by node.

mod address;
mod before;
mod judge;
mod look;

pub mod give_back;
pub mod patroni;
pub mod take;

pub use address::Address;
pub use before::Before;
pub use judge::{Check, Level, judge, node_at};
pub use look::{Found, look, look_as};
