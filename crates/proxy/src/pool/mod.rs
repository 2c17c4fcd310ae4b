//! Who gets a server next, as pure accounting: limits in levels, classes with guaranteed parts.

mod accounts;
mod level;

pub use accounts::{Accounts, Class, PoolLimits, Waiter};

#[cfg(test)]
mod tests;
