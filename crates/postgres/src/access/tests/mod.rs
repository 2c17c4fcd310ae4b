//! Plans as text, and plans made true on a real server.

mod plans;
mod scratch;
mod server;
