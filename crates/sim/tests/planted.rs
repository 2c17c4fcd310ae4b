//! Each mistake that is planted is found within the number of seeds that its row states.

use howdah_sim::planted::{Fate, ROWS};
use howdah_sim::{Mistakes, sweep};

macro_rules! planted {
    ($($name:ident),+ $(,)?) => {
        $(#[test] fn $name() { is_found(&stringify!($name).replace('_', "-")); })+
        const TESTED: &[&str] = &[$(stringify!($name)),+];
    };
}

planted! {
    replayed_as_end, voters_by_name, timeline_not_reserved, no_observer_clock,
    no_fence, grace_beside_promise, late_lease, backend_outlives, diverged_standby, two_senders_a_slot,
    unproven_setting, unproven_waiting, setting_before_adding, record_before_setting,
    setting_before_alone, floor_kept, no_same_directory, quorum_off_by_one, floor_ignored,
    late_setting, no_seal, inexact_handover, handover_forgotten, rewind_as_voter,
    interrupted_rewind, no_probe, early_report, blind_takeover, stale_view, unsettled,
    blind_renewal, voter_far_behind, rewind_early, promise_not_durable, grace_forgotten, promise_lowered,
    promise_taken_back,
}

fn is_found(name: &str) {
    let row = ROWS.iter().find(|row| row.name == name).expect("a row of the table");
    let Fate::Found { within, saying } = row.fate else { panic!("`{name}` is not to be found") };
    let summary = sweep(1, within, row.planted, true);
    let verdict = summary.wrong.first();
    let verdict = verdict.unwrap_or_else(|| panic!("`{name}`: not found in {within} seeds"));
    let wrong = verdict.wrong.as_deref().unwrap_or_default();
    let expected = saying.iter().any(|words| wrong.contains(words));
    assert!(expected, "`{name}`, seed {}: another mistake: {wrong}", verdict.seed);
}

/// Seeds within which what is insured does no harm.
const HARMLESS: u64 = 15;

/// By itself it does no harm, nor do the others without it; together they do.
fn is_insured(name: &str) {
    let row = ROWS.iter().find(|row| row.name == name).expect("a row of the table");
    let Fate::Insurance { with, within, saying, .. } = row.fate else {
        panic!("`{name}` is no insurance")
    };
    let alone = Mistakes::from(row.planted);
    for harmless in [alone, alone.and(with).without_its_own()] {
        let summary = sweep(1, HARMLESS, harmless, true);
        let wrong = summary.wrong.first().map(|verdict| (verdict.seed, &verdict.wrong));
        assert_eq!(wrong, None, "`{name}`, {harmless:?}");
    }
    let summary = sweep(1, within, alone.and(with), true);
    let wrong = summary.wrong.first().and_then(|verdict| verdict.wrong.as_deref());
    let found = wrong.is_some_and(|wrong| saying.iter().any(|words| wrong.contains(words)));
    assert!(found, "`{name}` with {with:?}, {within} seeds: {wrong:?}");
}

#[test]
fn each_rule_against_dead_branches_is_insured_by_the_others() {
    let rows = ROWS.iter().filter(|row| matches!(row.fate, Fate::Insurance { .. }));
    let names: Vec<&str> = rows.map(|row| row.name).collect();
    assert!(!names.is_empty());
    names.into_iter().for_each(is_insured);
}

#[test]
fn every_row_that_says_found_has_its_test() {
    let found = ROWS.iter().filter(|row| matches!(row.fate, Fate::Found { .. }));
    let found: Vec<String> = found.map(|row| row.name.replace('-', "_")).collect();
    let mut tested: Vec<String> = TESTED.iter().map(|name| (*name).to_owned()).collect();
    tested.sort();
    let mut rows = found.clone();
    rows.sort();
    assert_eq!(tested, rows);
}
