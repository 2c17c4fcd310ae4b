//! The board: counts hold whatever comes late, and servers go where they are wanted.

mod world;

use std::collections::BTreeMap;

use world::{Chance, Doing, THREADS, World};

#[test]
fn whatever_comes_late_ends_or_gives_up_counts_hold_and_everybody_gets_a_server() {
    for seed in 1..300 {
        let (all, size) =
            ([None, Some(2), Some(4)][seed % 3], 1 + u32::try_from(seed % 4).unwrap());
        let (mut world, mut chance) = (World::new(all), Chance(seed as u64 * 7_919));
        for _ in 0..1_000 {
            world.step(&mut chance, size);
            world.check(all, size);
        }
        // From now on nothing fails: whoever has a server ends, until nobody wants one.
        let mut rounds = 0;
        while !world.clients(|doing| doing != Doing::Idle).is_empty() {
            world.now += 100;
            world.settle();
            for (me, account, client) in world.clients(|doing| doing == Doing::Has) {
                world.done(me, account, client);
            }
            world.settle();
            world.check(all, size);
            // Attempts that have failed are made again by the clock alone.
            if rounds < 2 {
                world.tick();
            }
            rounds += 1;
            assert!(rounds < 100, "seed {seed}: somebody gets none: {:?}", world.threads);
        }
        for (me, account, client) in world.clients(|_| true) {
            world.leave(me, account, client);
        }
        world.settle();
        for me in 0..THREADS {
            while let Some(account) =
                world.threads[me].iter().find(|(_, p)| p.idle > 0).map(|(at, _)| *at)
            {
                world.lose_idle(me, account);
                world.settle();
            }
        }
        assert_eq!(world.board.accounts.connections_of(None), 0, "seed {seed}");
        assert!(
            world.threads.iter().all(BTreeMap::is_empty),
            "seed {seed}: a pool is left: {:?}",
            world.threads
        );
    }
}

#[test]
fn a_server_goes_where_it_is_wanted_and_no_other_is_opened_for_now_and_then() {
    let mut world = World::new(None);
    let (account, one) = world.come(0, "a", 4);
    let (_, two) = world.come(1, "a", 4);
    for (thread, client) in [(0, one), (1, two), (0, one), (1, two)] {
        world.ask(thread, account, client);
        world.settle();
        world.done(thread, account, client);
    }
    assert_eq!(world.board.accounts.connections(account), 1);
}

#[test]
fn threads_that_are_busy_come_to_have_servers_of_their_own() {
    let mut world = World::new(None);
    let (account, one) = world.come(0, "a", 4);
    let (_, two) = world.come(1, "a", 4);
    let mut moved = 0;
    for round in 0..100 {
        world.now += 100;
        let (thread, client) = if round % 2 == 0 { (0, one) } else { (1, two) };
        let had = world.threads[thread].get(&account).map_or(0, |pool| pool.idle);
        world.ask(thread, account, client);
        world.settle();
        moved += u32::from(had == 0);
        world.done(thread, account, client);
    }
    assert_eq!(world.board.accounts.connections(account), 2);
    assert!(moved < 12, "{moved} times no server was there");
}

#[test]
fn a_server_that_idles_at_another_thread_makes_room_for_another_pool() {
    let mut world = World::new(Some(1));
    let (a, one) = world.come(0, "a", 4);
    world.ask(0, a, one);
    world.settle();
    world.done(0, a, one);
    let (b, two) = world.come(1, "b", 4);
    world.ask(1, b, two);
    world.settle();
    assert_eq!(world.clients(|doing| doing == Doing::Has), [(1, b, two)]);
    assert_eq!((world.board.accounts.connections(a), world.board.accounts.connections(b)), (0, 1));
}
