//! Who gets a server next, as pure accounting: limits in levels, classes with guaranteed parts.

mod accounts;
mod histogram;
mod level;

pub use accounts::{Accounts, Class, PoolLimits, Waiter};
pub use histogram::Histogram;

#[cfg(test)]
mod tests;
