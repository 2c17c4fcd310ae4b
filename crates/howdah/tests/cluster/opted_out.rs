//! Roles, databases and sessions whose commits wait for no voter, and what the loss of the leader
//! would cost: the status and the metrics of every node say so.

use std::time::Duration;

use howdah_base::commits::Rpo;
use howdah_testkit::{Cluster, Store};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls};

use crate::{TAKEOVER_WITHIN, three};

/// The primary looks for such settings every 30 s.
const SEEN_WITHIN: Duration = Duration::from_secs(75);

#[test]
pub fn who_does_not_wait_for_voters_is_said_and_how_to_undo_it() {
    let cluster = three().start();
    let primary = cluster.primary();
    assert_eq!(cluster.status().rpo, Some(Rpo::NOTHING), "{}", cluster.seen());
    primary.sql("alter role app set synchronous_commit = 'off'").expect("a role's setting");
    primary.sql("alter database app set synchronous_commit = 'remote_apply'").expect("a stronger");
    let session = held_session(&cluster);

    let standby = cluster.standbys()[0];
    cluster.wait_for(
        "a standby's status tells of the role and of the session",
        SEEN_WITHIN,
        || {
            let status = standby.status().ok()?;
            let told: Vec<String> = status.opted_out.iter().map(ToString::to_string).collect();
            (told == ["role app: synchronous_commit = off"] && status.opted_out_sessions == 1)
                .then_some(())
        },
    );
    let screen = cluster.howdah_ok(&["status"]);
    assert!(screen.contains("ALTER ROLE app RESET synchronous_commit"), "{screen}");
    assert!(screen.contains("1 session that asked for it"), "{screen}");

    drop(session);
    primary.sql(&cluster.status().opted_out[0].undo()).expect("what the hint says");
    cluster.wait_for("nobody is left", SEEN_WITHIN, || {
        let status = standby.status().ok()?;
        (status.opted_out.is_empty() && status.opted_out_sessions == 0).then_some(())
    });
}

#[test]
pub fn in_async_the_wal_that_no_standby_has_is_counted() {
    if Store::usual() == Store::Etcd {
        // Two of three members of the store are lost with the standbys.
        return;
    }
    let cluster = three().asynchronous().start();
    let primary = cluster.primary();
    cluster.wait_for("a standby has everything", TAKEOVER_WITHIN, || {
        (primary.status().ok()?.rpo?.bytes == Some(0)).then_some(())
    });
    for standby in cluster.standbys() {
        standby.kill9_everything();
    }
    primary.sql("create table t as select generate_series(1, 50000)").expect("WAL for nobody");
    cluster.wait_for("the status counts it", TAKEOVER_WITHIN, || {
        let rpo = primary.status().ok()?.rpo?;
        (rpo.bytes > Some(1 << 20) && rpo.since_unix_ms.is_some()).then_some(())
    });
    for standby in cluster.nodes().iter().filter(|node| node.name != primary.name) {
        standby.start();
    }
    cluster.wait_whole();
    cluster.wait_for("a standby has everything again", TAKEOVER_WITHIN, || {
        (primary.status().ok()?.rpo == Some(Rpo::NOTHING)).then_some(())
    });
}

/// A client that asks for it in its first packet, and stays.
fn held_session(cluster: &Cluster) -> (Client, Runtime) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut config = cluster.hosts(|ports| ports.rw).remove(0);
    config.options("-c synchronous_commit=local");
    let (client, connection) = runtime.block_on(config.connect(NoTls)).expect("let in");
    runtime.spawn(connection);
    (client, runtime)
}
