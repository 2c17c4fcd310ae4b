//! The last drill of a lineage, whichever backup it was of, read little by little.

use howdah_archive::proof::{self, Check, Drilled, Found, Lately, Proof, Verified};

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
    let mut lately = Lately::default();
    let last = |lately: &mut Lately| {
        place.runtime.block_on(lately.read(&place.lineage)).expect("read");
        let (label, proof, found) = lately.drill()?;
        Some((label.to_string(), proof.at_ms, found.passed))
    };
    assert_eq!(last(&mut lately), None);
    keeps("20300101-000000", 5, drilled(true));
    keeps("20300102-000000", 7, Found::Verified(Verified::default()));
    assert_eq!(last(&mut lately), Some(("20300101-000000".to_owned(), 5, true)));
    keeps("20300102-000000", 8, drilled(false));
    keeps("20300102-000000", 9, Found::Verified(Verified::default()));
    assert_eq!(last(&mut lately), Some(("20300102-000000".to_owned(), 8, false)));
    // An older backup may be drilled later.
    keeps("20300101-000000", 12, drilled(true));
    assert_eq!(last(&mut lately), Some(("20300101-000000".to_owned(), 12, true)));
    assert_eq!(
        last(&mut lately),
        Some(("20300101-000000".to_owned(), 12, true)),
        "nothing has come"
    );
    // None of these has a manifest; of one it is known that there was one.
    keeps("20300103-000000", 14, Found::Committed);
    keeps("20300103-000000", 15, Found::Verified(Verified { passed: true, ..Verified::default() }));
    place.runtime.block_on(lately.read(&place.lineage)).expect("read");
    let labels: Vec<&str> = lately.missing().iter().map(|missing| missing.label.as_str()).collect();
    assert_eq!(labels, ["20300103-000000"]);
    let faulty: Vec<(&str, i64)> =
        lately.faulty().map(|(label, proof, _)| (label.as_str(), proof.at_ms)).collect();
    assert_eq!(faulty, [("20300102-000000", 9)]);
}
