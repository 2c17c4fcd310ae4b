//! WAL and backups into the repository, and back out of it.
//!
//! A shell: it joins the server's stream and its data directory to the repository. What it decides is
//! in pure modules: what becomes of WAL as it comes ([`receive`]), which files and pages count
//! ([`backup::files`], [`backup::page`]), what a restore needs ([`restore::plan`]), what may go
//! ([`expire`]), what is due ([`schedule::due`]), and which backups are green ([`proof::green`]).

pub mod backup;
pub mod desk;
pub mod drill;
pub mod expire;
mod packs;
pub mod proof;
pub mod receive;
pub mod restore;
pub mod schedule;
pub mod ship;
mod stop;
mod threads;
mod tree;
pub mod verify;
