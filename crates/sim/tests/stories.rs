//! Seeds that once went wrong, each with what had happened. They pass now and must go on so.
//!
//! A seed is a whole run: when the model changes it may tell another story. What must never
//! come back is therefore also a golden case of the core (`crates/ha/tests`) where it can be.

use howdah_sim::{Plan, Planted, run};

fn passes(seed: u64) {
    let verdict = run(Plan::of(seed), Planted::Nothing, false);
    assert_eq!(verdict.wrong, None, "replay: cargo run -p howdah-sim -- --seed {seed} --trace");
}

/// The answer to the first record was lost; the directory stayed marked fresh, and when its
/// leader ended nobody stood for election any more.
#[test]
fn a_directory_whose_first_record_was_never_answered_stands_for_election() {
    passes(5);
    passes(22);
}

/// The record had ended standing alone, its answer was lost, and after a freeze the server was
/// started from the old picture: commits passed with nobody's confirmation.
#[test]
fn a_leader_whose_write_was_not_answered_settles_the_record_before_it_starts() {
    passes(169);
}

/// Three starts in a row had failed for want of a lease; the only node that may lead held
/// itself for ineligible for ever.
#[test]
fn a_server_that_failed_to_start_is_tried_again_when_nobody_else_may_lead() {
    passes(21);
    passes(161);
}

/// The lease was let go and taken again without a pause, a new term each time.
#[test]
fn a_leader_that_lets_go_does_not_lead_again_at_once() {
    passes(991);
    passes(1207);
}

/// The setting had not reached the checkpointer when the promoted server took its first
/// commits: they passed alone.
#[test]
fn a_promoted_server_lets_no_commit_pass_alone() {
    passes(48);
    passes(114);
}

/// The store had ended every lease early, and the leader's agent did not see it. A standby had said
/// what it held and went on receiving: a commit that it confirmed was not on the new primary.
#[test]
fn a_standby_that_said_what_it_holds_receives_nothing_more() {
    passes(440);
}
