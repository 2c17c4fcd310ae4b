//! Pools as they are counted: pure.

mod shares;

pub use shares::{Class, Shares, Waiter};
