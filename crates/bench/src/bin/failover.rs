//! `failover`: how long can a client not write, after each fault, with each stack?
//!
//!     cargo run --release -p howdah-bench --bin failover -- --rounds 5
//!
//! With `--machines` each stack has three machines, which are network namespaces, with a member of
//! etcd on each: a host is lost by its network going dark before everything on it is killed.
//!
//! With `--load 32` as many clients of pgbench write besides, in each round of either stack.
//!
//! Prints a table and writes `benches/results/failover-<date>.md`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the screen")]
#![expect(clippy::borrowed_box, reason = "the stacks are boxes in a list")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use howdah_bench::howdah::Howdah;
use howdah_bench::patroni::Patroni;
use howdah_bench::report::{self, Account};
use howdah_bench::{Fault, Stack, idle, machine, round};

const USAGE: &str = "usage: failover [--rounds N] [--load CLIENTS] [--only howdah|patroni] [--machines] \
     [--output FILE]";
/// Processor time at rest is measured for this long.
const REST: Duration = Duration::from_secs(30);

fn main() -> Result<()> {
    let options = Options::read()?;
    let mut stacks = start(&options)?;
    let open = |stack: &Box<dyn Stack>| {
        stack.sit_down();
        Account::of(&**stack)
    };
    let mut accounts: Vec<Account> = stacks.iter().map(open).collect();
    let outcome = measure(&options, &mut stacks, &mut accounts);
    let (date, facts) = (machine::today(), machine::facts());
    let place = if options.machines { " --machines" } else { "" };
    let load = match options.load {
        0 => String::new(),
        clients => format!(" --load {clients}"),
    };
    let command = format!("failover --rounds {}{load}{place}", options.rounds);
    let mut text = report::markdown(&date, &command, &facts, &accounts);
    if let Err(error) = &outcome {
        text = format!("{text}\n## Incomplete\n\nThe run ended early: {error}\n");
    }
    println!("{text}");
    let name = if options.machines { "failover-machines" } else { "failover" };
    let name = if options.load > 0 { format!("{name}-load") } else { name.to_owned() };
    let output = options.output.unwrap_or_else(|| results().join(format!("{name}-{date}.md")));
    std::fs::write(&output, text).with_context(|| format!("write `{}`", output.display()))?;
    eprintln!("written: {}", output.display());
    outcome
}

/// Round by round, fault by fault, the stacks in turn; at the end what they cost at rest.
fn measure(
    options: &Options,
    stacks: &mut [Box<dyn Stack>],
    accounts: &mut [Account],
) -> Result<()> {
    for number in 0..options.rounds {
        for fault in Fault::ALL {
            for (stack, account) in stacks.iter_mut().zip(accounts.iter_mut()) {
                stack.sit_down();
                let measured = round::run(&mut **stack, fault, phase(number), options.load)?;
                eprintln!("round {}: {}: {measured:?}", number + 1, stack.name());
                account.rounds.push(measured);
            }
        }
    }
    for (stack, account) in stacks.iter().zip(accounts) {
        stack.sit_down();
        round::settle(&**stack)?;
        account.idle = Some(idle::measure(&stack.keepers(), REST)?);
    }
    Ok(())
}

/// Both stacks are up for the whole run and take turns.
fn start(options: &Options) -> Result<Vec<Box<dyn Stack>>> {
    let only = options.only.as_deref();
    let mut stacks: Vec<Box<dyn Stack>> = Vec::new();
    if only != Some("patroni") {
        let howdah = if options.machines { Howdah::start_on_machines() } else { Howdah::start() };
        stacks.push(Box::new(howdah?));
    }
    if only != Some("howdah") {
        let patroni =
            if options.machines { Patroni::start_on_machines() } else { Patroni::start() };
        stacks.push(Box::new(patroni?));
    }
    Ok(stacks)
}

/// A polling loop of ten seconds is met at another point each time.
fn phase(round: u32) -> Duration {
    Duration::from_millis(u64::from(round) * 3_700 % 10_000)
}

fn results() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/results"))
}

#[derive(Debug)]
struct Options {
    rounds: u32,
    load: u32,
    only: Option<String>,
    machines: bool,
    output: Option<PathBuf>,
}

impl Options {
    fn read() -> Result<Options> {
        let mut options = Options { rounds: 5, load: 0, only: None, machines: false, output: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            if name == "--machines" {
                options.machines = true;
                continue;
            }
            let value = arguments.next().context(USAGE)?;
            match name.as_str() {
                "--rounds" => options.rounds = value.parse().context(USAGE)?,
                "--load" => options.load = value.parse().context(USAGE)?,
                "--only" if value == "howdah" || value == "patroni" => options.only = Some(value),
                "--output" => options.output = Some(value.into()),
                _ => bail!(USAGE),
            }
        }
        Ok(options)
    }
}
