//! `saturation`: does a class that servers are kept for wait behind the others, and do classes get
//! their shares?
//!
//!     cargo run --release -p howdah-bench --bin saturation -- --seconds 30 --size 20
//!
//! Prints tables and writes `benches/results/saturation-<date>.md`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the screen")]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use howdah_bench::saturation::{CLASSES, Crowd, Saturated, Seen};
use howdah_bench::{howdah, machine};

const USAGE: &str = "usage: saturation [--seconds N] [--size N] [--clients N] [--output FILE]";
/// What background jobs run, and how many of them there are unless it is said.
const LONG: &str = "select pg_sleep(0.2)";
const JOBS: usize = 60;
/// A consultation asks now and then.
const CONSULTATIONS: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);
/// What all of them run when the shares are looked at.
const EQUAL: &str = "select pg_sleep(0.05)";

fn main() -> Result<()> {
    let options = Options::read()?;
    let pool = Saturated::start(howdah::binary()?, options.size)?;
    let lasts = Duration::from_secs(options.seconds);
    eprintln!("a class that servers are kept for, for {} s", options.seconds);
    let crowd = |class, clients, statement: &str, pause| Crowd {
        class,
        clients,
        statement: statement.to_owned(),
        pause,
    };
    let jobs = crowd("background", options.clients, LONG, Duration::ZERO);
    let asks = crowd("consultation", CONSULTATIONS, "select 1", PAUSE);
    let (waits, most_first) = pool.run(&[jobs, asks], lasts)?;
    eprintln!("all classes at once, for {} s", options.seconds);
    let all = CLASSES.map(|class| crowd(class.name, options.clients, EQUAL, Duration::ZERO));
    let (shares, most_then) = pool.run(&all, lasts)?;
    let date = machine::today();
    let mut text = report(&date, &options, &waits, &shares);
    text.push_str(&format!(
        "\nServers seen at once, at most: {} of {}.\n\n",
        most_first.max(most_then),
        options.size
    ));
    machine::facts().iter().for_each(|fact| text.push_str(&format!("- {fact}\n")));
    println!("{text}");
    let output = options.output.unwrap_or_else(|| {
        let results = concat!(env!("CARGO_MANIFEST_DIR"), "/../../benches/results");
        PathBuf::from(results).join(format!("saturation-{date}.md"))
    });
    std::fs::write(&output, text).with_context(|| format!("write `{}`", output.display()))?;
    eprintln!("written: {}", output.display());
    Ok(())
}

fn report(date: &str, options: &Options, waits: &[Seen], shares: &[Seen]) -> String {
    let Options { seconds, size, clients, .. } = options;
    let mut text = format!(
        "# A saturated pool, measured on {date}\n\nMade by `saturation --seconds {seconds} --size \
         {size} --clients {clients}`: one node, transaction mode, and classes by application_name.\n\n\
         ## A class that servers are kept for\n\n{clients} clients of the class `background` run \
         `{LONG}` without a pause, {CONSULTATIONS} of `consultation` (30 % guaranteed) `select 1` \
         every {} ms. To hold: `consultation` waits less than 100 ms.\n\n\
         | class | statements | p50 | p99 | longest |\n|---|---|---|---|---|\n",
        PAUSE.as_millis()
    );
    let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1_000.0);
    for seen in waits {
        let [p50, p99, longest] = [500, 990, 1_000].map(|of| ms(seen.quantile(of)));
        let (class, count) = (seen.class, seen.took.len());
        text.push_str(&format!("| {class} | {count} | {p50} | {p99} | {longest} |\n"));
    }
    text.push_str(&format!(
        "\n## Shares\n\n{clients} clients of each class run `{EQUAL}` without a pause. To hold: each \
         share is within a tenth of its weight.\n\n\
         | class | weight | statements | share | of its weight |\n|---|---|---|---|---|\n"
    ));
    let all: usize = shares.iter().map(|seen| seen.took.len()).sum();
    for (class, seen) in CLASSES.iter().zip(shares) {
        let share = seen.took.len() as f64 * 100.0 / all.max(1) as f64;
        let part = share / f64::from(class.weight);
        text.push_str(&format!(
            "| {} | {} % | {} | {share:.1} % | {part:.2} |\n",
            class.name,
            class.weight,
            seen.took.len()
        ));
    }
    text
}

#[derive(Debug)]
struct Options {
    seconds: u64,
    size: u32,
    clients: usize,
    output: Option<PathBuf>,
}

impl Options {
    fn read() -> Result<Options> {
        let mut options = Options { seconds: 30, size: 20, clients: JOBS, output: None };
        let mut arguments = std::env::args().skip(1);
        while let Some(name) = arguments.next() {
            let value = arguments.next().context(USAGE)?;
            match name.as_str() {
                "--seconds" => options.seconds = value.parse().context(USAGE)?,
                "--size" => options.size = value.parse().context(USAGE)?,
                "--clients" => options.clients = value.parse().context(USAGE)?,
                "--output" => options.output = Some(value.into()),
                _ => bail!(USAGE),
            }
        }
        Ok(options)
    }
}
