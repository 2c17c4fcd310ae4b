//! WAL of real servers into a real repository.

mod bound;
mod desk;
mod place;
mod stream;
