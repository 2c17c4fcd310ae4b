//! Three nodes become Howdah's while a client writes through HAProxy: one short interruption, no
//! row lost, nothing copied.

use std::time::{Duration, Instant};

use howdah_base::record::ServerState;

use crate::rig::{Rig, WITHIN, said};

/// The restart of the primary, until the client is in again through HAProxy.
const INTERRUPTION_MAX: Duration = Duration::from_secs(10);
/// Longer without a row than a slow disk explains.
const GAP: Duration = Duration::from_secs(1);

#[test]
fn a_patroni_cluster_is_taken_over_under_load_and_nothing_is_copied() {
    let rig = Rig::start();
    let (leader, standbys) = (rig.leader(), rig.standbys());
    let inodes: Vec<_> = rig.nodes.iter().map(|node| rig.inodes(&node.name)).collect();
    let identifier = "SELECT system_identifier::text FROM pg_control_system()";
    let identity = rig.sql(&leader, identifier);
    let writer = rig.writer();
    writer.wait_for_rows(100, WITHIN);
    let begun = Instant::now();

    let plan = rig.adopt_ok(&standbys[0], &[]);
    assert!(plan.contains("nothing was changed"), "{plan}");
    let refused = rig.adopt(&leader, &["--yes"]);
    assert!(!refused.status.success(), "the leader comes last");
    assert_eq!(rig.config()["pause"], serde_json::Value::Null, "nothing was changed");

    let mut waiting: Vec<_> =
        standbys.iter().map(|name| rig.adopt_meanwhile(name, &["--yes"])).collect();
    for name in &standbys {
        rig.wait_for("Patroni is stopped on a standby", WITHIN, || {
            rig.daemon(name).is_none().then_some(())
        });
    }
    let leaders = || rig.adopt(&leader, &["--yes"]);
    rig.wait_for("the leader is taken over", WITHIN, || leaders().status.success().then_some(()));
    for child in &mut waiting {
        let ended = rig.wait_for("a standby is taken over", WITHIN, || child.try_wait().ok()?);
        assert!(ended.success(), "{}", rig.logs());
    }
    writer.wait_for_rows(100, WITHIN);

    let journal = writer.stop_and_check();
    let gaps = journal.acknowledged.windows(2).filter(|pair| pair[1].at - pair[0].at > GAP).count();
    let longest = journal.longest_gap(begun).expect("rows").length;
    assert!(gaps <= 1, "{gaps} interruptions\n{}", journal.last_errors());
    assert!(longest < INTERRUPTION_MAX, "{longest:?}\n{}", journal.last_errors());
    println!("{} rows, the longest gap was {longest:?}", journal.acknowledged.len());

    let status = rig.status().expect("a node answers");
    assert_eq!(status.leader.as_ref().map(|node| node.as_str()), Some(leader.as_str()));
    let states: Vec<ServerState> = status.nodes.iter().map(|node| node.state).collect();
    let count = |state| states.iter().filter(|found| **found == state).count();
    assert_eq!((count(ServerState::Primary), count(ServerState::Streaming)), (1, 2), "{states:?}");
    assert_eq!(rig.sql(&leader, identifier), identity);
    assert_eq!(rig.sql(&leader, "SELECT timeline_id FROM pg_control_checkpoint()"), ["1"]);
    let after: Vec<_> = rig.nodes.iter().map(|node| rig.inodes(&node.name)).collect();
    assert_eq!(after, inodes, "no directory was copied");
    assert!(rig.adopt_ok(&leader, &["--yes"]).contains("already"), "asked again, all is done");

    for name in standbys.iter().chain([&leader]) {
        rig.adopt_ok(name, &["--finish"]);
    }
    assert_eq!(rig.keys("/service/shop/"), [""; 0]);
    let slots = "SELECT slot_name FROM pg_replication_slots WHERE slot_name !~ '^howdah_'";
    assert_eq!(rig.sql(&leader, slots), [""; 0]);
    let late = rig.adopt(&leader, &["--abort"]);
    assert!(!late.status.success(), "there is no way back any more: {}", said(&late));
}
