//! A node of `howdah up` that another start does not mend: it is said at once, the node is not
//! started again and again, and the next `up` tries it once more.

use std::fs;
use std::process::Output;
use std::time::Duration;

use howdah_testkit::{Cluster, process};

use crate::three;

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_refusal_is_said_at_once_and_the_mended_node_comes_back() {
    let cluster = three().prepare();
    cluster.howdah_ok(&["up", "--detach"]);
    cluster.wait_whole();
    let node = cluster.standbys()[0];
    down(&cluster);
    // What a directory says of itself: this one is of another node.
    let label = node.data_dir.join("howdah.json");
    let own = fs::read_to_string(&label).expect("read");
    let other = cluster.nodes().iter().find(|other| other.name != node.name).expect("another");
    fs::write(&label, own.replace(&node.name, &other.name)).expect("written");

    let said = refused(&cluster.howdah(&["up", "--detach"]));
    let once = format!("{}: is not tried again", node.name);
    assert!(
        said.contains("data directory must not be used") && said.contains("another node"),
        "{said}"
    );
    assert!(said.contains("hint: name another data_dir"), "{said}");
    assert!(said.contains(&once), "{said}");
    assert!(said.contains("run in the background"), "{said}");
    cluster.primary().sql("CREATE TABLE still_here AS SELECT 1").expect("the others go on");
    let log = node.log_text();
    assert_eq!(log.matches("howdah: the data directory").count(), 1, "{log}");

    fs::write(&label, own).expect("written");
    cluster.howdah_ok(&["up", "--detach"]);
    cluster.wait_whole();
    down(&cluster);
}

#[test]
fn up_ends_when_every_node_is_refused() {
    let cluster = three().prepare();
    cluster.howdah_ok(&["up", "--detach"]);
    cluster.wait_whole();
    down(&cluster);
    for node in cluster.nodes() {
        fs::write(node.data_dir.join("PG_VERSION"), "12\n").expect("written");
    }
    for words in [&["up", "--detach"][..], &["up"]] {
        let said = refused(&cluster.howdah(words));
        assert!(said.contains("no node of cluster") && said.contains("12"), "{said}");
        assert_eq!(process::working_on(&cluster.base_dir()).len(), 0, "{said}");
    }
}

fn down(cluster: &Cluster) {
    cluster.howdah_ok(&["down"]);
    cluster.wait_for("no process of the cluster is left", MINUTE, || {
        process::working_on(&cluster.base_dir()).is_empty().then_some(())
    });
}

fn refused(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    said
}
