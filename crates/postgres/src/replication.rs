//! A client of PostgreSQL's streaming replication: slots, timelines, and WAL as it is written.
//!
//! ```text
//! Client ──start()──► Stream ──next()──► Wal · KeepAlive · TimelineEnds ──end()──► Client
//!                       └── Feedback ──report()──► status updates
//! ```
//! A door: it says what the server said, and reports what it was told is durable, nothing else.
//!
//! **A fast shutdown of the server waits for every stream until all that it was sent is reported as
//! flushed** (`WalSndDone`), and no timeout ends that, because the stream goes on answering. Whoever
//! holds one must let go of it, within a bound, when the server is to be stopped.
//!
//! Source: PostgreSQL documentation, "Streaming Replication Protocol";
//! `src/backend/replication/walsender.c`, the same from PostgreSQL 14 on but for what is noted.

mod client;
mod link;
mod message;
mod stream;

pub use client::{Client, Identity, Login, SlotAt, Start};
pub use stream::{Event, Feedback, Stream};

/// SQLSTATE of a segment that the server no longer has (`undefined_file`).
pub const SEGMENT_REMOVED: &str = "58P01";
/// SQLSTATE of a slot that another connection uses (`object_in_use`).
pub const SLOT_IN_USE: &str = "55006";
