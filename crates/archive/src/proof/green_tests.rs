//! Golden cases: what is known of backups, and what is said of it.

use super::super::{CANARY, Check, Drilled, Fault, Proof, Verified};
use super::*;

fn drilled(at: i64, checks: Vec<Check>) -> Option<(i64, Drilled)> {
    let passed = checks.iter().all(|check| check.outcome != super::super::Outcome::Failed);
    Some((at, Drilled { passed, checks, ..Drilled::default() }))
}

fn verified(at: i64, passed: bool) -> Option<(i64, Verified)> {
    let fault = Fault {
        object: "x/pack-1".to_owned(),
        what: "missing".to_owned(),
        means: String::new(),
        next: String::new(),
    };
    let faults = if passed { vec![] } else { vec![fault] };
    Some((at, Verified { passed, faults, ..Verified::default() }))
}

fn good(at: i64) -> Option<(i64, Drilled)> {
    drilled(at, vec![Check::passed(CANARY, ""), Check::not_checked("amcheck", "none")])
}

fn says(backups: &[(&str, Known)], key: KeyIs) -> String {
    let backups: Vec<(String, Known)> =
        backups.iter().map(|(label, known)| ((*label).to_owned(), known.clone())).collect();
    head(&backups, key).to_string()
}

#[test]
fn only_a_backup_that_was_restored_and_whose_key_is_safe_is_green() {
    let known = |drilled, verified| Known { drilled, verified };
    let plain = Known::default;
    let green = || known(good(5), None);
    assert_eq!(says(&[], KeyIs::External), "not green: there is no backup\nhint: howdah backup");
    for key in [KeyIs::Unneeded, KeyIs::External, KeyIs::Exported] {
        assert_eq!(
            says(&[("a", green())], key),
            "green: the newest backup, `a`, has been restored"
        );
    }
    assert_eq!(
        says(&[("a", green())], KeyIs::OnlyHere),
        "not green: the newest backup is `a`, and the repository's key lies nowhere but with the \
         cluster\nhint: howdah repository key --export FILE, and keep it elsewhere"
    );
    assert_eq!(
        says(&[("a", plain())], KeyIs::OnlyHere),
        "not green: the newest backup is `a`, and it has never been restored; the repository's key \
         lies nowhere but with the cluster\nhint: howdah drill restore\nhint: howdah repository key \
         --export FILE, and keep it elsewhere"
    );
    assert_eq!(
        says(&[("a", green()), ("b", plain())], KeyIs::External),
        "not green: the newest backup is `b`, and it has never been restored; `a` before it is \
         green\nhint: howdah drill restore"
    );
    let red = known(drilled(5, vec![Check::failed("orders", "it answered `f`")]), None);
    assert_eq!(
        says(&[("a", red)], KeyIs::External),
        "not green: the newest backup is `a`, and its drill failed, orders: it answered `f`\nhint: \
         mend that, then howdah drill restore"
    );
    let blind = known(drilled(5, vec![Check::not_checked(CANARY, "an older target")]), None);
    assert!(says(&[("a", blind)], KeyIs::External).contains("looked for no canary"));
}

#[test]
fn a_fault_counts_until_a_later_drill() {
    let with = |verified, drilled| Known { verified, drilled };
    assert!(why_not(&with(verified(4, false), good(5)), KeyIs::External).is_empty());
    assert!(why_not(&with(verified(6, true), good(5)), KeyIs::External).is_empty());
    let why = why_not(&with(verified(6, false), good(5)), KeyIs::External);
    let (object, what) = ("x/pack-1".to_owned(), "missing".to_owned());
    assert_eq!(why, [NotGreen::VerifyFailed { object, what }]);
}

#[test]
fn a_proof_is_read_as_it_was_written_and_a_newer_one_is_passed_over() {
    let (at_ms, by) = (7, "m1".to_owned());
    let drill = good(1).expect("some").1;
    for found in [
        super::super::Found::Verified(verified(1, false).expect("some").1),
        super::super::Found::Drilled(Box::new(drill)),
        super::super::Found::Exported,
        super::super::Found::Committed,
    ] {
        let proof = Proof { at_ms, by: by.clone(), found };
        let text = serde_json::to_string(&proof).expect("written");
        assert_eq!(serde_json::from_str::<Proof>(&text).expect("read"), proof, "{text}");
    }
    let newer = r#"{"at_ms":7,"by":"m1","kind":"weighed","grams":3}"#;
    let proof: Proof = serde_json::from_str(newer).expect("read");
    assert_eq!(proof.found, super::super::Found::Unknown);
    let first =
        r#"{"at_ms":1,"by":"m1","kind":"drilled","passed":true,"target":"latest","rpo_ms":900}"#;
    let proof: Proof = serde_json::from_str(first).expect("the least of the first version");
    assert!(matches!(proof.found, super::super::Found::Drilled(d) if d.rpo_ms == Some(900)));
}
