//! A node finds a data directory that is not its cluster's: it says so, ends with an error and
//! does not touch the directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use howdah_testkit::{Cluster, Node};

use crate::three;

const REFUSED_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn directory_of_another_cluster_is_refused() {
    let cluster = three().start();
    // The other cluster's only node is called n1 too: by the name alone nothing is wrong.
    if cluster.primary().name == "n1" {
        cluster.howdah_ok(&["switchover", "--to", "n2"]);
        cluster.wait_whole();
    }
    let node = cluster.node("n1");
    node.kill9_everything();
    let other = Cluster::of(1, env!("CARGO_BIN_EXE_howdah")).start();
    let theirs = &other.nodes()[0];
    theirs.stop();
    // Away with ours, and in with theirs, owner and rights as they are.
    fs::remove_dir_all(&node.data_dir).expect("removed");
    let copied = Command::new("cp").arg("-a").arg(&theirs.data_dir).arg(&node.data_dir).status();
    assert!(copied.expect("cp runs").success());
    refuses(&cluster, node, "system identifier");
}

#[test]
fn directory_of_another_major_version_is_refused() {
    let cluster = three().start();
    let node = cluster.standbys()[0];
    node.kill9_everything();
    fs::write(node.data_dir.join("PG_VERSION"), "12\n").expect("written");
    refuses(&cluster, node, "12");
}

fn refuses(cluster: &Cluster, node: &Node, word: &str) {
    let before = fingerprint(&node.data_dir);
    let output = node.start_refused(REFUSED_WITHIN);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{words}");
    assert!(words.contains(word), "`{word}` is not said\n{words}");
    assert_eq!(fingerprint(&node.data_dir), before, "the directory was touched\n{words}");
    let primary = cluster.primary();
    primary.sql("CREATE TABLE still_here AS SELECT 1").expect("the others go on");
}

/// Every file with its size and time of change, and the control file itself.
fn fingerprint(dir: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).expect("read").flatten() {
            let facts = entry.metadata().expect("facts");
            if facts.is_dir() {
                open.push(entry.path());
            } else {
                found.push((entry.path(), facts.len(), facts.modified().expect("a time")));
            }
        }
    }
    found.sort();
    found
}
