//! So many bytes a second, for all threads together.

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::stop::{Stop, Stopped};

/// What was not used for longer than this is not used later.
const BURST: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Throttle {
    bytes_per_s: Option<u64>,
    /// When everything that was let pass will have had its time.
    paid: Mutex<Instant>,
}

impl Throttle {
    pub fn new(bytes_per_s: Option<u64>) -> Throttle {
        Throttle { bytes_per_s, paid: Mutex::new(Instant::now()) }
    }

    /// Waits until `bytes` more may be read. Blocking.
    pub fn pass(&self, bytes: u64, stop: &Stop) -> Result<(), Stopped> {
        let Some(rate) = self.bytes_per_s else { return stop.check() };
        let takes = Duration::from_secs_f64(bytes as f64 / rate.max(1) as f64);
        let until = {
            let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
            let since = Instant::now().checked_sub(BURST).unwrap_or(*paid);
            *paid = (*paid).max(since) + takes;
            *paid
        };
        loop {
            stop.check()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(LOOK_EVERY));
        }
    }
}
