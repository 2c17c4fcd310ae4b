//! Two standbys' Patroni processes are stopped, then the operator thinks again.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::rig::{PASSWORD, Rig, WITHIN, said};

#[test]
fn what_is_aborted_half_way_is_patronis_as_before_and_no_client_notices() {
    let rig = Rig::start();
    let (leader, standbys) = (rig.leader(), rig.standbys());
    let config = rig.config();
    let before: Vec<_> = rig.nodes.iter().map(|node| process(&rig, &node.name)).collect();
    let started = rig.sql(&leader, "SELECT pg_postmaster_start_time()::text");
    let writer = rig.writer();
    writer.wait_for_rows(100, WITHIN);
    let bench = pgbench(&rig);

    for name in &standbys {
        let output = rig.adopt(name, &["--yes", "--wait", "1"]);
        assert_eq!(output.status.code(), Some(75), "{}", said(&output));
        assert!(rig.daemon(name).is_none());
        assert_eq!(rig.sql(name, "SELECT pg_is_in_recovery()"), ["t"], "PostgreSQL runs on");
    }
    assert_eq!(rig.config()["pause"], Value::Bool(true));
    assert_eq!(rig.streaming(&leader), 2, "the standbys follow as before");

    for name in &standbys {
        rig.adopt_ok(name, &["--abort"]);
    }
    rig.wait_whole();
    assert_eq!(rig.leader(), leader);
    assert_eq!(rig.config(), config, "the pause is over, and nothing is left");
    let after: Vec<_> = rig.nodes.iter().map(|node| process(&rig, &node.name)).collect();
    assert_eq!(after, before, "its processes run as they did");
    assert_eq!(rig.sql(&leader, "SELECT pg_postmaster_start_time()::text"), started);
    assert_eq!(rig.sql(&leader, "SELECT timeline_id FROM pg_control_checkpoint()"), ["1"]);
    assert_eq!(rig.keys("/howdah/"), [""; 0]);

    writer.wait_for_rows(100, WITHIN);
    let journal = writer.stop_and_check();
    assert!(journal.errors.is_empty() && journal.unclear.is_empty(), "{}", journal.last_errors());
    let output = bench.wait_with_output().expect("pgbench ends");
    let text = said(&output);
    assert!(output.status.success() && text.contains("failed transactions: 0 "), "{text}");
}

/// Command line, environment, directory and user of a node's Patroni.
fn process(rig: &Rig, node: &str) -> (Vec<String>, Vec<u8>, std::path::PathBuf, String) {
    let process = rig.daemon(node).expect("it runs");
    let read = |file: &str| std::fs::read(format!("/proc/{}/{file}", process.pid)).expect("read");
    let status = String::from_utf8(read("status")).expect("text");
    let ids = |line: &&str| {
        line.starts_with("Uid") || line.starts_with("Gid") || line.starts_with("Groups")
    };
    let ids: Vec<&str> = status.lines().filter(ids).collect();
    (process.arguments, sorted(&read("environ")), process.cwd, ids.join("\n"))
}

fn sorted(environment: &[u8]) -> Vec<u8> {
    let mut words: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
    words.sort_unstable();
    words.concat()
}

/// Two clients for a while, straight at HAProxy.
fn pgbench(rig: &Rig) -> std::process::Child {
    let plan = rig.plan();
    let port = plan.hosts[0].get_ports()[0].to_string();
    let run = |words: &[&str]| {
        let mut command = Command::new("/usr/bin/pgbench");
        command.args(["-h", "127.0.0.1", "-p", &port, "-U", "app"]).args(words).arg("app");
        command.env("PGPASSWORD", PASSWORD).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("run pgbench")
    };
    let made = run(&["-i", "-q"]).wait_with_output().expect("pgbench -i ends");
    assert!(made.status.success(), "{}", said(&made));
    run(&["-c", "2", "-T", "25"])
}
