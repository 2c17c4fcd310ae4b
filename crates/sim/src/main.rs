//! Runs one seed with its trace, or many and says what they came to.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use howdah_sim::planted::{Fate, ROWS};
use howdah_sim::report::{self, About};
use howdah_sim::{Mistakes, Plan, Planted, Summary, run, shrink, sweep, threads};

const USAGE: &str = "howdah-sim [--seed N [--trace] [--shrink] | --seeds N [--from N]] \
                     [--planted NAME[,NAME]] [--draw] [--write FILE [--commit ID]] | --list-planted";

/// Seeds after which a summary that is kept is written anew.
const AT_ONCE: u64 = 2_000;

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
    write: Option<String>,
    commit: String,
    planted: Mistakes,
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
            "--write" => order.write = Some(value()?.clone()),
            "--commit" => order.commit.clone_from(value()?),
            "--draw" => order.draw = true,
            "--list-planted" => order.list = true,
            "--planted" => {
                let name = value()?;
                order.planted = planted(name)?;
            }
            _ => return Err(format!("unknown: `{word}`")),
        }
    }
    Ok(order)
}

/// One mistake, or several with commas between them, of which the runs are about the first.
fn planted(names: &str) -> Result<Mistakes, String> {
    let one = |name: &str| {
        Planted::named(name)
            .ok_or(format!("no such mistake: `{name}`; hint: --list-planted shows them"))
    };
    let all = names.split(',').map(one).collect::<Result<Vec<Planted>, String>>()?;
    let about = all.first().copied().unwrap_or_default();
    Ok(Mistakes::from(about).and(&all))
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
            Fate::Insurance { with, within, saying, why } => {
                let with: Vec<&str> = with.iter().filter_map(|p| Some(p.row()?.name)).collect();
                let (with, saying) = (with.join(", "), saying.join("`, `"));
                format!("{why}; found within {within} seeds together with {with}: `{saying}`")
            }
        };
        writeln!(out, "{:<24} {:<4} {}; {fate}", row.name, row.section, row.what)?;
    }
    Ok(())
}

fn one(order: &Order) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    let mut plan = Plan::with(order.from, order.planted.about);
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
    let began = Instant::now();
    let mut summary = Summary::default();
    while summary.seeds < order.seeds {
        let seeds = (order.seeds - summary.seeds).min(AT_ONCE);
        summary.join(sweep(order.from + summary.seeds, seeds, order.planted, false));
        if let Some(file) = &order.write {
            let about = About {
                commit: order.commit.clone(),
                from: order.from,
                seconds: began.elapsed().as_secs(),
                threads: threads(),
            };
            std::fs::write(file, report::json(&summary, &about))?;
        }
    }
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
