//! What is kept of a run, and the sum over all runs: the part of `docs/chaos.md` that is made from
//! `docs/chaos/*.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::rules;

/// One run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Of the source that was run.
    pub commit: String,
    pub seed: u64,
    pub nodes: usize,
    pub durability: String,
    /// From the first write to the last.
    pub seconds: u64,
    pub acknowledged: usize,
    pub failed: usize,
    pub indeterminate: usize,
    pub indeterminate_present: usize,
    pub lost: usize,
    pub reordered: usize,
    pub vanished: usize,
    pub ghosts: usize,
    pub odd_sums: usize,
    pub double_primaries: usize,
    /// Answers of a deposed primary for writes that the next one has.
    pub late_answers: usize,
    /// Milliseconds without any acknowledged write; the longest first, with when it began.
    pub outages: Vec<Outage>,
    /// By kind: how often it was tried and how often it took effect.
    pub faults: BTreeMap<String, Tries>,
    pub terms: u64,
    /// Timelines that acknowledged a write.
    pub timelines: usize,
    pub agents_restarted: u64,
    /// From the end of the last fault to a whole cluster, in milliseconds.
    pub whole_after_ms: Option<u64>,
    pub rules: BTreeSet<u16>,
    /// Why the run failed; empty when it did not.
    pub complaints: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Outage {
    pub at_ms: u64,
    pub ms: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tries {
    pub tried: usize,
    pub took_effect: usize,
}

impl Summary {
    /// The run in a few lines.
    pub fn words(&self) -> String {
        let Summary { acknowledged, failed, indeterminate, indeterminate_present, .. } = self;
        let longest = self.outages.first().copied().unwrap_or_default();
        let mut text = format!(
            "acknowledged {acknowledged}, failed {failed}, \
             indeterminate {indeterminate} ({indeterminate_present} are there)\n\
             lost {}, reordered {}, vanished {}, ghosts {}, odd sums {}\n\
             double primaries {}, late answers {}, terms {}, timelines {}\n\
             longest outage {:.1} s at {:.1} s; whole {} after the last fault\n",
            self.lost,
            self.reordered,
            self.vanished,
            self.ghosts,
            self.odd_sums,
            self.double_primaries,
            self.late_answers,
            self.terms,
            self.timelines,
            seconds(longest.ms),
            seconds(longest.at_ms),
            self.whole_after_ms
                .map_or_else(|| "never".to_owned(), |ms| format!("{:.1} s", seconds(ms))),
        );
        for (kind, tries) in &self.faults {
            writeln!(text, "  {kind}: {} of {} took effect", tries.took_effect, tries.tried).ok();
        }
        writeln!(text, "rules: {}", numbers(&self.rules)).ok();
        let verdict = if self.complaints.is_empty() { "all held" } else { "FAILED" };
        writeln!(text, "{verdict}").ok();
        self.complaints.iter().for_each(|one| text += &format!("  {one}\n"));
        text
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}

/// Reads summaries, in the order of their names.
pub fn read(files: &[PathBuf]) -> Result<Vec<(String, Summary)>> {
    let mut files = files.to_vec();
    files.sort();
    let one = |path: &PathBuf| {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("read `{}`", path.display()))?;
        let summary = serde_json::from_str(&text);
        let summary = summary.with_context(|| format!("understand `{}`", path.display()))?;
        Ok((path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), summary))
    };
    files.iter().map(one).collect()
}

/// All summaries below a directory.
pub fn files_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory);
    let entries = entries.with_context(|| format!("list `{}`", directory.display()))?;
    let files = entries.flatten().map(|entry| entry.path());
    Ok(files.filter(|path| path.extension().is_some_and(|end| end == "json")).collect())
}

/// Every rule that fired in one of the runs.
pub fn rules_of(runs: &[(String, Summary)]) -> BTreeSet<u16> {
    runs.iter().flat_map(|(_, run)| run.rules.iter().copied()).collect()
}

/// The sum of all runs, as Markdown, with the rules that it has not reached.
pub fn sum(runs: &[(String, Summary)]) -> String {
    tables(runs) + &unreached(&rules_of(runs))
}

/// What the runs alone say; it does not change when a rule is added.
fn tables(runs: &[(String, Summary)]) -> String {
    let mut text = String::from(
        "| run | commit | seed | nodes | minutes | acknowledged | lost | indeterminate (there) \
         | reordered, vanished, odd sums | double primaries | terms | faults that took effect \
         | longest outage | whole after | why it failed |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut total = Summary::default();
    for (name, run) in runs {
        text += &row(name, run);
        total.seconds += run.seconds;
        total.acknowledged += run.acknowledged;
        total.lost += run.lost;
        total.indeterminate += run.indeterminate;
        total.indeterminate_present += run.indeterminate_present;
        total.reordered += run.reordered;
        total.vanished += run.vanished;
        total.odd_sums += run.odd_sums;
        total.double_primaries += run.double_primaries;
        total.terms += run.terms;
        total.outages.extend(run.outages.first());
        for (kind, tries) in &run.faults {
            let sum = total.faults.entry(kind.clone()).or_default();
            sum.tried += tries.tried;
            sum.took_effect += tries.took_effect;
        }
    }
    total.outages.sort_by_key(|outage| std::cmp::Reverse(outage.ms));
    text += &row("**all**", &total);
    text += "\n| fault | took effect | tried |\n|---|---|---|\n";
    for (kind, tries) in &total.faults {
        writeln!(text, "| {kind} | {} | {} |", tries.took_effect, tries.tried).ok();
    }
    writeln!(text, "\nRules of the core that fired: {}.", numbers(&rules_of(runs))).ok();
    text
}

fn row(name: &str, run: &Summary) -> String {
    let took: usize = run.faults.values().map(|tries| tries.took_effect).sum();
    let outage = run.outages.first().copied().unwrap_or_default();
    let is_one = run.nodes > 0;
    let of_one = |text: String| if is_one { text } else { String::new() };
    format!(
        "| {name} | {} | {} | {} | {:.1} | {} | {} | {} ({}) | {}, {}, {} | {} | {} | {took} \
         | {:.1} s | {} | {} |\n",
        run.commit,
        of_one(run.seed.to_string()),
        of_one(run.nodes.to_string()),
        run.seconds as f64 / 60.0,
        run.acknowledged,
        run.lost,
        run.indeterminate,
        run.indeterminate_present,
        run.reordered,
        run.vanished,
        run.odd_sums,
        run.double_primaries,
        run.terms,
        seconds(outage.ms),
        of_one(run.whole_after_ms.map_or("never".to_owned(), |ms| format!("{:.1} s", seconds(ms)))),
        run.complaints.join("; "),
    )
}

fn unreached(fired: &BTreeSet<u16>) -> String {
    let mut text = String::new();
    let missing = rules::missing(fired);
    if missing.is_empty() {
        text += "\nEvery rule that chaos can reach has fired.\n";
    } else {
        text += "\nRules that chaos could reach and that never fired:\n\n";
        for rule in missing {
            writeln!(text, "- {}: {}", rule.number(), rule.sentence()).ok();
        }
    }
    text +=
        "\nRules out of chaos's reach, shown by the simulation and by stories of their own:\n\n";
    for (rule, why) in rules::BEYOND {
        writeln!(text, "- {}: {why}", rule.number()).ok();
    }
    text
}

fn numbers(rules: &BTreeSet<u16>) -> String {
    rules.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Between these lines of `docs/chaos.md` stands what [`sum`] makes.
const BEGIN: &str = "<!-- howdah-chaos sum -->\n";
const END: &str = "<!-- end of the sum -->\n";

/// `page` with another sum in it.
pub fn put_into(page: &str, sum: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).context("the page has no beginning of a sum")?;
    let (_, after) = rest.split_once(END).context("the page has no end of a sum")?;
    Ok(format!("{before}{BEGIN}{sum}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn run(acknowledged: usize, rule: u16) -> Summary {
        let faults = BTreeMap::from([("cut".to_owned(), Tries { tried: 2, took_effect: 1 })]);
        Summary {
            nodes: 3,
            seconds: 90,
            acknowledged,
            faults,
            rules: [rule].into(),
            outages: vec![Outage { at_ms: 5, ms: acknowledged as u64 }],
            ..Summary::default()
        }
    }

    #[test]
    fn runs_are_added_up() {
        let text = sum(&[("a".to_owned(), run(1_000, 321)), ("b".to_owned(), run(2_500, 509))]);
        assert!(text.contains("| **all** |  |  |  | 3.0 | 3500 |"), "{text}");
        assert!(text.contains("| 2.5 s |  |  |\n"), "the longest of all: {text}");
        assert!(text.contains("| cut | 2 | 4 |"), "{text}");
        assert!(text.contains("that fired: 321, 509."), "{text}");
        assert!(text.contains("- 406: "), "what never fired is named: {text}");
        assert!(text.contains("- 113: every node has a server"), "{text}");
    }

    #[test]
    fn a_sum_takes_the_place_of_the_last_one() {
        let page = format!("# a\n{BEGIN}old\n{END}b\n");
        assert_eq!(put_into(&page, "new\n").expect("put"), format!("# a\n{BEGIN}new\n{END}b\n"));
        assert!(put_into("# a\n", "new\n").is_err());
    }

    /// `howdah-chaos sum --write docs/chaos.md docs/chaos/*.json` makes it so.
    #[test]
    fn the_page_says_what_the_runs_say() {
        let runs = read(&files_in(&repository().join("docs/chaos")).expect("listed"));
        let page = fs::read_to_string(repository().join("docs/chaos.md")).expect("the page");
        let made = format!("{BEGIN}{}", tables(&runs.expect("read")));
        assert!(page.contains(&made), "docs/chaos.md is not the sum of docs/chaos/*.json");
    }
}
