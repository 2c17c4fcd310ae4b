//! What becomes of WAL as it comes from the server: pure, with time and WAL as arguments.
//!
//! ```text
//! repository's end ┐                                        ┌► FetchHistory, PutHistory, Gap
//! server's words   ┴► begin() ─► Receiver ◄─ WAL, ends, ms ─┼► Start
//!                                    ▲                      ├► PutChunk, PutSegment, DropChunks
//!                                    └── durable(put) ◄─────┴► ReportFlushed
//! ```
//! WAL goes out in chunks, a second or a megabyte after it came, and once more as whole segments,
//! which take the chunks' place. What is reported as flushed is in the repository, with everything
//! before it; what can no longer be had is a [`Command::Gap`].

mod begin;
mod command;
mod puts;
mod receiver;

pub use begin::{Begin, Gap, Nowhere, Repository, Server, begin};
pub use command::{Command, Put};
pub use receiver::{CHUNK_BYTES_MAX, CHUNK_MS_MAX, Cluster, Receiver, Refused};
