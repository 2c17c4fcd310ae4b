//! Deterministic simulation of a whole cluster around the real HA core.
