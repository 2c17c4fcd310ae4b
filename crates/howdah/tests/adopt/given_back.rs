//! The leader and one standby are Howdah's already, the other standby's Patroni is stopped; then
//! all of it is given back.

use std::fs;

use crate::rig::{Rig, WITHIN, said};

#[test]
fn what_was_taken_over_is_given_back_with_all_that_was_written() {
    let rig = Rig::start();
    let (leader, standbys) = (rig.leader(), rig.standbys());
    let (taken, waiting) = (standbys[0].as_str(), standbys[1].as_str());
    let config = rig.config();
    let files: Vec<_> = rig.nodes.iter().map(|node| settings(&rig, &node.name)).collect();
    let writer = rig.writer();
    writer.wait_for_rows(100, WITHIN);

    for name in [taken, waiting] {
        assert_eq!(rig.adopt(name, &["--yes", "--wait", "1"]).status.code(), Some(75));
    }
    rig.adopt_ok(&leader, &["--yes"]);
    rig.adopt_ok(taken, &["--yes"]);
    writer.wait_for_rows(100, WITHIN);

    let refused = rig.adopt(&leader, &["--abort"]);
    assert!(said(&refused).contains("is still Howdah's"), "{}", said(&refused));
    for name in [taken, waiting, &leader] {
        rig.adopt_ok(name, &["--abort"]);
    }
    rig.wait_whole();
    writer.wait_for_rows(100, WITHIN);
    writer.stop_and_check();

    assert_eq!(rig.leader(), leader);
    assert_eq!(rig.config(), config, "the pause is over, and nothing is left");
    let after: Vec<_> = rig.nodes.iter().map(|node| settings(&rig, &node.name)).collect();
    assert_eq!(after, files);
    assert_eq!(rig.sql(&leader, "SELECT timeline_id FROM pg_control_checkpoint()"), ["1"]);
    let left = "SELECT slot_name::text FROM pg_replication_slots WHERE slot_name ~ '^howdah' \
                UNION ALL SELECT rolname FROM pg_roles WHERE rolname ~ '^howdah'";
    assert_eq!(rig.sql(&leader, left), [""; 0]);
    assert_eq!(rig.keys("/howdah/"), [""; 0]);

    // Another time, all the way.
    for name in [taken, waiting] {
        assert_eq!(rig.adopt(name, &["--yes", "--wait", "1"]).status.code(), Some(75));
    }
    for name in [&leader, taken, waiting] {
        rig.adopt_ok(name, &["--yes"]);
    }
    assert_eq!(rig.streaming(&leader), 2);
}

/// What Patroni had written for PostgreSQL; of the standby's, without whom it follows.
fn settings(rig: &Rig, node: &str) -> Vec<String> {
    let dir = &rig.node(node).data_dir;
    let read = |name: &str| fs::read_to_string(dir.join(name)).expect("read");
    ["postgresql.conf", "pg_hba.conf", "pg_ident.conf"].map(read).into()
}
