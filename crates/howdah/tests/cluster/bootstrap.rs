//! Three nodes started at once on empty directories become one cluster: exactly one of them
//! makes the database, the others copy it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use howdah_base::record::ChangeKind;
use howdah_testkit::process::Process;
use howdah_testkit::{Cluster, Writer, writer};

use crate::{ROWS_WITHIN, three};

#[test]
pub fn three_started_at_once_make_one_database() {
    let cluster = three().start();
    let identify = "SELECT system_identifier FROM pg_control_system()";
    let made: BTreeSet<String> =
        cluster.nodes().iter().map(|node| node.sql(identify).expect("asked")).collect();
    assert_eq!(made.len(), 1, "one database, not several: {made:?}");

    let status = cluster.status();
    assert_eq!(status.term.0, 1, "{}", cluster.seen());
    let bootstraps = status.history.iter().filter(|change| change.kind == ChangeKind::Bootstrap);
    assert_eq!(bootstraps.count(), 1, "{:?}", status.history);
    assert_eq!(status.nodes_spare, Some(1), "{}", cluster.seen());
    assert!(status.problems.is_empty(), "{:?}", status.problems);

    let directories: BTreeSet<_> =
        status.nodes.iter().filter_map(|node| node.member.as_ref()?.directory.clone()).collect();
    assert_eq!(directories.len(), 3, "each copy is a directory of its own");
}

#[test]
pub fn the_role_and_database_of_the_file_are_there_and_writable_through_every_node() {
    let cluster = three().start();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    client.stop_and_check();
    for host in cluster.hosts(|ports| ports.rw) {
        let plan = howdah_testkit::Plan::to(vec![host]);
        let answer = writer::query(&plan, "SHOW transaction_read_only").expect("let in");
        assert_eq!(answer, ["off"]);
    }
    for host in cluster.hosts(|ports| ports.ro) {
        let plan = howdah_testkit::Plan::to(vec![host]);
        let answer = writer::query(&plan, "SHOW transaction_read_only").expect("let in");
        assert_eq!(answer, ["on"]);
    }
}

#[test]
pub fn health_checks_tell_the_primary_from_the_standbys_as_patronis_do() {
    let cluster = three().start();
    let primary = cluster.primary();
    for node in cluster.nodes() {
        let is_primary = node.name == primary.name;
        let (leads, follows) = if is_primary { (200, 503) } else { (503, 200) };
        assert_eq!(node.health("/primary"), Some(leads), "{}", cluster.seen());
        assert_eq!(node.health("/replica"), Some(follows), "{}", cluster.seen());
        assert_eq!(node.health("/health"), Some(200), "{}", cluster.seen());
    }
}

#[test]
fn who_looks_for_howdah_among_the_processes_finds_it() {
    let cluster = Cluster::of(1, env!("CARGO_BIN_EXE_howdah")).start();
    let node = cluster.primary();
    let guard = Process::read(node.guard_pid().expect("a guard")).expect("it runs");
    assert_eq!(guard.arguments[..2], ["howdah", "guard"], "{guard:?}");
    for pid in [guard.pid, node.agent_pid().expect("an agent")] {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).expect("a name");
        assert_eq!(name, "howdah\n");
    }
}

/// The printed URL as an application takes it that runs as a user of its own.
#[test]
fn an_ordinary_user_connects_by_the_printed_url() {
    if !nix::unistd::Uid::effective().is_root() {
        return;
    }
    let cluster = Cluster::of(1, env!("CARGO_BIN_EXE_howdah")).start();
    cluster.wait_whole();
    let url = cluster.howdah_ok(&["dsn"]);
    let output = Command::new("setpriv")
        .args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "psql", "-XAtqw", "-d"])
        .arg(url.trim())
        .args([
            "-c",
            "SELECT current_user || ' ' || ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
        ])
        .env("PGPASSWORD", cluster.password("app"))
        .env("HOME", "/nonexistent")
        .current_dir("/")
        .output()
        .expect("run psql");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{url}{said}");
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(answer.starts_with("app "), "{answer}");
}
