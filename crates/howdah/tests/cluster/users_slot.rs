//! A user's own physical replication slot (for a backup tool, say) is still there after a
//! failover.

use crate::{TAKEOVER_WITHIN, three};
use std::time::Duration;

const FIND: &str = "SELECT slot_type FROM pg_replication_slots WHERE slot_name = 'backup_tool'";

#[test]
fn users_physical_slot_survives_a_failover() {
    let cluster = three().start();
    let old = cluster.primary();
    old.sql("SELECT pg_create_physical_replication_slot('backup_tool', true)").expect("made");
    for standby in cluster.standbys() {
        cluster.wait_for("the slot is on every standby", Duration::from_secs(30), || {
            (standby.sql(FIND).ok()? == "physical").then_some(())
        });
    }
    old.kill9_everything();
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    assert_eq!(new.sql(FIND).expect("asked"), "physical");
}
