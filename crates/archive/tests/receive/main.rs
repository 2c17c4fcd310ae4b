//! The receiver in words, at every split, and on real servers.

mod golden;
mod real;
mod repository;
mod splits;
mod wal;
