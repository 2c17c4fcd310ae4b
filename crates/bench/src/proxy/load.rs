//! pgbench against one pooler for one row, and what the pooler spent on it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::ground::{Ground, ROLE};
use super::pooler::{Pooler, Socket};
use super::rows::{Row, Script};

const PGBENCH: &str = "/usr/lib/postgresql/15/bin/pgbench";
/// Part of the transactions whose time is written down.
const SAMPLED: &str = "0.1";

/// What one run showed.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub tps: f64,
    /// Of the pooler, for one transaction.
    pub processor_us: f64,
    pub p50_us: f64,
    pub p99_us: f64,
}

/// Runs one row for so long.
pub fn run(ground: &Ground, pooler: &Pooler, row: &Row, time: Duration) -> Result<Sample> {
    let (host, database) = pooler.place(row.socket);
    let before = pooler.processor();
    let said = pgbench(ground, row, time, &host, pooler.port, database)?;
    let spent = pooler.processor().saturating_sub(before);
    sample(ground, row, &said, spent)
}

/// The same without a pooler, to see what it adds.
pub fn direct(ground: &Ground, row: &Row, time: Duration) -> Result<Sample> {
    let host = match row.socket {
        Socket::Unix => ground.dir.display().to_string(),
        Socket::Tcp | Socket::Tls => "127.0.0.1".to_owned(),
    };
    let said = pgbench(ground, row, time, &host, ground.port, "postgres")?;
    sample(ground, row, &said, Duration::ZERO)
}

fn pgbench(
    ground: &Ground,
    row: &Row,
    time: Duration,
    host: &str,
    port: u16,
    database: &str,
) -> Result<String> {
    let script = ground.dir.join("constant.sql");
    fs::write(&script, "\\set aid random(1, 1000000)\nSELECT :aid;\n")?;
    let log = ground.dir.join("times");
    let mut command = Command::new(PGBENCH);
    command.args(["-n", "-j", "1", "-M", row.protocol.word(), "-U", ROLE]);
    command.args(["-c", &row.clients.to_string(), "-T", &time.as_secs().max(1).to_string()]);
    command.args(["-h", host, "-p", &port.to_string()]);
    command.args(["-l", "--sampling-rate", SAMPLED]).arg("--log-prefix").arg(&log);
    match row.script {
        Script::Constant => command.arg("-f").arg(&script),
        Script::Row => command.args(["-s", "10", "-S"]),
        Script::Connect => command.arg("-C").arg("-f").arg(&script),
    };
    let mode = if row.socket == Socket::Tls { "require" } else { "disable" };
    command.arg(database).env("PGSSLMODE", mode).env("PGGSSENCMODE", "disable");
    let output = command.output().context("run pgbench")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: pgbench: {said}", row.name());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn sample(ground: &Ground, row: &Row, said: &str, spent: Duration) -> Result<Sample> {
    let number = |key: &str| {
        let line = said.lines().find_map(|line| line.trim().strip_prefix(key));
        let word = line.and_then(|line| line.split_whitespace().next());
        word.and_then(|word| word.parse::<f64>().ok())
            .with_context(|| format!("{}: pgbench says no `{key}`: {said}", row.name()))
    };
    let transactions = number("number of transactions actually processed:")?;
    let mut times = times(&ground.dir)?;
    times.sort_unstable();
    let at = |part: f64| {
        let place = (times.len() as f64 * part) as usize;
        times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default() as f64
    };
    Ok(Sample {
        tps: number("tps =")?,
        processor_us: spent.as_secs_f64() * 1e6 / transactions.max(1.0),
        p50_us: at(0.5),
        p99_us: at(0.99),
    })
}

/// Takes what pgbench has written down of transactions' times, microseconds.
fn times(dir: &Path) -> Result<Vec<u64>> {
    let mut times = Vec::new();
    for file in fs::read_dir(dir)? {
        let path = file?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("times.") {
            let text = fs::read_to_string(&path)?;
            let third =
                |line: &str| line.split(' ').nth(2).and_then(|time| time.parse::<u64>().ok());
            times.extend(text.lines().filter_map(third));
            fs::remove_file(&path)?;
        }
    }
    Ok(times)
}
