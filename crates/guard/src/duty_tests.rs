//! The guard's duties at each moment, on a clock made of numbers.

use super::*;

const NOW: Tick = Tick(100_000);

fn at(ms: u64) -> Tick {
    Tick(100_000 + ms)
}

fn running(deadline: Option<Tick>) -> Duty {
    let mut duty = Duty::new();
    duty.emptied();
    duty.start(deadline, NOW).expect("a deadline ahead");
    duty
}

#[test]
fn a_new_guard_first_kills_what_an_earlier_one_left() {
    let mut duty = Duty::new();
    assert!(duty.must_kill(NOW));
    assert!(!duty.emptied());
    assert_eq!(duty.phase(), Phase::Empty);
    assert!(!duty.must_kill(NOW));
}

#[test]
fn the_fence_begins_before_the_deadline_and_kills_before_it() {
    let mut duty = running(Some(at(10_000)));
    assert_eq!(duty.wake_at(), Some(at(9_300)));
    assert_eq!(duty.fence_begins(at(9_299)), None);
    assert_eq!(duty.fence_begins(at(9_300)), Some(at(10_000)));
    assert_eq!(duty.fence_begins(at(9_301)), None, "once");
    assert_eq!(duty.wake_at(), Some(at(9_700)));
    assert!(!duty.must_kill(at(9_699)));
    assert!(duty.must_kill(at(9_700)));
    assert!(duty.emptied(), "fenced");
    assert_eq!(duty.deadline(), None, "the next server brings its own");
}

#[test]
fn an_extension_moves_forward_only() {
    let mut duty = running(Some(at(10_000)));
    duty.extend(at(20_000), NOW).expect("in time");
    duty.extend(at(15_000), NOW).expect("changes nothing");
    assert_eq!(duty.deadline(), Some(at(20_000)));
    assert_eq!(duty.fence_begins(at(19_000)), None);
}

#[test]
fn an_extension_that_arrives_in_the_fence_is_refused() {
    let deadline = at(10_000);
    let mut frozen = running(Some(deadline));
    let refusal = frozen.extend(at(20_000), at(9_300)).expect_err("too late by the clock alone");
    assert_eq!(refusal, Refusal::Fencing { deadline });
    let mut duty = running(Some(deadline));
    duty.fence_begins(at(9_300));
    assert_eq!(duty.disarm(at(9_300)), Err(Refusal::Fencing { deadline }));
}

#[test]
fn a_deadline_that_has_passed_kills_at_once_or_starts_nothing() {
    let mut standby = running(None);
    standby.extend(Tick(99_000), NOW).expect("taken");
    assert_eq!(standby.fence_begins(NOW), Some(Tick(99_000)));
    assert!(standby.must_kill(NOW));

    let mut empty = Duty::new();
    empty.emptied();
    let refusal = empty.start(Some(at(700)), NOW).expect_err("the fence would begin at once");
    assert_eq!(refusal, Refusal::DeadlinePassed { deadline: at(700) });
    assert_eq!(empty.phase(), Phase::Empty);
}

#[test]
fn a_standby_has_no_deadline() {
    let mut duty = running(Some(at(10_000)));
    duty.disarm(NOW).expect("in time");
    assert_eq!(duty.wake_at(), None);
    assert_eq!(duty.fence_begins(at(1_000_000)), None);
    assert!(!duty.must_kill(at(1_000_000)));
}

#[test]
fn a_shutdown_has_its_time_and_a_second_one_only_shortens_it() {
    let mut duty = running(Some(at(50_000)));
    duty.stop(at(5_000));
    duty.stop(at(9_000));
    assert_eq!((duty.phase(), duty.wake_at()), (Phase::Stopping, Some(at(5_000))));
    assert!(!duty.must_kill(at(4_999)));
    assert!(duty.must_kill(at(5_000)));
    assert!(!duty.emptied(), "stopped, not fenced");
}

#[test]
fn a_slow_shutdown_is_still_fenced() {
    let mut duty = running(Some(at(5_000)));
    duty.stop(at(60_000));
    assert_eq!(duty.wake_at(), Some(at(4_300)));
    assert_eq!(duty.fence_begins(at(4_300)), Some(at(5_000)));
    assert!(duty.must_kill(at(4_700)));
}

#[test]
fn without_a_server_there_is_nothing_to_extend() {
    let mut duty = Duty::new();
    duty.emptied();
    assert_eq!(duty.extend(at(10_000), NOW), Err(Refusal::NotRunning));
    assert_eq!(duty.wake_at(), None);
}
