//! What the keeper of a server costs while nothing happens: processor time and memory.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

/// The keepers of one node, together.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    /// Of one core, in per cent.
    pub cpu_percent: f64,
    pub resident_kb: u64,
    /// Resident memory, shared pages divided among those who share them.
    pub proportional_kb: u64,
}

/// Watches `pids` for `long` and sums up.
pub fn measure(pids: &[i32], long: Duration) -> Result<Idle> {
    let before = ticks(pids)?;
    thread::sleep(long);
    let used = ticks(pids)?.saturating_sub(before);
    let mut idle = Idle {
        cpu_percent: 100.0 * used as f64 / TICKS_PER_SECOND / long.as_secs_f64(),
        resident_kb: 0,
        proportional_kb: 0,
    };
    for pid in pids {
        idle.resident_kb += smaps(*pid, "Rss:")?;
        idle.proportional_kb += smaps(*pid, "Pss:")?;
    }
    Ok(idle)
}

/// USER_HZ, which Linux fixes at 100 towards programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system time of all, in clock ticks.
fn ticks(pids: &[i32]) -> Result<u64> {
    let mut sum = 0;
    for pid in pids {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, rest) = stat.rsplit_once(") ").context("a name in parentheses")?;
        // Fields 14 and 15 of proc(5); `rest` begins with field 3.
        for field in rest.split_whitespace().skip(11).take(2) {
            sum += field.parse::<u64>()?;
        }
    }
    Ok(sum)
}

fn smaps(pid: i32, key: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let line = text.lines().find(|line| line.starts_with(key)).context("a line of that key")?;
    line.split_whitespace().nth(1).context("a number")?.parse().context("kilobytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_does_nothing_costs_nothing() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read line"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("sh starts");
        let pid = i32::try_from(child.id()).expect("a pid");
        let idle = measure(&[pid], Duration::from_millis(200)).expect("measured");
        child.kill().expect("killed");
        child.wait().expect("collected");
        assert!(idle.cpu_percent < 20.0, "{idle:?}");
        assert!(idle.resident_kb > 0 && idle.proportional_kb > 0, "{idle:?}");
    }
}
