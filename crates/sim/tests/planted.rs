//! Each mistake that is planted is found within the number of seeds that its row states.

use howdah_sim::planted::{Fate, ROWS};
use howdah_sim::sweep;

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
    interrupted_rewind, no_probe,
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
