//! Real servers and real clusters for tests.
