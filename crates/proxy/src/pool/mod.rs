//! Who gets a server next, as pure accounting: limits in levels, classes with guaranteed parts.

mod accounts;
mod board;
mod histogram;
mod level;
mod queue;
mod share;

pub use accounts::{Accounts, Class, Granted, PoolLimits};
pub use board::{Asked, Board, By, Deal, Deals, Has};
pub use histogram::Histogram;
pub use queue::{PATIENCE_US, Waiter};

#[cfg(test)]
mod board_tests;
#[cfg(test)]
mod tests;
