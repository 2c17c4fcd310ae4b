//! A directory that goes away with its test, and a clock that the test moves.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use howdah_base::Tick;
use howdah_store::embedded::Options;

pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("howdah-store-{}-{made}", process::id()));
        fs::create_dir_all(&path).expect("scratch directory");
        Scratch(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the store lies; not made yet.
    pub fn store(&self) -> PathBuf {
        self.0.join("store")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The store's threads may still be closing their files.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Milliseconds, moved by hand.
#[derive(Clone)]
pub struct Clock(Arc<AtomicU64>);

impl Clock {
    pub fn new() -> Clock {
        Clock(Arc::new(AtomicU64::new(1_000)))
    }

    pub fn pass(&self, span: Duration) {
        let span = u64::try_from(span.as_millis()).expect("short");
        self.0.fetch_add(span, Ordering::SeqCst);
    }

    pub fn options(&self, boot_id: &str) -> Options {
        let clock = Arc::clone(&self.0);
        let now = Arc::new(move || Tick(clock.load(Ordering::SeqCst)));
        Options { boot_id: boot_id.to_owned(), now }
    }
}
