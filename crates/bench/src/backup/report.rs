//! The table: medians, and the median of the rounds' ratios with its spread.

use std::fmt::Write as _;

use super::Spent;
use super::rows::{Figures, Row};

/// `ours` and `theirs`, row by row.
pub fn markdown(names: [&str; 2], ours: &Figures, theirs: &Figures) -> String {
    let [own, peer] = names;
    let mut text = format!(
        "| row | wall s {own} | {peer} | ratio (spread) | processor s {own} | {peer} | ratio (spread) | \
         MB stored {own} | {peer} | ratio | peak MB {own} | {peer} | to reach |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|\n"
    );
    for row in Row::ALL {
        let (Some(ours), Some(theirs)) = (ours.0.get(&row), theirs.0.get(&row)) else { continue };
        let _ = write!(text, "| {} |", row.name());
        for of in [wall as fn(&Spent) -> f64, processor] {
            pair(&mut text, ours, theirs, of);
            let _ = write!(text, " {} |", ratio(ours, theirs, of, true));
        }
        pair(&mut text, ours, theirs, bytes);
        let _ = write!(text, " {} |", ratio(ours, theirs, bytes, false));
        pair(&mut text, ours, theirs, memory);
        let _ = writeln!(text, " {} |", row.aim());
    }
    text
}

fn pair(text: &mut String, ours: &[Spent], theirs: &[Spent], of: fn(&Spent) -> f64) {
    let digits = |value: f64| if value < 10.0 { 3 } else { 1 };
    for spent in [ours, theirs] {
        let value = median(spent.iter().map(of).collect());
        let _ = write!(text, " {value:.*} |", digits(value));
    }
}

fn wall(spent: &Spent) -> f64 {
    spent.wall.as_secs_f64()
}

fn processor(spent: &Spent) -> f64 {
    spent.processor.as_secs_f64()
}

fn bytes(spent: &Spent) -> f64 {
    spent.bytes as f64 / 1e6
}

fn memory(spent: &Spent) -> f64 {
    spent.memory as f64 / 1e6
}

fn ratio(ours: &[Spent], theirs: &[Spent], of: fn(&Spent) -> f64, spread: bool) -> String {
    let pairs = ours.iter().zip(theirs).filter(|(_, theirs)| of(theirs) > 0.0);
    let mut all: Vec<f64> = pairs.map(|(ours, theirs)| of(ours) / of(theirs)).collect();
    all.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (all.first(), all.last()) else { return "-".to_owned() };
    let spread = match spread {
        true => format!(" ({least:.2}-{most:.2})"),
        false => String::new(),
    };
    format!("**{:.2}**{spread}", median(all.clone()))
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}
