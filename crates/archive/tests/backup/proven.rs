//! The last drill of a lineage, whichever backup it was of, read little by little.

use howdah_archive::proof::{self, Check, Drilled, Drills, Found, Proof, Verified};

use crate::place::Place;

fn drilled(passed: bool) -> Found {
    let check =
        if passed { Check::passed("few rows", "t") } else { Check::failed("few rows", "f") };
    let (rpo_ms, rto_ms) = (Some(900), Some(40_000));
    Found::Drilled(Box::new(Drilled {
        passed,
        rpo_ms,
        rto_ms,
        checks: vec![check],
        ..Drilled::default()
    }))
}

#[test]
fn the_last_drill_is_the_last_of_all_backups() {
    let place = Place::of_cluster(5);
    let keeps = |label: &str, at_ms: i64, found: Found| {
        let proof = Proof { at_ms, by: "n2".to_owned(), found };
        let label = label.parse().expect("a label");
        place.runtime.block_on(proof::keep(&place.lineage, &label, &proof)).expect("kept");
    };
    let mut drills = Drills::default();
    let mut last = || {
        place.runtime.block_on(drills.read(&place.lineage)).expect("read");
        let (label, proof, found) = drills.last()?;
        Some((label.to_string(), proof.at_ms, found.passed))
    };
    assert_eq!(last(), None);
    keeps("20300101-000000", 5, drilled(true));
    keeps("20300102-000000", 7, Found::Verified(Verified::default()));
    assert_eq!(last(), Some(("20300101-000000".to_owned(), 5, true)));
    keeps("20300102-000000", 8, drilled(false));
    keeps("20300102-000000", 9, Found::Verified(Verified::default()));
    assert_eq!(last(), Some(("20300102-000000".to_owned(), 8, false)));
    // An older backup may be drilled later.
    keeps("20300101-000000", 12, drilled(true));
    assert_eq!(last(), Some(("20300101-000000".to_owned(), 12, true)));
    assert_eq!(last(), Some(("20300101-000000".to_owned(), 12, true)), "nothing has come");
}
