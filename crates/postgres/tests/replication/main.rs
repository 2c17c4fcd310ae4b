//! The replication client on real servers, one story a file.

mod commands;
mod patience;
mod rig;
mod stream;
mod timelines;
