//! The primary's agent is frozen (SIGSTOP): it can neither renew its lease nor stop PostgreSQL.
//! The guard ends PostgreSQL at the deadline, so a client that goes straight to the old server
//! is told nothing that the next primary does not have.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use howdah_testkit::{Cluster, Journal, Node, Setup, Writer};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

#[test]
pub fn agent_frozen_in_async_the_old_server_ends_before_the_new_term_begins() {
    let (cluster, journal) = freeze_and_thaw(three().asynchronous().lease("4s"));
    let status = cluster.status();
    let begun = status.history.last().expect("a change of the term").at_unix_ms;
    let last = journal.acknowledged.last().expect("rows before the freeze").at;
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let last_ms = now_ms - last.elapsed().as_millis();
    assert!(
        last_ms <= u128::from(begun),
        "the old server acknowledged a row {} ms into the new term",
        last_ms - u128::from(begun)
    );
}

#[test]
pub fn agent_frozen_in_quorum_every_acknowledged_row_is_on_the_new_primary() {
    let (cluster, journal) = freeze_and_thaw(three().lease("4s"));
    let present = howdah_testkit::writer::rows(&cluster.plan()).expect("read the rows back");
    assert_eq!(journal.missing_from(&present), [0_i64; 0]);
}

/// The account of a client that went straight to the frozen primary's server.
fn freeze_and_thaw(setup: Setup) -> (Cluster, Journal) {
    let cluster = setup.start();
    let journal = frozen_journal(&cluster);
    (cluster, journal)
}

fn frozen_journal(cluster: &Cluster) -> Journal {
    let old = cluster.primary();
    let direct = Writer::start(cluster.plan_direct(old));
    let client = Writer::start_on_table(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    direct.wait_for_rows(100, ROWS_WITHIN);

    old.freeze_agent();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    wait_server_gone(cluster, old);
    client.wait_for_rows(100, ROWS_WITHIN);
    old.thaw_agent();
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, new.name, "the thawed node follows");
    // From here the old server is a standby and refuses the direct client's rows.
    client.stop_and_check();
    direct.stop()
}

fn wait_server_gone(cluster: &Cluster, old: &Node) {
    cluster.wait_for("no process of the old server is left", Duration::from_secs(20), || {
        old.server_processes().is_empty().then_some(())
    });
}
