//! The primary's agent is frozen for less than its lease: a voter promises to take nothing more
//! from the term, but too few to end it. The agent goes on, shows that it lives, and keeps the term.

use howdah_base::NodeName;
use howdah_testkit::{Node, Writer};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

#[test]
pub fn false_alarm_a_voter_promises_and_the_primary_that_lives_keeps_its_term() {
    let cluster = three().lease("20s").start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(100, ROWS_WITHIN);
    let (primary, term) = (cluster.primary(), cluster.status().term);
    let standbys = cluster.standbys();
    let [alarmed, absent] = standbys[..] else { panic!("two standbys: {}", cluster.seen()) };

    // One promise of two is no majority: nobody can take over while this one is absent.
    absent.freeze_agent();
    primary.freeze_agent();
    cluster.wait_for("a voter promises", TAKEOVER_WITHIN, || {
        alarmed.log_text().contains("rule=412").then_some(())
    });
    primary.thaw_agent();
    cluster.wait_for("the alarmed voter streams again", TAKEOVER_WITHIN, || {
        let log = alarmed.log_text();
        let streams = log.rfind("rule=509") > log.rfind("rule=412");
        streams.then_some(())
    });
    absent.thaw_agent();
    cluster.wait_whole();
    client.wait_for_rows(100, ROWS_WITHIN);

    let status = cluster.status();
    assert_eq!((status.term, status.leader.as_ref()), (term, Some(&name(primary))));
    assert!(primary.log_text().contains("rule=328"), "it said that it lives");
    client.stop_and_check();
}

fn name(node: &Node) -> NodeName {
    node.name.parse().expect("a node's name")
}
