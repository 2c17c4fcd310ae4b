//! The boot-time clock: the one that deadlines and pauses are counted by.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use howdah_base::Tick;
use nix::time::{ClockId, clock_gettime};

/// Now, on the clock that runs on in suspend and never jumps.
pub fn now() -> Tick {
    // It has existed since Linux 2.6.39; without it nothing would ever be due.
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    Tick(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

/// Wall clock, seconds since 1970: only to number what was never numbered before.
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
