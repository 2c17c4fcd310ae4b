//! A PostgreSQL that was there before becomes node 1 in place, a standby follows it, and it can be
//! given back as it was, with what was written meanwhile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use howdah_testkit::{Cluster, majors};

use crate::three;

/// A server as people have it: a superuser of another name, wal_level minimal, a port of its own.
struct Old {
    bin: PathBuf,
    data_dir: PathBuf,
    port: u16,
}

impl Old {
    fn start(cluster: &Cluster) -> Old {
        let node = cluster.node("n1");
        let old = Old {
            bin: majors::chosen_bin_dir().unwrap_or_else(installed),
            data_dir: node.data_dir.clone(),
            port: node.ports.postgres,
        };
        let data = old.data_dir.display().to_string();
        old.run("initdb", &["-D", &data, "-U", "boss", "-A", "trust", "--no-sync"]);
        let settings = format!(
            "\nport = {}\nunix_socket_directories = '{}'\nwal_level = minimal\nmax_wal_senders = 0\n",
            old.port,
            old.sockets().display()
        );
        let path = old.data_dir.join("postgresql.conf");
        let text = fs::read_to_string(&path).expect("read") + &settings;
        fs::write(&path, text).expect("written");
        let log = old.sockets().join("old.log").display().to_string();
        old.run("pg_ctl", &["-D", &data, "-l", &log, "-w", "start"]);
        old
    }

    fn sockets(&self) -> &Path {
        self.data_dir.parent().expect("a folder")
    }

    /// As `postgres` when this is root.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let program = self.bin.join(program);
        let mut command = match nix::unistd::Uid::effective().is_root() {
            false => Command::new(program),
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]);
                command.arg(program);
                command
            }
        };
        // pg_ctl's server would hold a pipe open.
        let out = self.sockets().join("said");
        let said = fs::File::create(&out).expect("a file for what is said");
        let status = command.args(arguments).current_dir("/").stdout(said).status();
        assert!(status.expect("run").success(), "{arguments:?}");
        fs::read_to_string(&out).expect("read").trim().to_owned()
    }

    fn sql(&self, role: &str, sql: &str) -> String {
        let (sockets, port) = (self.sockets().display().to_string(), self.port.to_string());
        self.run(
            "psql",
            &["-XAtq", "-h", &sockets, "-p", &port, "-U", role, "-d", "postgres", "-c", sql],
        )
    }
}

/// The newest of Debian's.
fn installed() -> PathBuf {
    let found = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is installed");
    let mut found: Vec<PathBuf> = found.flatten().map(|e| e.path().join("bin")).collect();
    found.sort();
    found.pop().expect("a version")
}

#[test]
fn a_postgresql_that_was_there_becomes_a_node_and_is_given_back() {
    let cluster = three().set("", "first_node", "\"n1\"").prepare();
    let old = Old::start(&cluster);
    old.sql("boss", "CREATE TABLE t AS SELECT generate_series(1, 1000) i");
    let data = old.data_dir.display().to_string();

    let plan = cluster.howdah_ok(&["adopt", &data, "--superuser", "boss"]);
    for word in ["wal_level is minimal", "no superuser postgres", "stopped (fast) and started once"]
    {
        assert!(plan.contains(word), "`{word}`\n{plan}");
    }
    assert_eq!(old.sql("boss", "SELECT count(*) FROM t"), "1000", "the plan changes nothing");

    cluster.howdah_ok(&["adopt", &data, "--superuser", "boss", "--yes"]);
    cluster.wait_whole();
    let n1 = cluster.node("n1");
    assert_eq!(n1.sql("SELECT count(*) FROM t").expect("asked"), "1000");
    for standby in cluster.standbys() {
        cluster.wait_for("standbys have it too", crate::ROWS_WITHIN, || {
            (standby.sql("SELECT count(*) FROM t").ok()? == "1000").then_some(())
        });
    }
    assert_eq!(cluster.primary().name, "n1", "nobody created a cluster of its own");
    n1.sql("INSERT INTO t VALUES (1001)").expect("written");

    let early = cluster.howdah(&["adopt", "--give-back", &data, "--yes"]);
    let said = String::from_utf8_lossy(&early.stdout).into_owned();
    assert_eq!(early.status.code(), Some(1), "{said}");
    assert!(said.contains("STOP    node n1 runs: howdah down"), "{said}");
    cluster.howdah_ok(&["down"]);
    let plan = cluster.howdah_ok(&["adopt", "--give-back", &data]);
    for word in ["is given back by node n1", "postgresql.conf", "started as it ran, on port"] {
        assert!(plan.contains(word), "`{word}`\n{plan}");
    }
    assert!(!old.data_dir.join("postmaster.pid").exists(), "the plan changes nothing");
    assert!(old.data_dir.join("howdah.json").exists(), "the plan changes nothing");
    let other = cluster.howdah(&["adopt", "--give-back", &data, "--node", "n2"]);
    assert_eq!(other.status.code(), Some(64), "two nodes are named");
    cluster.howdah_ok(&["adopt", "--give-back", "--node", "n1", "--yes"]);
    assert_eq!(old.sql("boss", "SELECT count(*) FROM t"), "1001", "what was written is there");
    assert_eq!(old.sql("boss", "SHOW wal_level"), "minimal");
    assert_eq!(old.sql("boss", "SELECT count(*) FROM pg_replication_slots"), "0");
    let again = cluster.howdah(&["adopt", "--give-back", &data, "--yes"]);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success() && said.contains("was given back already"), "{said}");
    old.run("pg_ctl", &["-D", &data, "-m", "fast", "-w", "stop"]);
}

#[test]
fn an_adopted_directory_is_refused_and_not_overwritten_when_another_cluster_was_created() {
    let cluster = three().set("", "first_node", "\"n1\"").prepare();
    let old = Old::start(&cluster);
    old.sql("boss", "CREATE TABLE t AS SELECT 1 AS i");
    let data = old.data_dir.display().to_string();
    old.run("pg_ctl", &["-D", &data, "-m", "fast", "-w", "stop"]);
    let before = fs::read(old.data_dir.join("global/pg_control")).expect("read");
    fs::write(
        old.data_dir.join("howdah.json"),
        r#"{"id":"n1_00000001","node":"n1","fresh":true,"adopted":true}"#,
    )
    .expect("written");
    // The cluster has been created elsewhere meanwhile.
    let mut elsewhere = cluster;
    elsewhere.file.set("", "first_node", "\"n2\"");
    elsewhere.write_file();
    elsewhere.howdah_ok(&["prepare"]);
    for name in ["n2", "n3"] {
        elsewhere.node(name).start();
    }
    elsewhere.wait_for("another cluster", crate::TAKEOVER_WITHIN, || elsewhere.find_primary());
    elsewhere.expect_error("data directory must not be used");
    let output = elsewhere.node("n1").start_refused(crate::TAKEOVER_WITHIN);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(words.contains("another cluster"), "{words}");
    let after = fs::read(elsewhere.node("n1").data_dir.join("global/pg_control")).expect("read");
    assert_eq!(before, after, "not touched");
}

#[test]
fn a_server_that_wants_a_password_is_adopted_by_its_url() {
    let cluster = Cluster::of(1, env!("CARGO_BIN_EXE_howdah")).prepare();
    let old = Old::start(&cluster);
    old.sql("boss", "CREATE TABLE t AS SELECT 1 AS i");
    old.sql("boss", "ALTER ROLE boss PASSWORD 's3c:r@t'");
    let rules = "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";
    fs::write(old.data_dir.join("pg_hba.conf"), rules).expect("written");
    old.run("pg_ctl", &["-D", &old.data_dir.display().to_string(), "reload"]);

    let url = format!("postgres://boss:s3c%3Ar%40t@127.0.0.1:{}/postgres", old.port);
    let output = cluster.howdah(&["adopt", &url]);
    let said = [output.stdout.clone(), output.stderr.clone()].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success() && said.contains("becomes node n1"), "{said}");
    assert!(!said.contains("s3c") && said.contains("postgres://boss@127.0.0.1"), "{said}");
    cluster.howdah_ok(&["adopt", &url, "--yes"]);
    cluster.wait_whole();
    assert_eq!(cluster.node("n1").sql("SELECT count(*) FROM t").expect("asked"), "1");
    cluster.howdah_ok(&["down"]);
}

#[test]
fn without_a_cluster_file_import_is_named() {
    let dir = std::env::temp_dir();
    let output = Command::new(env!("CARGO_BIN_EXE_howdah"))
        .args(["adopt", "/var/lib/postgresql/15/main", "-f", "/nowhere/howdah.toml"])
        .current_dir(dir)
        .output()
        .expect("run howdah");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("no such cluster file") && said.contains("hint: howdah import"),
        "{said}"
    );
}
