//! Ends what a command has left behind: its process group, and whoever carries its marks.
//!
//! A process that makes a group or session of its own leaves the command's group, but keeps the
//! environment that it was started with. So a firing's processes are found by it, also those
//! that an agent left when it was killed.

use std::fs;
use std::time::Duration;

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// Each round kills everybody who is found; one that forks meanwhile is found in the next.
const ROUNDS_MAX: u32 = 50;
const ROUND_EVERY: Duration = Duration::from_millis(10);

/// What a firing's processes carry in their environment.
#[derive(Clone, Debug)]
pub struct Marks {
    hook: Vec<u8>,
    firing: Vec<u8>,
}

impl Marks {
    pub fn new(hook: &str, firing: &str) -> Marks {
        Marks {
            hook: format!("HOWDAH_HOOK={hook}").into_bytes(),
            firing: format!("HOWDAH_FIRING_ID={firing}").into_bytes(),
        }
    }

    fn are_on(&self, environment: &[u8]) -> bool {
        let has = |mark: &[u8]| environment.split(|byte| *byte == 0).any(|entry| entry == mark);
        has(&self.hook) && has(&self.firing)
    }
}

/// Kills the group of a command that has not been collected yet: its number is still its own.
pub fn end_group(leader: u32) {
    if let Ok(leader) = i32::try_from(leader) {
        // Fails when all of them have ended.
        killpg(Pid::from_raw(leader), Signal::SIGKILL).ok();
    }
}

/// Kills whoever carries the marks, until nobody does; who is left after half a second.
pub async fn end_marked(marks: Marks) -> Vec<i32> {
    for _ in 0..ROUNDS_MAX {
        let search = marks.clone();
        let found = tokio::task::spawn_blocking(move || marked(&search)).await.unwrap_or_default();
        if found.is_empty() {
            return found;
        }
        for pid in found {
            kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        }
        tokio::time::sleep(ROUND_EVERY).await;
    }
    marked(&marks)
}

/// A process that has ended has no environment any more.
fn marked(marks: &Marks) -> Vec<i32> {
    let own = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| u32::try_from(*pid) != Ok(own))
        .filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ"));
            environment.is_ok_and(|environment| marks.are_on(&environment))
        })
        .collect()
}
