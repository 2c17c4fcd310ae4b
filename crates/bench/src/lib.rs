//! Howdah and its peers, measured in the same run, on the same machine, by the same client.
//!
//! A [`Stack`] is a running three-node cluster that can be hurt; [`round::run`] hurts it once
//! while a client writes; [`report`] turns the rounds into a table.

pub mod backup;
pub mod held;
pub mod howdah;
pub mod idle;
pub mod load;
pub mod machine;
pub mod patroni;
pub mod proxy;
pub mod report;
pub mod round;
pub mod saturation;
pub mod stack;

pub use stack::{Fault, GIVE_UP_AFTER, Stack};
