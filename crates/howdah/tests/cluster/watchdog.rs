//! A watchdog that does not work: where it is wished for, the cluster says so and goes without;
//! where it is required, nobody leads. One that works is told of in the guard's own tests: a real
//! one would reset the machine.

use std::time::Duration;

use howdah_testkit::wait;

use crate::{TAKEOVER_WITHIN, three};

/// Long enough for a first primary on a busy machine, several times.
const NOBODY_FOR: Duration = Duration::from_secs(10);

#[test]
fn without_its_device_a_cluster_says_so_and_goes_on() {
    let cluster = three().set("ha", "watchdog", "\"automatic\"");
    let cluster = cluster.set("ha", "watchdog_device", "\"/nonexistent/watchdog\"").start();
    cluster.wait_for("every node tells of it", TAKEOVER_WITHIN, || {
        let status = cluster.primary().status().ok()?;
        let told =
            |problems: &[String]| problems.iter().any(|p| p.contains("/nonexistent/watchdog"));
        status.nodes.iter().all(|node| told(&node.problems)).then_some(())
    });
    cluster.howdah_ok(&["switchover"]);
}

#[test]
fn where_it_is_required_nobody_leads_without() {
    let cluster = three().set("ha", "watchdog", "\"required\"");
    let cluster = cluster.set("ha", "watchdog_device", "\"/nonexistent/watchdog\"").prepare();
    cluster.start_all();
    cluster.wait_for("the nodes say why", TAKEOVER_WITHIN, || {
        let said = |log: String| log.contains("no server may write here without");
        cluster.nodes().iter().any(|node| said(node.log_text())).then_some(())
    });
    let nobody = wait::stays(NOBODY_FOR, || cluster.find_primary().is_none());
    assert!(nobody, "{}", cluster.seen());
}
