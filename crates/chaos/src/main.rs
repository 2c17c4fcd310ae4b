//! `howdah-chaos`: one run of chaos, or the sum of all that were kept.
//!
//!     howdah-chaos run --seed 1 --minutes 10 --output docs/chaos/NAME.json
//!     howdah-chaos sum --write docs/chaos.md docs/chaos/*.json
//!
//! `run` needs root: machines are network namespaces, and their disks are mounts.

#![expect(clippy::print_stdout, reason = "a program for the screen")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use howdah_chaos::plan::Kind;
use howdah_chaos::plant::Plant;
use howdah_chaos::run::{self, Options};
use howdah_chaos::{clients, summary};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: howdah-chaos run [--seed N] [--minutes N] [--nodes N] \
    [--durability quorum|async] [--kinds KIND,...] [--plant lost-row|reorder] \
    [--commit TEXT] [--output FILE] [--logs DIRECTORY]\n       \
    howdah-chaos sum [--write PAGE] FILE...";

fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("run") => run_once(arguments),
        Some("sum") => add_up(arguments),
        _ => bail!(USAGE),
    }
}

fn run_once(arguments: impl Iterator<Item = String>) -> Result<ExitCode> {
    let (options, output) = read_options(arguments)?;
    let stop = Arc::new(AtomicBool::new(false));
    end_on_signals(&stop)?;
    let shown = run::run(&options, &stop)?;
    println!("{}", shown.summary.words());
    if let Some(plant) = options.plant {
        let found = plant.is_found(&shown.verdict);
        println!("what was planted {}", if found { "was found" } else { "was NOT found" });
        return Ok(if found { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    if let Some(output) = output {
        let text = serde_json::to_string_pretty(&shown.summary)? + "\n";
        std::fs::write(&output, text).with_context(|| format!("write `{}`", output.display()))?;
    }
    let held = shown.summary.complaints.is_empty();
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read_options(arguments: impl Iterator<Item = String>) -> Result<(Options, Option<PathBuf>)> {
    let binary = std::env::current_exe()?.with_file_name("howdah");
    let mut options = Options {
        seed: 1,
        length: Duration::from_secs(120),
        nodes: 3,
        durability: "quorum".to_owned(),
        kinds: Kind::ALL.to_vec(),
        binary: std::env::var_os("HOWDAH_BIN").map_or(binary, PathBuf::from),
        commit: String::new(),
        logs: None,
        plant: None,
    };
    let (mut output, mut arguments) = (None, arguments);
    while let Some(name) = arguments.next() {
        let value = arguments.next().context(USAGE)?;
        match name.as_str() {
            "--seed" => options.seed = value.parse().context(USAGE)?,
            "--minutes" => {
                options.length =
                    Duration::from_secs_f64(60.0 * value.parse::<f64>().context(USAGE)?);
            }
            "--nodes" => options.nodes = value.parse().context(USAGE)?,
            "--durability" => options.durability = value,
            "--kinds" => options.kinds = kinds(&value)?,
            "--plant" => options.plant = Some(Plant::named(&value).context(USAGE)?),
            "--commit" => options.commit = value,
            "--output" => output = Some(PathBuf::from(value)),
            "--logs" => options.logs = Some(PathBuf::from(value)),
            _ => bail!(USAGE),
        }
    }
    let there = options.binary.exists();
    let path = options.binary.display();
    ensure!(there, "no howdah beside this program: `{path}`\nhint: cargo build -p howdah");
    Ok((options, output))
}

fn kinds(words: &str) -> Result<Vec<Kind>> {
    let named = |word: &str| {
        let mut kinds = Kind::ALL.iter().copied();
        kinds.find(|kind| kind.word() == word).with_context(|| format!("no fault `{word}`"))
    };
    words.split(',').map(named).collect()
}

/// SIGINT and SIGTERM end the faults; the cluster is healed, judged and taken down all the same.
fn end_on_signals(stop: &Arc<AtomicBool>) -> Result<()> {
    let stop = Arc::clone(stop);
    let runtime = clients::line::runtime()?;
    let wait = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
    };
    thread::spawn(move || {
        let (mut interrupt, mut terminate) = wait;
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        stop.store(true, Ordering::Relaxed);
    });
    Ok(())
}

fn add_up(mut arguments: impl Iterator<Item = String>) -> Result<ExitCode> {
    let (mut files, mut page) = (Vec::new(), None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--write" => page = Some(PathBuf::from(arguments.next().context(USAGE)?)),
            _ => files.push(PathBuf::from(argument)),
        }
    }
    let runs = summary::read(&files)?;
    let sum = summary::sum(&runs);
    match page {
        None => println!("{sum}"),
        Some(page) => {
            let text = std::fs::read_to_string(&page);
            let text = text.with_context(|| format!("read `{}`", page.display()))?;
            std::fs::write(&page, summary::put_into(&text, &sum)?)?;
        }
    }
    let missing = howdah_chaos::rules::missing(&summary::rules_of(&runs));
    let failed = runs.iter().any(|(_, run)| !run.complaints.is_empty());
    let held = missing.is_empty() && !failed;
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
