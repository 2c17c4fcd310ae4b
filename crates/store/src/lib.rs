//! Lease and shared records: one trait, its contract tests, and the drivers.
