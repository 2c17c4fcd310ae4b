//! The boot-time clock, the only one that the deadline knows.

use std::time::Duration;

use howdah_base::Tick;
use nix::time::{ClockId, clock_gettime};

/// Now, on the clock that runs on in suspend and never jumps.
///
/// # Panics
/// Never on Linux: the clock has existed since 2.6.39.
pub fn now() -> Tick {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME exists");
    Tick(u64::try_from(Duration::from(time).as_millis()).unwrap_or(u64::MAX))
}
