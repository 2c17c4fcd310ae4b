//! The HA records as they are read from the store, and the transactions that commands become.
//!
//! Pure, and used by the agent and by the simulation alike, so that what is simulated is what
//! runs: a comparison left out here is a bug that the simulation can find.

mod read;
mod write;

pub use read::{Reader, view_of};
pub use write::{Author, INTENT_LIVES_MS, held, leave_txn, member_txn, seal_txn, txn_for};
