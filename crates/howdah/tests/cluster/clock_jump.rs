//! The time of day of single machines is set forward and back, by hours: nobody's right to write
//! ends before its time or lasts beyond it, and a failover goes on among nodes that do not agree
//! on the date.

use std::time::Duration;

use howdah_testkit::{Node, Writer, wait};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

/// Seconds that a clock is set by: more than any lease, and more than a time zone's hour.
const FAR: i64 = 5 * 3600;
/// More than two leases of these clusters.
const CALM: Duration = Duration::from_secs(9);

#[test]
pub fn clocks_that_are_set_take_nobodys_right_and_prolong_none() {
    let cluster = three().times_of_day().lease("4s").start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (old, term) = (cluster.primary(), cluster.status().term);

    for seconds in [FAR, -FAR] {
        old.set_time_of_day(seconds);
        assert_eq!(hours_ahead(old), seconds / 3600, "the server tells the time that was set");
        let calm = wait::stays(CALM, || {
            cluster.find_primary().is_none_or(|primary| primary.name == old.name)
        });
        assert!(calm && cluster.status().term == term, "{}", cluster.seen());
        client.wait_for_rows(100, ROWS_WITHIN);
    }

    for (standby, seconds) in cluster.standbys().into_iter().zip([FAR, -2 * FAR]) {
        standby.set_time_of_day(seconds);
    }
    old.kill9_everything();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    client.wait_for_rows(100, ROWS_WITHIN);
    old.start();
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, new.name, "{}", cluster.seen());
    client.stop_and_check();
}

/// By how many hours the server's clock is ahead of this program's.
#[track_caller]
fn hours_ahead(node: &Node) -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.expect("a time after 1970").as_secs_f64();
    let sql = format!("SELECT round((extract(epoch FROM clock_timestamp()) - {now}) / 3600)");
    node.sql(&sql).expect("ask the server").trim().parse().expect("a number")
}
