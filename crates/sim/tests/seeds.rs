//! Many seeds: nothing may go wrong, everything that can befall a cluster must have taken
//! effect, and every rule must have decided.

use std::collections::BTreeSet;

use howdah_ha::Rule;
use howdah_sim::{Effect, Plan, Planted, run, shrink, sweep};

const SEEDS: u64 = 2_400;

/// Rules that no run can reach, and why.
const UNREACHED: &[(Rule, &str)] = &[
    (Rule::RefusedDirectory, "the simulation has no directories of other clusters"),
    (Rule::Witness, "the simulation has no witnesses"),
    (Rule::StoreForgot, "the modelled store never loses its records"),
    (Rule::WrongTimeline, "the modelled promotion takes the number that is reserved"),
    (Rule::GiveUp, "ten copies in a row do not fail within a run"),
    (Rule::LastCopy, "a takeover writes `leader` and `sync` together"),
    (Rule::Forced, "an operator who accepts a loss may lose commits: nothing could be checked"),
];

#[test]
fn nothing_goes_wrong_everything_befalls_and_every_rule_decides() {
    let summary = sweep(1, SEEDS, Planted::Nothing, false);
    if let Some(verdict) = summary.wrong.first() {
        let seed = verdict.seed;
        let fewer = shrink(Plan::of(seed), Planted::Nothing);
        panic!(
            "{}\nfaults that it needs: {:#?}\nreplay: cargo run -p howdah-sim -- --seed {seed} --trace",
            verdict.wrong.clone().unwrap_or_default(),
            fewer.faults
        );
    }
    let idle: Vec<_> = Effect::ALL.iter().filter(|e| summary.effects.of(**e) == 0).collect();
    assert!(idle.is_empty(), "never took effect: {idle:?}");
    let reached = summary.trail.reached();
    let excused: BTreeSet<Rule> = UNREACHED.iter().map(|(rule, _)| *rule).collect();
    let missed: Vec<_> = Rule::ALL
        .iter()
        .filter(|rule| !reached.contains(rule) && !excused.contains(rule))
        .collect();
    assert!(missed.is_empty(), "never decided: {missed:?}");
    let wrongly: Vec<_> = excused.intersection(&reached).collect();
    assert!(wrongly.is_empty(), "decided although nothing reaches them: {wrongly:?}");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let of = |seed| run(Plan::of(seed), Planted::Nothing, false);
    for seed in 1..=3 {
        let (one, two) = (of(seed), of(seed));
        assert_eq!(
            (one.steps, one.at_ms, one.acknowledged, one.effects, one.trail),
            (two.steps, two.at_ms, two.acknowledged, two.effects, two.trail)
        );
    }
}
