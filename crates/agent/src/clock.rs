//! The two clocks: CLOCK_BOOTTIME for every decision, the wall clock for display only.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use howdah_base::Tick;
use nix::time::{ClockId, clock_gettime};

/// Now, on the clock that runs on in suspend and never jumps (`clock_gettime(2)`).
///
/// # Panics
/// Never on Linux: the clock has existed since 2.6.39.
pub fn now() -> Tick {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME exists");
    let millis = Duration::from(time).as_millis();
    Tick(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// Milliseconds since 1970, for people to read.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
