//! Runs one seed with its trace, or many until one is wrong.

use std::io::{self, Write};
use std::process::ExitCode;

use howdah_sim::{Plan, Planted, run, shrink};

const USAGE: &str = "howdah-sim [--seed N [--trace] [--shrink] | --seeds N] [--from N] \
                     [--planted no-fence|late-lease|no-seal]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let outcome = order(&words).and_then(|order| perform(&order).map_err(|e| e.to_string()));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            let _ = writeln!(io::stderr(), "{why}\nhint: {USAGE}");
            ExitCode::from(2)
        }
    }
}

/// What was asked for.
#[derive(Default)]
struct Order {
    from: u64,
    seeds: u64,
    trace: bool,
    shrink: bool,
    planted: Planted,
}

fn order(words: &[String]) -> Result<Order, String> {
    let mut order = Order { from: 1, seeds: 1_000, ..Order::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("a value is missing after `{word}`"));
        let number = |text: &String| text.parse().map_err(|_| format!("not a number: `{text}`"));
        match word.as_str() {
            "--seed" => (order.from, order.seeds) = (number(value()?)?, 1),
            "--seeds" => order.seeds = number(value()?)?,
            "--from" => order.from = number(value()?)?,
            "--trace" => order.trace = true,
            "--shrink" => order.shrink = true,
            "--planted" => order.planted = planted(value()?)?,
            _ => return Err(format!("unknown: `{word}`")),
        }
    }
    Ok(order)
}

fn planted(name: &str) -> Result<Planted, String> {
    match name {
        "no-fence" => Ok(Planted::NoFence),
        "late-lease" => Ok(Planted::LateLease),
        "no-seal" => Ok(Planted::NoSeal),
        _ => Err(format!("no such mistake: `{name}`")),
    }
}

/// Answers whether all went well.
fn perform(order: &Order) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let mut wrong = 0;
    for seed in order.from..order.from + order.seeds {
        let mut plan = Plan::of(seed);
        if order.shrink {
            plan = shrink(plan, order.planted);
        }
        if order.trace {
            writeln!(out, "{plan:#?}")?;
        }
        let verdict = run(plan, order.planted, order.trace);
        if let Some(why) = &verdict.wrong {
            wrong += 1;
            writeln!(out, "seed {seed}, {} ms: {why}", verdict.at_ms)?;
        } else if order.seeds == 1 {
            writeln!(out, "{verdict:?}")?;
        }
    }
    writeln!(out, "{} seeds, {wrong} wrong", order.seeds)?;
    Ok(wrong == 0)
}
