//! `backup`: what do backups, restores and WAL files cost, beside Debian's pgBackRest?
//!
//!     cargo run --release -p howdah-bench --bin backup -- --rounds 5 --scale 100
//!
//! Prints a table and writes `benches/results/backup-<date>.md`. For root.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the screen")]

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use howdah_bench::backup::rows::{Figures, round};
use howdah_bench::backup::tools::{Howdah, PgBackRest, Tool};
use howdah_bench::backup::{Ground, report};
use howdah_bench::machine;

const USAGE: &str = "usage: backup [--rounds N] [--scale N] [--output FILE]";

fn main() -> Result<()> {
    let options = Options::read()?;
    let ground = Ground::start(options.scale)?;
    let (own, peer) = (Howdah(&ground), PgBackRest::new(&ground)?);
    let mut tools: [(&dyn Tool, Figures); 2] =
        [(&own, Figures::default()), (&peer, Figures::default())];
    let idle = ground.idle()?;
    for number in 0..options.rounds {
        round(&ground, &mut tools, number)?;
        eprintln!("round {}", number + 1);
    }
    let [(_, ours), (_, theirs)] = &tools;
    let table = report::markdown([own.name(), peer.name()], ours, theirs);
    let date = machine::today();
    let mut text = format!(
        "# Backups, measured on {date}\n\nMade by `backup --rounds {} --scale {}`: a server of {:.1} GB \
         (pgbench's tables and one of text, page checksums), both tools in turns, medians of the rounds. \
         Howdah: its cipher (AES-256-GCM), two threads; all \
         processor time that its agent has during a row is counted as its own, and nothing subtracted ({:.0} ms a \
         second when it has nothing to do); before each tool's turn it has shipped all WAL of what came before, and \
         is calm for three seconds. {}: zst 3, aes-256-cbc, process-max=2, without WAL. Both \
         repositories and the data lie on one file system, with warm caches.\n\n{table}\n",
        options.rounds,
        options.scale,
        ground.bytes()? as f64 / 1e9,
        idle.as_secs_f64() * 1e3,
        version(),
    );
    machine::facts().iter().for_each(|fact| text.push_str(&format!("- {fact}\n")));
    println!("{text}");
    let output = options.output.unwrap_or_else(|| {
        let results = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/results");
        PathBuf::from(results).join(format!("backup-{date}.md"))
    });
    std::fs::write(&output, text).with_context(|| format!("write `{}`", output.display()))?;
    eprintln!("written: {}", output.display());
    Ok(())
}

fn version() -> String {
    let output = Command::new("pgbackrest").arg("version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "pgBackRest".to_owned())
}

#[derive(Debug)]
struct Options {
    rounds: usize,
    scale: u32,
    output: Option<PathBuf>,
}

impl Options {
    fn read() -> Result<Options> {
        let mut options = Options { rounds: 5, scale: 100, output: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().context(USAGE)?;
            match name.as_str() {
                "--rounds" => options.rounds = value.parse().context(USAGE)?,
                "--scale" => options.scale = value.parse().context(USAGE)?,
                "--output" => options.output = Some(value.into()),
                _ => bail!(USAGE),
            }
        }
        Ok(options)
    }
}
