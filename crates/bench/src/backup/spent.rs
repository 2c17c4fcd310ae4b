//! What a command spends: its children's processor time is counted, and their memory too.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};

/// One run of a command.
#[derive(Clone, Copy, Default, Debug)]
pub struct Spent {
    pub wall: Duration,
    /// User and system, with all children that it waited for.
    pub processor: Duration,
    /// The most resident memory that it and its children had together, bytes; 0 where it ended before
    /// anybody looked.
    pub memory: u64,
    /// What was added to the repository, where that is asked.
    pub bytes: u64,
}

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Runs it to its end, which must be a success. No other child may run meanwhile.
pub fn run(command: &mut Command) -> Result<Spent> {
    let before = children()?;
    let begun = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {command:?}"))?;
    let memory = follow(&mut child)?;
    let wall = begun.elapsed();
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
    Ok(Spent { wall, processor: children()? - before, memory, bytes: 0 })
}

fn follow(child: &mut Child) -> Result<u64> {
    let (mut most, mut looked) = (0, Instant::now());
    loop {
        if child.try_wait()?.is_some() {
            return Ok(most);
        }
        if looked.elapsed() > LOOK_EVERY {
            most = most.max(resident(child.id()));
            looked = Instant::now();
        }
        sleep(Duration::from_millis(1));
    }
}

/// Of a process and all below it, bytes.
fn resident(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let own = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let children = children.unwrap_or_default();
    let below = children.split_whitespace().filter_map(|child| child.parse().ok());
    own.unwrap_or(0) * 1024 + below.map(resident).sum::<u64>()
}

fn children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let time = |time: nix::sys::time::TimeVal| {
        let micros = time.tv_sec() * 1_000_000 + time.tv_usec();
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    };
    Ok(time(usage.user_time()) + time(usage.system_time()))
}

/// The processor time that a running process has had so far, and its children that have ended.
///
/// # Errors
/// It is not there: no time at all would make all that it had before a row this row's.
pub fn of_process(process: i32) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("read `{path}`"))?;
    let behind = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = behind.split_whitespace().skip(11).take(4).map(str::parse::<u64>);
    let ticks = ticks.collect::<Result<Vec<u64>, _>>().with_context(|| format!("read `{path}`"))?;
    ensure!(ticks.len() == 4, "no times in `{path}`");
    // Linux shows them in hundredths of a second to every program.
    Ok(Duration::from_millis(ticks.iter().sum::<u64>() * 10))
}
