//! etcd loses the leader's key before its time, as it does by faults of its own: the primary's
//! lease is revoked, or its key deleted, by hand. It takes the key again.

use std::time::Duration;

use howdah_testkit::{Cluster, Store, Writer, wait};

use super::ctl;
use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

const LEADER: &str = "/howdah/test/leader";
/// No row for longer than this, and something was begun anew: an election alone takes longer.
const GAP_MAX: Duration = Duration::from_secs(3);

#[test]
fn the_primarys_lease_is_revoked_and_nothing_ends() {
    goes_on(|cluster| {
        let lease = key(cluster).expect("a leader").1;
        ctl(cluster, &["lease", "revoke", &format!("{lease:x}")]).expect("revoked");
    });
}

#[test]
fn the_leader_key_is_deleted_and_nothing_ends() {
    goes_on(|cluster| drop(ctl(cluster, &["del", LEADER]).expect("deleted")));
}

/// The revision at which the leader key came into being, and its lease.
fn key(cluster: &Cluster) -> Option<(i64, i64)> {
    let text = ctl(cluster, &["get", LEADER, "--write-out=json"]).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    let key = &value["kvs"][0];
    Some((key["create_revision"].as_i64()?, key["lease"].as_i64()?))
}

/// The same server, the same term, the same session, and no row lost.
#[track_caller]
fn goes_on(lose: impl Fn(&Cluster)) {
    let cluster = three().on(Store::Etcd).start();
    let primary = cluster.primary();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (server, term) = (primary.postmaster_pid(), cluster.status().term);
    let errors = client.journal().errors.len();
    let lost_at = std::time::Instant::now();
    // More than once: what the first left behind must not help the second to a wrong end.
    for _ in 0..3 {
        let before = key(&cluster).expect("a leader").0;
        lose(&cluster);
        cluster.wait_for("the key is taken again", TAKEOVER_WITHIN, || {
            key(&cluster).filter(|(since, _)| *since > before)
        });
        cluster.wait_whole();
        client.wait_for_rows(100, ROWS_WITHIN);
    }
    // Longer than a lease: the deadline goes on being moved.
    let same = wait::stays(Duration::from_secs(8), || primary.postmaster_pid() == server);
    assert!(same, "the server goes on\n{}", cluster.seen());
    assert_eq!(cluster.status().term, term, "no failover\n{}", cluster.seen());
    assert!(primary.log_text().contains("rule=114"), "{}", primary.log_tail(40));
    let journal = client.stop_and_check();
    assert_eq!(journal.errors.len(), errors, "no session was cut: {:?}", journal.errors);
    let gap = journal.longest_gap(lost_at).expect("rows").length;
    assert!(gap < GAP_MAX, "no row for {gap:?}");
}
