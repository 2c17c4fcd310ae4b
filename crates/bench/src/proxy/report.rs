//! The table: medians with their spread, and the ratio of what was measured in one round.

use std::fmt::Write as _;

use super::idle::Idle;
use super::load::Sample;
use super::rows::{Protocol, Row};

/// PgBouncer before 1.21 cannot; its prepared rows are its simple ones times this.
pub const PREPARED_FACTOR: f64 = 1.3;

/// One row: rounds of Howdah, of the peer, and without either.
#[derive(Debug)]
pub struct Measured {
    pub row: Row,
    pub ours: Vec<Sample>,
    pub theirs: Vec<Sample>,
    /// The peer cannot do it: what it spends is reckoned from its simple row.
    pub reckoned: bool,
    pub direct: Vec<Sample>,
}

pub fn markdown(own: &str, peer: &str, all: &[Measured], idle: &[(String, Idle)]) -> String {
    let mut text = format!(
        "| row | processor us/tx {own} | {peer} | ratio (spread) | to reach | tps {own} | {peer} | \
         ratio (spread) | p99 us {own} | {peer} | ratio (spread) |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for measured in all {
        line(&mut text, measured).unwrap_or_default();
    }
    if all.iter().any(|measured| measured.reckoned) {
        let _ = writeln!(
            text,
            "\n*: {peer} has no prepared statements in transaction mode; its figure is \
             {PREPARED_FACTOR} times that of its simple row, and its speed is left out."
        );
    }
    added(&mut text, all);
    for (name, idle) in idle {
        let _ = writeln!(
            text,
            "\n{name}: {} idle clients: {:.2} kB each, {:.1} ms of processor in a second of \
             silence, all in after {:.1} s.",
            idle.clients,
            idle.each_kb,
            idle.rest.as_secs_f64() * 1e3,
            idle.took.as_secs_f64()
        );
    }
    text
}

fn line(text: &mut String, measured: &Measured) -> std::fmt::Result {
    let Measured { row, ours, theirs, reckoned, .. } = measured;
    let processor = |sample: &Sample| sample.processor_us;
    let star = if *reckoned { "*" } else { "" };
    write!(
        text,
        "| {} | {:.1} | {:.1}{star} |",
        row.name(),
        mid(ours, processor),
        mid(theirs, processor)
    )?;
    write!(text, " {} |", ratio(ours, theirs, processor))?;
    match row.reach {
        Some(reach) => write!(text, " {reach:.2} |")?,
        None => write!(text, " |")?,
    }
    for of in [|sample: &Sample| sample.tps, |sample: &Sample| sample.p99_us] {
        match reckoned {
            true => write!(text, " {:.0} | | |", mid(ours, of))?,
            false => write!(
                text,
                " {:.0} | {:.0} | {} |",
                mid(ours, of),
                mid(theirs, of),
                ratio(ours, theirs, of)
            )?,
        }
    }
    writeln!(text)
}

/// What a pooler adds to the time of one client's transaction.
fn added(text: &mut String, all: &[Measured]) {
    for measured in all.iter().filter(|measured| !measured.direct.is_empty()) {
        let half = |sample: &Sample| sample.p50_us;
        let direct = mid(&measured.direct, half);
        let _ = writeln!(
            text,
            "\n{}: median {direct:.0} us without a pooler, {:+.0} us with Howdah, {:+.0} us with \
             the peer.",
            measured.row.name(),
            mid(&measured.ours, half) - direct,
            mid(&measured.theirs, half) - direct
        );
    }
}

fn ratio(ours: &[Sample], theirs: &[Sample], of: fn(&Sample) -> f64) -> String {
    let mut ratios: Vec<f64> =
        ours.iter().zip(theirs).map(|(ours, theirs)| of(ours) / of(theirs)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let (Some(least), Some(most)) = (ratios.first(), ratios.last()) else { return String::new() };
    format!("**{:.2}** ({least:.2}-{most:.2})", ratios[ratios.len() / 2])
}

fn mid(samples: &[Sample], of: fn(&Sample) -> f64) -> f64 {
    let mut values: Vec<f64> = samples.iter().map(of).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// What the peer would spend on prepared statements if it had them.
pub fn reckon(row: &Row, simple: &Sample) -> Option<Sample> {
    (row.protocol == Protocol::Prepared)
        .then_some(Sample { processor_us: simple.processor_us * PREPARED_FACTOR, ..*simple })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_of_one_round_each_and_the_middle_one_counts() {
        let sample = |tps| Sample { tps, processor_us: 1.0, p50_us: 1.0, p99_us: 1.0 };
        let ours = [sample(10.0), sample(30.0), sample(20.0)];
        let theirs = [sample(10.0), sample(10.0), sample(40.0)];
        let tps = |sample: &Sample| sample.tps;
        assert_eq!(ratio(&ours, &theirs, tps), "**1.00** (0.50-3.00)");
    }
}
