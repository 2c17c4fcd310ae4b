//! The store of a cluster on one machine: SQLite.
