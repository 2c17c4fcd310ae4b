//! The high-availability decision core: view in, commands and a numbered reason out.
//!
//! ```text
//!  observations ──► View ──► decide(memory, view, now) ──► Decision { commands, reason, wake_at }
//! ```
//!
//! Pure: no clock, no I/O, no randomness, no async. The shell (`agent`) and the simulator
//! (`sim`) observe and perform; nothing here knows which of the two it is talking to.
//! The protocol is PROTOCOL.md's; sections are named where a rule implements one.

mod command;
mod decide;
pub mod election;
pub mod expected;
mod fitness;
pub mod grace;
mod lease;
mod memory;
pub mod preflight;
mod rule;
mod rules;
mod view;
pub mod voters;

pub use command::{Command, StopMode, TakeOver};
pub use decide::{Decision, decide};
pub use fitness::{Attempts, Disk};
pub use memory::Memory;
pub use rule::{Reason, Rule};
pub use rules::operator::is_older;
pub use rules::upstream::cascaded;
pub use view::{
    Directory, DirectoryFacts, Durability, Failures, Job, Local, Running, Sender, Server, Settings,
    StoreView, SyncSetting, Versioned, View,
};
