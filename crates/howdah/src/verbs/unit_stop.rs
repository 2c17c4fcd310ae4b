//! `howdah unit-stop`: what systemd runs to stop a node, and by which a restart leaves PostgreSQL
//! alone.

use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::failure::{Exit, Failure};
use crate::talk::say;

/// Stop or leave a node, as the service manager asks for
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The unit
    #[arg(long)]
    unit: String,
    /// Its main process; empty when that has ended
    #[arg(long)]
    pid: String,
}

/// An agent that leaves has nothing to wait for.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub fn run(args: &Args) -> anyhow::Result<()> {
    let Ok(pid) = args.pid.parse::<i32>() else { return Ok(()) };
    let pid = Pid::from_raw(pid);
    if !is_restart(&args.unit) {
        say("stopping: PostgreSQL is shut down, another node takes over");
        // systemd waits for the end, with a bound of its own.
        return Ok(kill(pid, Signal::SIGTERM)?);
    }
    say("restarting: PostgreSQL goes on under its guard");
    kill(pid, Signal::SIGUSR2)?;
    let deadline = Instant::now() + LEAVE_WITHIN;
    while kill(pid, None).is_ok() {
        if Instant::now() >= deadline {
            let message = format!("the node has not left within 10 s: `{pid}`");
            return Err(Failure::new(Exit::TimedOut, message).into());
        }
        sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Whether the job under way is a restart. When systemd does not say, it is a stop: that is safe.
fn is_restart(unit: &str) -> bool {
    let asked = Command::new("systemctl")
        .args(["list-jobs", "--no-legend", "--plain", unit])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    asked.is_ok_and(|answer| says_restart(&String::from_utf8_lossy(&answer.stdout), unit))
}

/// Lines of `JOB UNIT TYPE STATE`.
fn says_restart(jobs: &str, unit: &str) -> bool {
    jobs.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        matches!(words[..], [_, of, kind, ..] if of == unit && kind == "restart")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_units_restart_is_one() {
        let jobs = "2120 howdah-demo@n1.service restart running\n2121 x.service stop waiting\n";
        assert!(says_restart(jobs, "howdah-demo@n1.service"));
        assert!(!says_restart(jobs, "howdah-demo@n2.service"));
        assert!(!says_restart(&jobs.replace("restart", "stop"), "howdah-demo@n1.service"));
        assert!(!says_restart("No jobs running.\n", "howdah-demo@n1.service"));
    }
}
