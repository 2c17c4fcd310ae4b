//! The primary's machine is cut from the others and lives on. Where voters confirm commits they end
//! its term; in `async` it ends its own server before anyone else may write. A client that goes
//! straight to it is told of nothing after that.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use howdah_testkit::{Cluster, Setup, Writer};

use crate::watch::Watch;
use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

#[test]
fn in_quorum_an_isolated_primary_gives_way_and_nothing_is_lost() {
    let Some(setup) = three() else { return };
    let cluster = setup.start();
    let old = cluster.primary();
    let watch = Watch::start(&cluster);
    let cut_at = Instant::now();
    isolate_and_rejoin(&cluster, false, || watch.wait_for_rows(100, ROWS_WITHIN));
    told_nothing_in_the_new_term(&cluster, watch.last_at(&old.name).expect("rows"));
    let gap = watch.judge(cut_at);
    assert!(gap < Duration::from_secs(20), "no row for {gap:?}");
}

#[test]
fn a_primary_that_is_not_heard_any_more_gives_way() {
    half_isolated(|cluster, primary, other| cluster.cables().cut_one_way(primary, other));
}

#[test]
fn a_primary_that_hears_nobody_any_more_gives_way() {
    half_isolated(|cluster, primary, other| cluster.cables().cut_one_way(other, primary));
}

fn half_isolated(cut: impl Fn(&Cluster, &str, &str)) {
    let Some(setup) = three() else { return };
    let cluster = setup.start();
    let old = cluster.primary();
    let watch = Watch::start(&cluster);
    let cut_at = Instant::now();
    for other in cluster.standbys() {
        cut(&cluster, &old.name, &other.name);
    }
    cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    watch.wait_for_rows(100, TAKEOVER_WITHIN);
    cluster.cables().rejoin(&old.name);
    cluster.wait_whole();
    told_nothing_in_the_new_term(&cluster, watch.last_at(&old.name).expect("rows"));
    let gap = watch.judge(cut_at);
    assert!(gap < Duration::from_secs(20), "no row for {gap:?}");
}

/// In async nothing but the lease keeps the old primary from acknowledging.
#[test]
fn in_async_an_isolated_primary_ends_before_the_new_term_begins() {
    let Some(setup) = three().map(Setup::asynchronous) else { return };
    let cluster = setup.start();
    let direct = Writer::start(cluster.plan_direct(cluster.primary()));
    direct.wait_for_rows(100, ROWS_WITHIN);
    let client = Writer::start_on_table(cluster.plan());
    isolate_and_rejoin(&cluster, true, || client.wait_for_rows(100, ROWS_WITHIN));
    let journal = direct.stop();
    told_nothing_in_the_new_term(&cluster, journal.acknowledged.last().expect("rows").at);
}

/// `ends_first`: the old server is gone before another one leads.
fn isolate_and_rejoin(cluster: &Cluster, ends_first: bool, meanwhile: impl Fn()) {
    let old = cluster.primary();
    cluster.cables().isolate(&old.name);
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    let ended = old.server_processes().is_empty();
    assert!(ended || !ends_first, "the old server ended first\n{}", cluster.seen());
    meanwhile();
    cluster.wait_for("the old server ends at its deadline", TAKEOVER_WITHIN, || {
        (old.server_processes().is_empty() && old.health("/primary") != Some(200)).then_some(())
    });
    assert_eq!(old.health("/liveness"), Some(200), "its agent is well");
    cluster.cables().rejoin(&old.name);
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, new.name, "who comes back follows");
    meanwhile();
}

#[track_caller]
fn told_nothing_in_the_new_term(cluster: &Cluster, last: Instant) {
    let begun = cluster.status().history.last().expect("a change of the term").at_unix_ms;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let last_ms = now_ms - last.elapsed().as_millis();
    assert!(
        last_ms <= u128::from(begun),
        "the old server acknowledged a row {} ms into the new term",
        last_ms - u128::from(begun)
    );
}
