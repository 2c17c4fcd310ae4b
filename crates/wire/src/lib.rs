//! PostgreSQL's frontend/backend protocol: bytes to values and back, without I/O.
//!
//! Whoever owns a socket reads as many bytes as [`Step::Need`] asks for and hands them in again;
//! nothing here reads ahead, so what follows a packet (a TLS handshake, say) stays in the socket.
//! Values borrow from the caller's buffer. One message, one file.
//!
//! ```text
//! client bytes -> opening() -> DirectTls | SslRequest | GssEncRequest | Cancel | Startup
//! ErrorResponse -> encode() -> server bytes
//! server bytes -> Message::first(), UntilReady: what it says before a session begins
//! both ways    -> Walk: where messages begin; frontend: names in them; Replies: who gets an answer
//! both sides   -> scram: who proves what
//! ```
//!
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol"; `ProcessStartupPacket` in
//! `src/backend/postmaster/postmaster.c`.

mod asked;
mod authentication;
mod backend;
mod error_response;
mod opening;
mod startup;

pub mod frontend;
pub mod md5;
pub mod relay;
pub mod replies;
pub mod scram;
pub mod walk;

pub use authentication::{
    Authentication, InitialResponse, message, password, password_of, sasl_response,
};
pub use backend::{GREETING_LEN_MAX, Message, Oversized, UntilReady};
pub use error_response::{ErrorResponse, Severity};
pub use opening::{Malformed, OPENING_BODY_MAX, Opening, Step, opening};
pub use startup::{MINOR_MAX, NAME_LEN_MAX, Replication, Startup};
