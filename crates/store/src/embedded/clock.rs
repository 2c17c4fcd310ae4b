//! By which time leases end: the boot-time clock, and which boot it counts from.

use std::fmt;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::Tick;
use nix::time::{ClockId, clock_gettime};

use crate::StoreError;

/// What the embedded store takes from the machine. A test passes another boot or clock.
#[derive(Clone)]
pub struct Options {
    /// Tells one boot of the machine from the next.
    pub boot_id: String,
    /// The boot-time clock. The same for every process that shares the store.
    pub now: Arc<dyn Fn() -> Tick + Send + Sync>,
}

impl Options {
    /// This machine's boot and clock.
    pub fn of_this_machine() -> Result<Options, StoreError> {
        Ok(Options { boot_id: boot_id()?, now: Arc::new(boot_now) })
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("boot_id", &self.boot_id).finish_non_exhaustive()
    }
}

/// The kernel's name for this boot: drawn at random when the machine starts.
pub fn boot_id() -> Result<String, StoreError> {
    let text = fs::read_to_string(BOOT_ID).map_err(|e| StoreError::Unusable {
        store: BOOT_ID.to_owned(),
        why: format!("the boot id does not read ({e})"),
        hint: "mount /proc, or use the etcd store",
    })?;
    Ok(text.trim().to_owned())
}

/// CLOCK_BOOTTIME now: it goes on while the machine is suspended and never jumps.
pub fn boot_now() -> Tick {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has CLOCK_BOOTTIME");
    Tick::default() + Duration::from(time)
}

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
