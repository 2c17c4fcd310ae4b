//! Accounts: limits at each level, guarantees, shares, fairness between pools.

use super::*;

const CONSULTATION: usize = 0;
const BACKGROUND: usize = 1;

fn classes(classes: &[(u32, u32)]) -> Vec<Class> {
    classes
        .iter()
        .map(|(guaranteed, weight)| Class { guaranteed: *guaranteed, weight: *weight })
        .collect()
}

fn size(size: u32) -> PoolLimits {
    PoolLimits { size, reserve: 0, database: None, role: None }
}

/// One pool, with clients of every class.
fn one(limit: u32, of: &[(u32, u32)]) -> (Accounts, usize) {
    let mut accounts = Accounts::new(None, &classes(of));
    let pool = accounts.open("d", "r", size(limit));
    (0..of.len()).for_each(|class| accounts.enter(pool, class));
    (accounts, pool)
}

/// Asks for a server; who asks has a number.
fn wants(accounts: &mut Accounts, pool: usize, class: usize, number: u64) -> bool {
    accounts.request(pool, class, Waiter { home: 0, client: 0, ticket: number, since: 0 })
}

/// Classes and numbers of those who have a place now.
fn granted(accounts: &mut Accounts) -> Vec<(usize, u64)> {
    let granted = std::iter::from_fn(|| accounts.grant(0));
    granted.map(|granted| (granted.class, granted.waiter.ticket)).collect()
}

#[test]
fn jobs_never_hold_what_is_guaranteed_to_others() {
    let (mut accounts, pool) = one(8, &[(40, 1), (10, 1)]);
    let got = (0..20).filter(|job| wants(&mut accounts, pool, BACKGROUND, *job)).count();
    assert_eq!(got, 5, "three stay free");
    let got = (0..4).filter(|ask| wants(&mut accounts, pool, CONSULTATION, 100 + ask)).count();
    assert_eq!((got, granted(&mut accounts)), (3, vec![]));
    // A job ends: consultation has had the least for its weight.
    accounts.release(pool, BACKGROUND, 5_000_000);
    assert_eq!(granted(&mut accounts), [(CONSULTATION, 103)]);
}

#[test]
fn nothing_is_kept_for_a_class_without_clients_and_each_may_have_one() {
    let (mut accounts, pool) = one(4, &[(50, 1), (50, 1), (0, 1)]);
    assert!(wants(&mut accounts, pool, 2, 1), "one is everybody's");
    assert!(!wants(&mut accounts, pool, 2, 2), "the others are kept");
    accounts.leave(pool, 0);
    accounts.leave(pool, 1);
    assert_eq!(granted(&mut accounts), [(2, 2)]);
}

#[test]
fn who_has_waited_longest_goes_first_and_who_gave_up_does_not() {
    let (mut accounts, pool) = one(1, &[(0, 1)]);
    assert!(wants(&mut accounts, pool, 0, 1));
    (2..5).for_each(|waiter| assert!(!wants(&mut accounts, pool, 0, waiter)));
    assert!(accounts.give_up(pool, 0, (0, 0, 3)) && !accounts.give_up(pool, 0, (0, 0, 3)));
    accounts.release(pool, 0, 10);
    assert_eq!(granted(&mut accounts), [(0, 2)]);
    accounts.release(pool, 0, 10);
    assert_eq!((granted(&mut accounts), accounts.waiting()), (vec![(0, 4)], 0));
}

#[test]
fn every_level_has_its_limit() {
    let mut accounts = Accounts::new(Some(5), &classes(&[(0, 1)]));
    let limits = PoolLimits { database: Some(3), role: Some(4), ..size(2) };
    let pools: Vec<_> = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "z")]
        .into_iter()
        .map(|(database, role)| accounts.open(database, role, limits))
        .collect();
    let mut asked = 0;
    let mut got = |accounts: &mut Accounts, pool: usize| {
        (0..3)
            .filter(|_| {
                asked += 1;
                wants(accounts, pool, 0, asked)
            })
            .count()
    };
    assert_eq!(got(&mut accounts, pools[0]), 2, "its own");
    assert_eq!(got(&mut accounts, pools[1]), 1, "its database's");
    assert_eq!(got(&mut accounts, pools[2]), 2, "its own");
    assert_eq!(got(&mut accounts, pools[3]), 0, "all");
    assert_eq!(got(&mut accounts, pools[4]), 0, "all");
    accounts.release(pools[0], 0, 1);
    assert_eq!(granted(&mut accounts).len(), 1);
    assert_eq!(accounts.in_use(pools[1]), 2, "of those who have had nothing the first");
}

#[test]
fn connections_have_the_same_limits_and_the_full_one_is_named() {
    let mut accounts = Accounts::new(Some(3), &classes(&[(0, 1)]));
    let (a, b) = (accounts.open("a", "x", size(2)), accounts.open("b", "y", size(2)));
    accounts.connect(a);
    accounts.connect(a);
    let own = accounts.may_connect(a).expect_err("its own limit");
    assert!(accounts.counts_at(a, own) && !accounts.counts_at(b, own));
    accounts.connect(b);
    let all = accounts.may_connect(b).expect_err("the limit of all");
    assert!(accounts.counts_at(a, all) && accounts.connections(a) == 2);
    accounts.disconnect(a);
    assert_eq!(accounts.may_connect(b), Ok(()));
}

#[test]
fn a_reserve_is_there_when_it_is_said_so_and_a_held_pool_begins_nothing() {
    let mut accounts = Accounts::new(None, &classes(&[(0, 1)]));
    let pool = accounts.open("a", "x", PoolLimits { reserve: 1, ..size(1) });
    assert!(wants(&mut accounts, pool, 0, 1));
    (2..5).for_each(|waiter| assert!(!wants(&mut accounts, pool, 0, waiter)));
    assert_eq!(granted(&mut accounts), []);
    accounts.reserve(pool, true);
    assert_eq!(granted(&mut accounts), [(0, 2)]);
    accounts.hold(pool, true);
    accounts.release(pool, 0, 1);
    assert_eq!(granted(&mut accounts), []);
    accounts.hold(pool, false);
    assert_eq!(granted(&mut accounts), [(0, 3)]);
    accounts.resize(pool, size(3));
    assert_eq!(granted(&mut accounts), [(0, 4)]);
}

#[test]
fn classes_may_come_and_go() {
    let (mut accounts, pool) = one(2, &[(0, 1)]);
    assert!(wants(&mut accounts, pool, 0, 1));
    accounts.reload(Some(9), &classes(&[(50, 3), (0, 1), (0, 2)]));
    accounts.enter(pool, 2);
    assert!(wants(&mut accounts, pool, 2, 2) && !wants(&mut accounts, pool, 1, 3));
    accounts.reload(None, &classes(&[(0, 1)]));
    accounts.release(pool, 2, 1);
    assert_eq!(granted(&mut accounts), [(1, 3)]);
}

#[test]
fn a_pool_that_is_closed_leaves_nothing_behind() {
    let mut accounts = Accounts::new(None, &classes(&[(0, 1)]));
    let limits = PoolLimits { database: Some(1), ..size(1) };
    let (a, b) = (accounts.open("d", "x", limits), accounts.open("d", "y", limits));
    assert!(wants(&mut accounts, a, 0, 1) && !wants(&mut accounts, b, 0, 2));
    assert!(accounts.give_up(b, 0, (0, 0, 2)));
    accounts.close(b);
    accounts.release(a, 0, 1);
    accounts.close(a);
    let again = accounts.open("d", "y", limits);
    assert!(wants(&mut accounts, again, 0, 3));
}

/// Plays pools that all classes want more of than there is; gives the part of the time that each
/// class had in each pool, in percent.
fn parts(accounts: &mut Accounts, jobs: &[(usize, usize, u64)]) -> Vec<u64> {
    let mut running: Vec<(u64, usize)> = Vec::new();
    let mut had = vec![0; jobs.len()];
    let mut waiting = vec![0; jobs.len()];
    let (mut now, mut waiter) = (0, 0);
    while now < 60_000_000 {
        for (at, (pool, class, busy)) in jobs.iter().enumerate() {
            while waiting[at] < 4 {
                waiter += 1;
                match wants(accounts, *pool, *class, waiter * 100 + at as u64) {
                    true => running.push((now + busy, at)),
                    false => waiting[at] += 1,
                }
            }
        }
        while let Some(Granted { waiter, .. }) = accounts.grant(0) {
            let at = (waiter.ticket % 100) as usize;
            waiting[at] -= 1;
            running.push((now + jobs[at].2, at));
        }
        running.sort_unstable();
        let (end, at) = running.remove(0);
        let (pool, class, busy) = jobs[at];
        now = end;
        had[at] += busy;
        accounts.release(pool, class, busy);
    }
    let all: u64 = had.iter().sum();
    had.iter().map(|had| had * 100 / all).collect()
}

#[test]
fn the_rest_is_shared_by_weight_whatever_a_job_takes() {
    let (mut accounts, pool) = one(10, &[(10, 60), (10, 20), (0, 15), (0, 5)]);
    let jobs = [(pool, 0, 1_000), (pool, 1, 5_000), (pool, 2, 40_000), (pool, 3, 900_000)];
    let parts = parts(&mut accounts, &jobs);
    for (part, want) in parts.iter().zip([60, 20, 15, 5]) {
        assert!(part.abs_diff(want) <= 10, "{parts:?}");
    }
}

#[test]
fn pools_of_a_class_share_what_is_the_classes() {
    let mut accounts = Accounts::new(Some(6), &classes(&[(0, 3), (0, 1)]));
    let pools: Vec<_> =
        ["a", "b", "c"].iter().map(|name| accounts.open(name, name, size(6))).collect();
    let jobs = [(pools[0], 0, 1_000), (pools[1], 0, 20_000), (pools[2], 1, 3_000)];
    jobs.iter().for_each(|(pool, class, _)| accounts.enter(*pool, *class));
    let parts = parts(&mut accounts, &jobs);
    for (part, want) in parts.iter().zip([37, 37, 25]) {
        assert!(part.abs_diff(want) <= 10, "{parts:?}");
    }
}

#[test]
fn nobody_saves_time_up_by_being_away() {
    let (mut accounts, pool) = one(1, &[(0, 1), (0, 1)]);
    for waiter in 0..100 {
        assert!(wants(&mut accounts, pool, 0, waiter));
        accounts.release(pool, 0, 1_000);
    }
    assert!(wants(&mut accounts, pool, 0, 100));
    (0..10).for_each(|waiter| assert!(!wants(&mut accounts, pool, 1, 200 + waiter)));
    (0..10).for_each(|waiter| assert!(!wants(&mut accounts, pool, 0, 300 + waiter)));
    let mut turns = Vec::new();
    let mut class = 0;
    for _ in 0..10 {
        accounts.release(pool, class, 1_000);
        class = accounts.grant(0).expect("somebody waits").class;
        turns.push(class);
    }
    let of_one = turns.iter().filter(|class| **class == 1).count();
    assert!((4..=6).contains(&of_one), "{turns:?}");
}
