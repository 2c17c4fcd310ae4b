//! One local PostgreSQL: find, init, configure, copy, rewind, inspect.

pub mod access;
