//! Where PostgreSQL brings single WAL files and fetches them: `archive_command`, `restore_command`.
//!
//! ```text
//! howdah wal push ─┐  a Unix socket   ┌─► known: the stream has brought it ── hashes ── Shipped
//! howdah wal get  ─┴─► call ── serve ─┤   else: stored, if nothing contradicts it
//!                                     └─► fetched, and the next ones ahead of the question
//! ```
//! Whoever finds nobody at the socket does the same by itself ([`store`], [`fetch`]), only slower.

mod ahead;
mod call;
mod fetch;
mod local;
mod serve;
mod store;
mod talk;

pub use call::ask;
pub use fetch::{fetch, put_in_place};
pub use local::listen;
pub use serve::{Desk, Lineages, NotFound, PATIENCE};
pub use store::{NotStored, is_kept_elsewhere, store};
pub use talk::{Answer, Request};
