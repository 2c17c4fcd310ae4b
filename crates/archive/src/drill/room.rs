//! The disk of a copy may be the primary's: a drill ends before it is full.

use std::future::pending;
use std::path::Path;
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::time::sleep;

use super::Check;

/// What stays free, at most; of a small disk less.
const RESERVE_BYTES: u64 = 1 << 30;
const RESERVE_PERCENT: u64 = 5;
const LOOK_EVERY: Duration = Duration::from_millis(500);
const MB: u64 = 1 << 20;
const HINT: &str = "hint: free space there, or name another place with --scratch";

/// A disk, in bytes.
#[derive(Clone, Copy, Debug)]
struct Disk {
    size: u64,
    free: u64,
}

impl Disk {
    fn of(folder: &Path) -> Result<Disk, Check> {
        let failed = |error| format!("cannot look at the disk, {error}: `{}`", folder.display());
        let system = statvfs(folder).map_err(|error| Check::failed("space", failed(error)))?;
        let unit = system.fragment_size();
        let size = system.blocks().saturating_mul(unit);
        Ok(Disk { size, free: system.blocks_available().saturating_mul(unit) })
    }

    fn reserve(self) -> u64 {
        RESERVE_BYTES.min(self.size / 100 * RESERVE_PERCENT)
    }

    /// Beside the reserve.
    fn lacks(self, bytes: u64) -> Option<u64> {
        let needed = bytes.saturating_add(self.reserve());
        (self.free < needed).then_some(needed)
    }
}

/// Whether `bytes` fit beside the reserve.
pub fn look(folder: &Path, bytes: u64) -> Result<(), Check> {
    let disk = Disk::of(folder)?;
    let Some(needed) = disk.lacks(bytes) else { return Ok(()) };
    let (needed, free) = (needed.div_ceil(MB), disk.free / MB);
    let what = format!("{free} MB are free, {needed} MB are needed: `{}`", folder.display());
    Err(Check::failed("space", format!("{what}\n{HINT}")))
}

/// Until the reserve is touched.
pub async fn runs_out(folder: &Path) -> Check {
    loop {
        sleep(LOOK_EVERY).await;
        match Disk::of(folder) {
            Ok(disk) if disk.lacks(0).is_none() => {}
            Ok(disk) => {
                let what = format!(
                    "it was ended when {} MB were left: `{}`",
                    disk.free / MB,
                    folder.display()
                );
                return Check::failed("space", format!("{what}\n{HINT}"));
            }
            // It was looked at before; what ails it now, the copy's server says.
            Err(_) => pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_stays_free() {
        const GB: u64 = 1 << 30;
        let large = Disk { size: 500 * GB, free: 11 * GB };
        assert_eq!(large.lacks(10 * GB), None);
        assert_eq!(large.lacks(10 * GB + 1), Some(11 * GB + 1));
        let small = Disk { size: 1000 * MB, free: 50 * MB };
        assert_eq!((small.lacks(0), small.lacks(1)), (None, Some(50 * MB + 1)));
        assert_eq!(Disk { free: 50 * MB - 1, ..small }.lacks(0), Some(50 * MB));
        let refused = look(&std::env::temp_dir(), u64::MAX / 2).expect_err("no disk is as large");
        assert!(refused.name == "space" && refused.said.contains("--scratch"), "{refused:?}");
    }
}
