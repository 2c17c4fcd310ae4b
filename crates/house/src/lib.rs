//! The rules of the house, kept by tests: which crate may import which, what a pure crate may
//! name, how long a file may be, and under which licences the dependencies come.
//!
//! The checkers are plain functions from text to a list of complaints, so that each is proved
//! by planting what it must find; `tests/house.rs` applies them to this repository.

pub mod layers;
pub mod licences;
pub mod paths;
pub mod shape;
pub mod source;
