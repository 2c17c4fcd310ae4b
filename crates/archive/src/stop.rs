//! The word to stop, which every thread of a backup or a restore looks for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by all; [`StopOnDrop`] says it when whoever waits for the work is gone.
#[derive(Clone, Default, Debug)]
pub struct Stop(Arc<AtomicBool>);

/// The work was given up, or another part of it failed and says why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stopped;

impl Stop {
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn check(&self) -> Result<(), Stopped> {
        if self.0.load(Ordering::Relaxed) { Err(Stopped) } else { Ok(()) }
    }

    pub fn on_drop(&self) -> StopOnDrop {
        StopOnDrop(self.clone())
    }
}

/// Threads cannot be dropped; this can.
#[derive(Debug)]
pub struct StopOnDrop(Stop);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}
