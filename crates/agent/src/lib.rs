//! Observe, decide, perform: the shell around the HA core.
