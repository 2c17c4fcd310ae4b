//! Many seeds: nothing may go wrong. And planted mistakes: the checker must find them.

use std::sync::atomic::{AtomicU64, Ordering};

use howdah_sim::{Plan, Planted, Verdict, run, shrink};

const SEEDS: u64 = 1_000;
/// Threads of this one test: the machines that run it have two cores.
const THREADS: u64 = 2;
/// A planted mistake is found within so many seeds.
const NO_FENCE_WITHIN: u64 = 40;
const LATE_LEASE_WITHIN: u64 = 150;
const NO_SEAL_WITHIN: u64 = 100;

/// What a primary without its lease is found by.
const WITHOUT_RIGHT: &str = "accepts writes; the leader is";

#[test]
fn nothing_goes_wrong() {
    if let Some(verdict) = first_wrong(SEEDS, Planted::Nothing) {
        let seed = verdict.seed;
        let fewer = shrink(Plan::of(seed), Planted::Nothing);
        panic!(
            "{}\nfaults that it needs: {:#?}\nreplay: cargo run -p howdah-sim -- --seed {seed} --trace",
            verdict.wrong.unwrap_or_default(),
            fewer.faults
        );
    }
}

#[test]
fn a_fence_that_is_skipped_is_found() {
    found(Planted::NoFence, NO_FENCE_WITHIN, WITHOUT_RIGHT);
}

#[test]
fn a_lease_counted_from_the_answer_is_found() {
    found(Planted::LateLease, LATE_LEASE_WITHIN, WITHOUT_RIGHT);
}

#[test]
fn a_switchover_that_is_not_sealed_is_found() {
    found(Planted::NoSeal, NO_SEAL_WITHIN, "given up is carried out");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let of = |seed| run(Plan::of(seed), Planted::Nothing, false);
    for seed in 1..=3 {
        let (one, two) = (of(seed), of(seed));
        assert_eq!(
            (one.steps, one.at_ms, one.acknowledged),
            (two.steps, two.at_ms, two.acknowledged)
        );
    }
}

fn found(planted: Planted, within: u64, words: &str) {
    let verdict = first_wrong(within, planted);
    let wrong = verdict.and_then(|v| v.wrong).expect("the planted mistake is found");
    assert!(wrong.contains(words), "another mistake: {wrong}");
}

/// The first seed found to be wrong, of the seeds from 1 on.
fn first_wrong(seeds: u64, planted: Planted) -> Option<Verdict> {
    let next = AtomicU64::new(1);
    let look = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed > seeds {
                return None;
            }
            let verdict = run(Plan::of(seed), planted, false);
            if verdict.wrong.is_some() {
                next.store(seeds + 1, Ordering::Relaxed);
                return Some(verdict);
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(look)).collect();
        workers.into_iter().filter_map(|worker| worker.join().expect("no panic")).next()
    })
}
