//! Backups of real servers into a real repository, and restores out of it.

mod damage;
mod delta;
mod expired;
mod full;
mod history;
mod incremental;
mod place;
mod proven;
mod refused;
mod resumed;
mod standby;
mod summaries;
mod unreliable;
mod verified;
