//! What pooled clients notice of a switchover: how long nothing commits, how long the slowest
//! transaction takes, and how many fail.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use howdah_testkit::Plan;

use crate::load::command;
use crate::round::settle;
use crate::{Fault, Stack};

/// Before the switchover, and in all.
const BEFORE: Duration = Duration::from_secs(4);
const SECONDS: &str = "10";

/// What one round showed.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub transactions: u64,
    pub failed: u64,
    /// Clients that lost their connection.
    pub aborted: u64,
    /// The longest time in which nobody's transaction ended.
    pub stall: Duration,
    /// The longest that one transaction took.
    pub slowest: Duration,
}

/// pgbench's TPC-B-like script by so many clients through `plan`, and a switchover in the middle.
pub fn round(stack: &mut dyn Stack, plan: &Plan, clients: u32) -> Result<Held> {
    settle(stack)?;
    let dir = tempfile::tempdir()?;
    let prefix = dir.path().join("times");
    let mut pgbench = command(plan)?;
    pgbench.args(["-n", "-j", "2", "-T", SECONDS, "-c", &clients.to_string(), "-l"]);
    pgbench.arg("--log-prefix").arg(&prefix).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = pgbench.spawn().context("start pgbench")?;
    let struck = Instant::now() + BEFORE;
    std::thread::sleep(BEFORE);
    stack.inflict(Fault::Switchover)?;
    ensure!(struck.elapsed() < Duration::from_secs(5), "the switchover took longer than pgbench");
    let (said, complaints) = ended(child)?;
    let number = |key: &str| -> Option<u64> {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let transactions = number("number of transactions actually processed:")
        .with_context(|| format!("pgbench: {said}{complaints}"))?;
    let mut times: Vec<(u64, u64)> = Vec::new();
    for file in fs::read_dir(dir.path())? {
        let text = fs::read_to_string(file?.path())?;
        times.extend(text.lines().filter_map(ended_and_took));
    }
    times.sort_unstable();
    let gaps = times.windows(2).map(|pair| pair[1].0 - pair[0].0);
    let aborted = complaints.lines().filter(|line| line.contains("aborted in command")).count();
    Ok(Held {
        transactions,
        failed: number("number of failed transactions:").unwrap_or_default(),
        aborted: u64::try_from(aborted)?,
        stall: Duration::from_micros(gaps.max().unwrap_or_default()),
        slowest: Duration::from_micros(times.iter().map(|time| time.1).max().unwrap_or_default()),
    })
}

fn ended(child: Child) -> Result<(String, String)> {
    let output = child.wait_with_output()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((text(&output.stdout), text(&output.stderr)))
}

/// When a transaction ended and what it took, microseconds: `client number took file s us`.
fn ended_and_took(line: &str) -> Option<(u64, u64)> {
    let words: Vec<u64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    let [_, _, took, _, seconds, micros, ..] = words[..] else { return None };
    Some((seconds * 1_000_000 + micros, took))
}
