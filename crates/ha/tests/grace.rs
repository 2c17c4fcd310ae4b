//! Promises while the store is away: who gives them, and what they add up to.

use std::collections::BTreeMap;

use howdah_base::{Term, Tick};
use howdah_ha::decide;
use howdah_ha::grace::{self, Plea};

mod words;

use words::{World, node};

/// What `n2` answers `n1`, which leads term 2.
fn granted(text: &str) -> Result<u64, String> {
    let World { view, now, .. } = World::of(&format!("me n2\nstore away\nrenewed 3\n{text}"));
    let plea = Plea { from: node("n1"), term: Term(2) };
    let length = grace::grant(&view, &plea, now)?;
    Ok(u64::try_from(length.as_millis()).expect("a short time"))
}

#[test]
fn a_standby_for_which_the_store_is_away_promises_the_length_of_a_lease() {
    assert_eq!(granted(""), Ok(6_000));
}

#[test]
fn a_promise_is_refused() {
    let cases = [
        ("renewed 0.5", "the store answers here"),
        ("promised 2 5", "it has promised to receive nothing more from term 2"),
        ("job Txn", "a write of its own has an unknown end"),
        ("failed Txn 1 times 60", "a write of its own has an unknown end"),
        ("leader n3", "the leader of term 2 is another one here"),
        ("setting witness", "it is a witness: its promise counts for nothing"),
    ];
    for (text, why) in cases {
        assert_eq!(granted(text), Err(why.to_owned()), "{text}");
    }
    // What was promised before the record was written anew binds no more.
    assert_eq!(granted("promised 2 4"), Ok(6_000));
}

/// How much longer `n1` may write, in milliseconds, when each word holds for so many seconds.
fn left(text: &str, words: &[(&str, u64)]) -> Option<u64> {
    let World { view, memory, now } = World::of(&format!("store away\nrenewed 3\n{text}"));
    let until = |(name, seconds): &(&str, u64)| (node(name), Tick(now.0 + seconds * 1_000));
    let promised: BTreeMap<_, _> = words.iter().map(until).collect();
    Some(grace::until(&view, &memory, &promised, now)?.0 - now.0)
}

#[test]
fn the_needed_word_decides_how_long_a_primary_goes_on() {
    // Of two voters one is enough, less the margin for drift between clocks.
    assert_eq!(left("", &[]), None);
    assert_eq!(left("", &[("n2", 4)]), Some(3_500));
    assert_eq!(left("", &[("n2", 4), ("n3", 5)]), Some(4_500));
    // Of three, two.
    let three = "member n4\nsync needs 2 of n2 n3 n4";
    assert_eq!(left(three, &[("n2", 4)]), None);
    assert_eq!(left(three, &[("n2", 4), ("n3", 5), ("n4", 6)]), Some(4_500));
    // Who is no voter has nothing to say.
    assert_eq!(left("sync needs 1 of n2", &[("n3", 5)]), None);
}

#[test]
fn alone_nobody_is_asked_and_in_async_everybody() {
    assert_eq!(left("sync alone", &[]), Some(5_500));
    let alone = "setting async\nsync alone";
    assert_eq!(left(alone, &[("n2", 4)]), None);
    assert_eq!(left(alone, &[("n2", 4), ("n3", 5)]), Some(3_500));
}

#[test]
fn only_a_primary_whose_renewals_fail_asks() {
    let asked = |text: &str| {
        let World { view, memory, now } = World::of(text);
        grace::to_ask(&view, &memory, now).map(|nodes| nodes.len())
    };
    assert_eq!(asked("renewed 0.5"), None);
    assert_eq!(asked("store away\nrenewed 3"), Some(2));
    assert_eq!(asked("store away\nrenewed 3\nsync alone"), Some(0));
    assert_eq!(asked("store away\nrenewed 3\nserver down"), None);
    assert_eq!(asked("me n2\nstore away\nrenewed 3"), None);
    // The record may name others by then.
    assert_eq!(asked("store away\nrenewed 3\nsync alone\njob Txn"), None);
    assert_eq!(asked("store away\nrenewed 3\nsync alone\nfailed Txn 1 times 5"), None);
    assert_eq!(asked("store away\nrenewed 3\nremembers nothing"), None);
}

#[test]
fn while_a_renewal_is_on_its_way_a_leader_decides_again_when_the_next_would_be_due() {
    let wakes = |renewed: &str, renewing: bool| {
        let World { mut view, mut memory, now } = World::of(&format!("me n1\nrenewed {renewed}"));
        view.store.renewing = renewing;
        let at = decide(&mut memory, &view, now).wake_at.expect("a leader wakes");
        now.until(at).as_millis()
    };
    assert_eq!(wakes("0.4", false), 600);
    assert_eq!(wakes("1.3", false), 0);
    assert_eq!([wakes("1.3", true), wakes("2.3", true)], [700, 700]);
}
