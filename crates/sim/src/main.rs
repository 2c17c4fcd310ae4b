//! Runs one seed with its trace, or many and says what they came to.

use std::io::{self, Write};
use std::process::ExitCode;

use howdah_sim::planted::{Fate, ROWS};
use howdah_sim::{Plan, Planted, run, shrink, sweep};

const USAGE: &str = "howdah-sim [--seed N [--trace] [--shrink] | --seeds N [--from N]] \
                     [--planted NAME] [--draw] | --list-planted";

/// Steps from a rule that are rarer than this are left out of the drawing, in a hundred.
const DRAWN_PERCENT: u64 = 5;

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
    one: bool,
    trace: bool,
    shrink: bool,
    list: bool,
    draw: bool,
    planted: Planted,
}

fn order(words: &[String]) -> Result<Order, String> {
    let mut order = Order { from: 1, seeds: 1_000, ..Order::default() };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("a value is missing after `{word}`"));
        let number = |text: &String| text.parse().map_err(|_| format!("not a number: `{text}`"));
        match word.as_str() {
            "--seed" => (order.from, order.one) = (number(value()?)?, true),
            "--seeds" => order.seeds = number(value()?)?,
            "--from" => order.from = number(value()?)?,
            "--trace" => order.trace = true,
            "--shrink" => order.shrink = true,
            "--draw" => order.draw = true,
            "--list-planted" => order.list = true,
            "--planted" => {
                let name = value()?;
                order.planted = Planted::named(name)
                    .ok_or(format!("no such mistake: `{name}`; hint: --list-planted shows them"))?;
            }
            _ => return Err(format!("unknown: `{word}`")),
        }
    }
    Ok(order)
}

/// Answers whether all went well.
fn perform(order: &Order) -> io::Result<bool> {
    match order {
        Order { list: true, .. } => list().map(|()| true),
        Order { one: true, .. } => one(order),
        _ => many(order),
    }
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for row in ROWS {
        let fate = match row.fate {
            Fate::Found { within, saying } => {
                format!("found within {within} seeds: `{}`", saying.join("`, `"))
            }
            Fate::Harmless(why) => format!("harmless: {why}"),
            Fate::Open(why) => format!("open: {why}"),
        };
        writeln!(out, "{:<24} {:<4} {}; {fate}", row.name, row.section, row.what)?;
    }
    Ok(())
}

fn one(order: &Order) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let mut plan = Plan::with(order.from, order.planted);
    if order.shrink {
        plan = shrink(plan, order.planted);
    }
    if order.trace {
        writeln!(out, "{plan:#?}")?;
    }
    let verdict = run(plan, order.planted, order.trace);
    writeln!(out, "{verdict:?}")?;
    Ok(verdict.wrong.is_none())
}

fn many(order: &Order) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let summary = sweep(order.from, order.seeds, order.planted, false);
    if order.draw {
        write!(out, "{}", summary.trail.drawing(DRAWN_PERCENT))?;
        return Ok(summary.wrong.is_empty());
    }
    for verdict in &summary.wrong {
        let why = verdict.wrong.as_deref().unwrap_or_default();
        writeln!(out, "seed {}, {} ms: {why}", verdict.seed, verdict.at_ms)?;
    }
    write!(out, "{summary}")?;
    Ok(summary.wrong.is_empty())
}
