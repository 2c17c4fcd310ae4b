//! The primary is cut off for less than its lease: a voter promises to take nothing more from the
//! term, but too few to end it. The primary comes back, shows that it lives, and keeps the term.

use howdah_testkit::Writer;

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

#[test]
fn a_voter_promises_and_the_primary_that_lives_keeps_its_term() {
    let Some(setup) = three() else { return };
    let cluster = setup.lease("20s").start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (primary, term) = (cluster.primary(), cluster.status().term);
    let standbys = cluster.standbys();
    let [alarmed, absent] = standbys[..] else { panic!("two standbys: {}", cluster.seen()) };

    // One promise of two is no majority: nobody can take over while this one is absent.
    absent.freeze_agent();
    cluster.cables().isolate(&primary.name);
    cluster.wait_for("a voter promises", TAKEOVER_WITHIN, || {
        alarmed.log_text().contains("rule=412").then_some(())
    });
    cluster.cables().rejoin(&primary.name);
    cluster.wait_for("the alarmed voter streams again", TAKEOVER_WITHIN, || {
        let log = alarmed.log_text();
        (log.rfind("rule=509") > log.rfind("rule=412")).then_some(())
    });
    absent.thaw_agent();
    cluster.wait_whole();
    client.wait_for_rows(100, ROWS_WITHIN);

    assert_eq!((&cluster.primary().name, cluster.status().term), (&primary.name, term));
    assert!(primary.log_text().contains("rule=328"), "it said that it lives");
    client.stop_and_check();
}
