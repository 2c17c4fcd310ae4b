//! `held`: what do pooled clients notice of a switchover?
//!
//!     cargo run --release -p howdah-bench --bin held -- --rounds 9 --clients 64
//!
//! Prints a table and writes `benches/results/held-<date>.md`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the screen")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use howdah_bench::held::{Held, round};
use howdah_bench::howdah::Howdah;
use howdah_bench::{Stack, load, machine};

const USAGE: &str = "usage: held [--rounds N] [--clients N] [--size N] [--output FILE]";

fn main() -> Result<()> {
    let options = Options::read()?;
    let mut stack = Howdah::start_pooled(options.size)?;
    let plan = stack.plan();
    load::fill(&plan)?;
    let mut rounds = Vec::new();
    for number in 0..options.rounds {
        let held = round(&mut stack, &plan, options.clients)?;
        eprintln!("round {}: {held:?}", number + 1);
        rounds.push(held);
    }
    let date = machine::today();
    let text = report(&date, &options, &rounds, &stack.description());
    println!("{text}");
    let output = options.output.unwrap_or_else(|| {
        let results = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/results");
        PathBuf::from(results).join(format!("held-{date}.md"))
    });
    std::fs::write(&output, text).with_context(|| format!("write `{}`", output.display()))?;
    eprintln!("written: {}", output.display());
    Ok(())
}

fn report(date: &str, options: &Options, rounds: &[Held], description: &str) -> String {
    let mut text = format!(
        "# Pooled clients in a switchover, measured on {date}\n\nMade by `held --rounds {} \
         --clients {} --size {}`: pgbench's TPC-B-like script through `rw`, transaction mode, and a \
         switchover in the middle of each round. The stall is the longest time in which \
         nobody's transaction ended.\n\n\
         | round | transactions | failed | connections lost | stall | slowest transaction |\n\
         |---|---|---|---|---|---|\n",
        options.rounds, options.clients, options.size
    );
    let line = |name: &str, held: &Held| {
        format!(
            "| {name} | {} | {} | {} | {} ms | {} ms |\n",
            held.transactions,
            held.failed,
            held.aborted,
            held.stall.as_millis(),
            held.slowest.as_millis()
        )
    };
    for (number, held) in rounds.iter().enumerate() {
        text.push_str(&line(&(number + 1).to_string(), held));
    }
    let median = |of: fn(&Held) -> Duration| {
        let mut all: Vec<_> = rounds.iter().map(of).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied().unwrap_or_default()
    };
    let middle = Held {
        transactions: rounds.iter().map(|held| held.transactions).sum(),
        failed: rounds.iter().map(|held| held.failed).sum(),
        aborted: rounds.iter().map(|held| held.aborted).sum(),
        stall: median(|held| held.stall),
        slowest: median(|held| held.slowest),
    };
    text.push_str(&line("**all, medians**", &middle));
    text.push_str(&format!("\n- Howdah: {description}\n"));
    machine::facts().iter().for_each(|fact| text.push_str(&format!("- {fact}\n")));
    text
}

#[derive(Debug)]
struct Options {
    rounds: u32,
    clients: u32,
    size: u32,
    output: Option<PathBuf>,
}

impl Options {
    fn read() -> Result<Options> {
        let mut options = Options { rounds: 9, clients: 64, size: 20, output: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().context(USAGE)?;
            match name.as_str() {
                "--rounds" => options.rounds = value.parse().context(USAGE)?,
                "--clients" => options.clients = value.parse().context(USAGE)?,
                "--size" => options.size = value.parse().context(USAGE)?,
                "--output" => options.output = Some(value.into()),
                _ => bail!(USAGE),
            }
        }
        Ok(options)
    }
}
