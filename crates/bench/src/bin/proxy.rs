//! `proxy`: what does a transaction cost a pooler, how long does it take, beside PgBouncer?
//!
//!     cargo run --release -p howdah-bench --bin proxy -- --rounds 5 --seconds 4
//!
//! `--peer FILE` is another PgBouncer than Debian's, `--only TEXT` measures the rows whose name has
//! it, `--idle N` connects so many clients that say nothing. `--threads N` measures Howdah with so many
//! threads beside Howdah with one.
//!
//! Prints a table and writes `benches/results/proxy-<date>.md`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the screen")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use howdah_bench::machine;
use howdah_bench::proxy::ground::Ground;
use howdah_bench::proxy::idle::{self, Idle};
use howdah_bench::proxy::load::{self, Sample};
use howdah_bench::proxy::pooler::{Pooler, Socket};
use howdah_bench::proxy::report::{Measured, markdown, reckon};
use howdah_bench::proxy::rows::{Protocol, Row, Script, all, of_threads};

const USAGE: &str = "usage: proxy [--rounds N] [--seconds N] [--only TEXT] [--idle N] [--threads N] [--peer FILE] [--output FILE]";
/// Ports of the poolers.
const PORTS: [u16; 2] = [16_432, 16_433];

fn main() -> Result<()> {
    let options = Options::read()?;
    raise_files()?;
    let ground = Ground::start()?;
    let ours = Pooler::howdah(&ground, PORTS[0], options.threads.unwrap_or(1))?;
    let theirs = match options.threads {
        Some(_) => Pooler::howdah(&ground, PORTS[1], 1)?,
        None => Pooler::pgbouncer(&ground, &options.peer, PORTS[1])?,
    };
    let rows = if options.threads.is_some() { of_threads() } else { all() };
    let rows = rows.into_iter().filter(|row| row.name().contains(&options.only)).collect();
    // First: memory that a load has left behind would be used again.
    let mut idle = Vec::new();
    if options.idle > 0 {
        for pooler in [&ours, &theirs] {
            let cost: Idle = idle::measure(pooler, options.idle)?;
            idle.push((pooler.name.clone(), cost));
        }
    }
    let measured = measure(&options, &ground, &ours, &theirs, rows)?;
    let date = machine::today();
    let (file, made) = match options.threads {
        Some(threads) => ("proxy-threads", format!("proxy --threads {threads}")),
        None => ("proxy", "proxy".to_owned()),
    };
    let mut text = format!(
        "# Poolers, measured on {date}\n\nMade by `{made} --rounds {} --seconds {}`. pgbench with one \
         thread, pools of 8 servers, transaction mode; the same kind of socket on both sides of \
         the pooler (TLS: from the client only). Medians of the rounds; ratios are of the two \
         poolers in one round, the middle one, with the least and the most.\n\n",
        options.rounds,
        options.time.as_secs()
    );
    text.push_str(&markdown(&ours.name, &theirs.name, &measured, &idle));
    text.push_str("\n## What ran\n\n");
    machine::facts().iter().for_each(|fact| text.push_str(&format!("- {fact}\n")));
    println!("{text}");
    let output = options.output.unwrap_or_else(|| {
        let results = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/results");
        PathBuf::from(results).join(format!("{file}-{date}.md"))
    });
    std::fs::write(&output, text).with_context(|| format!("write `{}`", output.display()))?;
    eprintln!("written: {}", output.display());
    Ok(())
}

fn measure(
    options: &Options,
    ground: &Ground,
    ours: &Pooler,
    theirs: &Pooler,
    rows: Vec<Row>,
) -> Result<Vec<Measured>> {
    let mut measured: Vec<Measured> = rows
        .into_iter()
        .map(|row| {
            let reckoned = theirs.lacks_prepared && row.protocol == Protocol::Prepared;
            let (ours, theirs, direct) = (Vec::new(), Vec::new(), Vec::new());
            Measured { row, ours, theirs, reckoned, direct }
        })
        .collect();
    for round in 0..options.rounds {
        for measured in &mut measured {
            let row = measured.row;
            // Whoever goes first finds the caches of the other's making.
            let turns = if round % 2 == 0 { [true, false] } else { [false, true] };
            for turn in turns {
                match turn {
                    true => measured.ours.push(load::run(ground, ours, &row, options.time)?),
                    false => measured.theirs.push(peer(options, ground, theirs, measured)?),
                }
            }
            let in_clear = row.socket != Socket::Tls;
            if row.clients == 1 && row.script == Script::Constant && in_clear {
                measured.direct.push(load::direct(ground, &row, options.time)?);
            }
            let (ours, theirs) = (measured.ours.last(), measured.theirs.last());
            eprintln!("round {}: {}: {ours:?} {theirs:?}", round + 1, row.name());
        }
    }
    Ok(measured)
}

fn peer(
    options: &Options,
    ground: &Ground,
    theirs: &Pooler,
    measured: &Measured,
) -> Result<Sample> {
    if !measured.reckoned {
        return load::run(ground, theirs, &measured.row, options.time);
    }
    let simple = Row { protocol: Protocol::Simple, ..measured.row };
    let sample = load::run(ground, theirs, &simple, options.time)?;
    reckon(&measured.row, &sample).context("a prepared row")
}

/// Thousands of clients are as many descriptors, of this process and, inherited, of the poolers'.
fn raise_files() -> Result<()> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raise the number of open files")
}

#[derive(Debug)]
struct Options {
    rounds: u32,
    time: Duration,
    only: String,
    idle: u32,
    threads: Option<u32>,
    peer: PathBuf,
    output: Option<PathBuf>,
}

impl Options {
    fn read() -> Result<Options> {
        let mut options = Options {
            rounds: 5,
            time: Duration::from_secs(4),
            only: String::new(),
            idle: 0,
            threads: None,
            peer: "/usr/sbin/pgbouncer".into(),
            output: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().context(USAGE)?;
            match name.as_str() {
                "--rounds" => options.rounds = value.parse().context(USAGE)?,
                "--seconds" => options.time = Duration::from_secs(value.parse().context(USAGE)?),
                "--only" => options.only = value,
                "--idle" => options.idle = value.parse().context(USAGE)?,
                "--threads" => options.threads = Some(value.parse().context(USAGE)?),
                "--peer" => options.peer = value.into(),
                "--output" => options.output = Some(value.into()),
                _ => bail!(USAGE),
            }
        }
        Ok(options)
    }
}
