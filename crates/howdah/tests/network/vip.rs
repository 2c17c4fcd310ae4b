//! The virtual IP follows the primary: a client that knows this one address writes through a
//! switchover and through the loss of the primary's host.

use std::path::Path;
use std::time::{Duration, Instant};

use howdah_testkit::{Cluster, Node, Plan, Writer};
use tokio_postgres::Config;

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

const ADDRESS: &str = "10.77.0.100";
/// The same on every node, since a client of the virtual IP knows one port.
const RW_PORT: u16 = 6432;
const SOON: Duration = Duration::from_secs(30);
/// With a lease of six seconds, on a busy machine.
const GAP_MAX: Duration = Duration::from_secs(20);

/// What `ip` says of the address on a machine; empty when it is not there.
fn on_machine(node: &Node) -> String {
    let shown = node
        .command(Path::new("ip"))
        .args(["-o", "address", "show", "to", ADDRESS])
        .output()
        .expect("run `ip`");
    String::from_utf8_lossy(&shown.stdout).trim().to_owned()
}

fn holders(cluster: &Cluster) -> Vec<String> {
    let holds = |node: &&Node| !on_machine(node).is_empty();
    cluster.nodes().iter().filter(holds).map(|node| node.name.clone()).collect()
}

#[track_caller]
fn wait_held_by(cluster: &Cluster, node: &str) {
    cluster.wait_for(&format!("{node} alone holds the address"), SOON, || {
        (holders(cluster) == [node]).then_some(())
    });
}

fn start() -> Option<Cluster> {
    let mut setup = three()?
        .set("vip", "address", &format!("\"{ADDRESS}/24\""))
        .set("vip", "interface", "\"eth0\"")
        .set("hooks.look", "on", "[\"on_role_change\"]")
        .set("hooks.look", "command", &format!("[\"/bin/sh\", \"-c\", {LOOK:?}]"));
    for (name, own) in [("n1", 1), ("n2", 2), ("n3", 3)] {
        let listen = format!("[\"10.77.0.{own}\", \"{ADDRESS}\", \"127.0.0.1\"]");
        let section = format!("nodes.{name}");
        setup = setup.set(&section, "listen", &listen);
        setup = setup.set(&section, "rw_port", &RW_PORT.to_string());
    }
    let cluster = setup.prepare();
    cluster.start_all();
    cluster.wait_whole();
    Some(cluster)
}

/// What it prints goes into the node's log.
const LOOK: &str = "PATH=$PATH:/sbin:/usr/sbin; \
     echo \"as $HOWDAH_ROLE of $HOWDAH_TERM: $(ip -o address show to 10.77.0.100 | wc -l) held\"";

/// The address was there when hooks were told of the new primary, and gone when they were told of
/// the standby.
#[track_caller]
fn wait_told(cluster: &Cluster, node: &str, words: &str) {
    cluster.wait_for(&format!("{node} told its hook `{words}`"), SOON, || {
        cluster.node(node).log_text().contains(words).then_some(())
    });
}

#[test]
fn the_virtual_ip_follows_the_primary() {
    let Some(cluster) = start() else { return };
    let old = cluster.primary().name.clone();
    wait_held_by(&cluster, &old);
    let mut config = Config::new();
    config.host(ADDRESS).port(RW_PORT).user("app").dbname("app");
    config.password(cluster.password("app"));
    let plan = Plan::to(vec![config]);
    cluster.wait_for("the role `app` is let in", SOON, || {
        howdah_testkit::writer::query(&plan, "SELECT 1").ok()
    });
    let client = Writer::start(plan);
    client.wait_for_rows(100, ROWS_WITHIN);

    let asked = Instant::now();
    cluster.howdah_ok(&["switchover"]);
    let new = cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN).name.clone();
    wait_held_by(&cluster, &new);
    client.wait_for_rows(100, ROWS_WITHIN);
    cluster.wait_whole();
    let term = cluster.status().term;
    wait_told(&cluster, &new, &format!("as primary of {term}: 1 held"));
    wait_told(&cluster, &old, &format!("as standby of {term}: 0 held"));

    let lost = cluster.node(&new);
    cluster.lose_host(lost);
    let third = cluster.wait_for_other_primary(&new, TAKEOVER_WITHIN).name.clone();
    client.wait_for_rows(100, ROWS_WITHIN);
    // Nothing runs there any more: the kernel itself has let go of it.
    wait_held_by(&cluster, &third);
    cluster.return_host(lost);
    cluster.wait_whole();
    wait_held_by(&cluster, &third);
    client.wait_for_rows(100, ROWS_WITHIN);
    let gap = client.stop_and_check().longest_gap(asked).expect("rows").length;
    assert!(gap < GAP_MAX, "no row for {gap:?}\n{}", cluster.seen());

    let helpers = |node: &Node| {
        let of_helper = |words: &[String]| words.get(1).is_some_and(|word| word == "vip-helper");
        node.processes().iter().filter(|p| of_helper(&p.arguments)).count()
    };
    for node in cluster.nodes() {
        assert_eq!(helpers(node), 1, "{:#?}", node.processes());
        let problems = node.own_status().expect("a status").problems;
        assert!(problems.is_empty(), "{problems:?}");
    }
    let last = cluster.node(&third);
    last.stop();
    assert_eq!(on_machine(last), "", "who stops leaves the address behind");
    assert_eq!(helpers(last), 0, "and its helper ends");
}
