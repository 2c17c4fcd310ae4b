//! A node that cannot start where it is: a port is taken, it runs already, the disk is full.
//! It says which, ends with an error, and the others do not notice.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;
use std::time::Duration;

use howdah_testkit::{Store, Writer};

use crate::{ROWS_WITHIN, three};

const REFUSED_WITHIN: Duration = Duration::from_secs(30);

#[test]
fn port_in_use_is_named() {
    let cluster = three().prepare();
    let node = cluster.node("n1");
    let taken = TcpListener::bind(("127.0.0.1", node.ports.rw)).expect("a leased port is free");
    let output = node.start_refused(REFUSED_WITHIN);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{words}");
    assert!(words.contains(&node.ports.rw.to_string()), "the port is not named\n{words}");
    assert!(!node.data_dir.join("PG_VERSION").exists(), "nothing was made");
    drop(taken);
}

#[test]
fn second_process_for_the_same_node_is_refused() {
    let cluster = three().start();
    let primary = cluster.primary();
    let server = primary.postmaster_pid();
    let output = primary.start_refused(REFUSED_WITHIN);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{words}");
    assert!(words.contains("already"), "{words}");
    assert_eq!(primary.postmaster_pid(), server, "the first one goes on");
    cluster.wait_whole();
}

#[test]
fn full_disk_of_a_new_node_is_named_and_the_others_go_on() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let node = cluster.standbys()[0];
    node.kill9_everything();
    let home = node.data_dir.parent().expect("a parent");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=16m,mode=0755", "tmpfs"])
        .arg(home)
        .status();
    assert!(mounted.expect("mount runs").success(), "root may mount");
    let owner = Command::new("chown").arg("postgres:").arg(home).status();
    assert!(owner.expect("chown runs").success());
    cluster.howdah_ok(&["prepare"]);

    cluster.expect_error("No space left");
    cluster.expect_error("disk");
    node.start();
    cluster.wait_for("the full disk is named", Duration::from_secs(60), || {
        let log = node.log_text();
        (log.contains("No space left") || log.contains("disk is full")).then_some(())
    });
    client.wait_for_rows(50, ROWS_WITHIN);
    client.stop_and_check();
    node.kill9_everything();
}

#[test]
fn a_port_that_the_file_names_is_not_moved_by_up() {
    let cluster = three().prepare();
    let node = cluster.node("n2");
    let taken = TcpListener::bind(("127.0.0.1", node.ports.rw)).expect("a leased port is free");
    let output = cluster.howdah(&["up", "--detach"]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{words}");
    let who = format!("nodes.n2.rw_port = {} is in use by ", node.ports.rw);
    let process = format!("(process {})", std::process::id());
    assert!(words.contains(&who) && words.contains(&process), "{words}");
    assert!(!node.data_dir.join("PG_VERSION").exists(), "nothing was made");
    drop(taken);
}

/// The log's folder is the servers' user's, and `howdah logs` is often typed by root.
#[test]
fn logs_follows_no_link_out_of_the_log_folder() {
    let cluster = three().prepare();
    let node = cluster.node("n1");
    let folder = cluster.base_dir().join("nodes/n1/state/log");
    let secret = cluster.scratch().join("secret");
    fs::write(&secret, "for root alone\n").expect("written");
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("set");
    symlink(&secret, folder.join("howdah.log")).expect("linked");
    symlink(cluster.scratch(), node.data_dir.join("log")).expect("linked");
    symlink(&secret, cluster.scratch().join("postgresql-1.log")).expect("linked");
    for words in [&["logs", "n1"][..], &["logs", "n1", "--postgresql"]] {
        let output = cluster.howdah(words);
        let said = [output.stdout.clone(), output.stderr.clone()].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!output.status.success() && said.contains("a symbolic link"), "{said}");
        assert!(!said.contains("for root alone"), "{said}");
    }
    if Store::usual() == Store::Etcd {
        return;
    }
    let output = cluster.howdah(&["logs", "--store"]);
    assert_eq!(output.status.code(), Some(64), "this store has no log");
}
