//! One file, `prepare` on the first machine, `join` on the others, `run --node NAME` on each.

use std::collections::BTreeSet;

use howdah_testkit::{Plan, Writer, writer};

use crate::{ROWS_WITHIN, three};

#[test]
fn three_machines_make_one_database_and_each_leads_clients_to_the_primary() {
    let Some(setup) = three() else { return };
    let cluster = setup.start();
    let identify = "SELECT system_identifier FROM pg_control_system()";
    let made: BTreeSet<String> =
        cluster.nodes().iter().map(|node| node.sql(identify).expect("asked")).collect();
    assert_eq!(made.len(), 1, "one database, not several: {made:?}");
    let status = cluster.status();
    assert_eq!((status.term.0, status.nodes_spare), (1, Some(1)), "{}", cluster.seen());
    assert_eq!(status.store.kind, "etcd");
    assert!(status.problems.is_empty(), "{:?}", status.problems);

    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    client.stop_and_check();
    for (port, wanted) in [(0, "off"), (1, "on")] {
        for host in cluster.hosts(|ports| [ports.rw, ports.ro][port]) {
            let plan = Plan::to(vec![host]);
            let answer = cluster.wait_for("an endpoint lets a client in", ROWS_WITHIN, || {
                writer::query(&plan, "SHOW transaction_read_only").ok()
            });
            assert_eq!(answer, [wanted]);
        }
    }
    let primary = cluster.primary().name.clone();
    for node in cluster.nodes() {
        let (leads, follows) = if node.name == primary { (200, 503) } else { (503, 200) };
        assert_eq!(node.health("/primary"), Some(leads), "{}", cluster.seen());
        assert_eq!(node.health("/replica"), Some(follows), "{}", cluster.seen());
    }
}
