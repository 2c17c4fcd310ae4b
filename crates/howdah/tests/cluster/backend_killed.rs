//! kill -9 of one backend while its commit waits for a standby. PostgreSQL then ends all its
//! processes; the row may or may not be there, every acknowledged one must be.

use std::time::Duration;

use howdah_testkit::{Writer, process};
use nix::sys::signal::Signal;

use crate::{ROWS_WITHIN, three};

const WAITING: &str = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' \
                       AND backend_type = 'client backend' LIMIT 1";

#[test]
fn backend_killed_while_its_commit_waits_for_a_standby() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);

    let primary = cluster.primary();
    let receivers: Vec<i32> =
        cluster.standbys().iter().filter_map(|node| node.wal_receiver_pid()).collect();
    assert_eq!(receivers.len(), 2, "{}", cluster.seen());
    for receiver in &receivers {
        process::signal(*receiver, Signal::SIGSTOP);
    }
    let backend = cluster.wait_for("a commit waits", Duration::from_secs(10), || {
        primary.sql(WAITING).ok()?.parse().ok()
    });
    primary.kill9_backend(backend);
    for receiver in &receivers {
        process::signal(*receiver, Signal::SIGCONT);
    }

    client.wait_for_rows(100, Duration::from_secs(60));
    cluster.wait_whole();
    client.stop_and_check();
}
