//! A table that was dropped is there again: a backup of a running cluster, WAL, and a moment before.

use std::process::Command;
use std::time::Duration;

use howdah_testkit::{Cluster, PgNode, PortLease, majors};

use crate::{TAKEOVER_WITHIN, three};

const SOON: Duration = Duration::from_secs(30);

fn started() -> Cluster {
    three().set("backup", "repository", "\"archive/shop\"").start()
}

/// As soon as its WAL is in the repository.
pub fn restored(cluster: &Cluster, to: &str) -> PgNode {
    restored_by(cluster, &["--to", to], true)
}

pub fn restored_by(cluster: &Cluster, arguments: &[&str], anew: bool) -> PgNode {
    let like = majors::chosen_bin_dir().map_or_else(PgNode::init, |programs| PgNode::of(&programs));
    let into = cluster.scratch().join("back");
    cluster.wait_for("it is restored", SOON, || {
        if anew {
            let _ = std::fs::remove_dir_all(&into);
        }
        let into = into.display().to_string();
        let arguments = [&["restore", "--into", &into], arguments].concat();
        cluster.howdah(&arguments).status.success().then_some(())
    });
    let mut server = like.on_what(|data_dir| std::fs::rename(&into, data_dir).expect("moved"));
    // The cluster's own configuration, but for what is its nodes'.
    server
        .set("ssl = off")
        .set("synchronous_standby_names = ''")
        .set("logging_collector = off")
        .set("log_destination = 'stderr'");
    let rules = "local all postgres trust\nhost all postgres 127.0.0.1/32 trust\n";
    std::fs::write(server.data_dir().join("pg_hba.conf"), rules).expect("written");
    server.start();
    server
}

pub fn now(cluster: &Cluster) -> String {
    let sql = "select to_char(clock_timestamp() at time zone 'UTC', \
               'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
    cluster.primary().sql(sql).expect("the time")
}

#[test]
fn a_dropped_table_is_there_again_as_it_was_a_moment_before() {
    let cluster = started();
    let primary = cluster.primary();
    primary.sql("create table t as select g from generate_series(1, 50000) g").expect("made");
    cluster.howdah_ok(&["backup"]);
    primary.sql("insert into t select g from generate_series(1, 5) g").expect("written");
    let before = now(&cluster);
    primary.sql("drop table t").expect("dropped");
    primary.sql("select pg_create_restore_point('after')").expect("named");
    primary.sql("create table u ()").expect("made");

    // Over a failover: WAL of two timelines.
    let old = primary.name.clone();
    primary.kill9_everything();
    let new = cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
    new.sql("create table v ()").expect("made");
    cluster.howdah_ok(&["backup"]);
    let listed = cluster.howdah_ok(&["backups", "--json"]);
    assert_eq!(listed.matches("\"backup\"").count(), 2, "{listed}");

    let server = restored(&cluster, &format!("time={before}"));
    assert_eq!(server.query("select count(*) from t"), ["50005"]);
    assert!(server.query("select 1 from pg_class where relname = 'u'").is_empty());
    drop(server);

    let server = restored(&cluster, "name=after");
    assert!(server.query("select 1 from pg_class where relname in ('t', 'u')").is_empty());
    drop(server);

    let server = restored(&cluster, "latest");
    let tables =
        server.query("select relname from pg_class where relname in ('u', 'v') order by 1");
    assert_eq!(tables, ["u", "v"]);
}

/// Whoever pastes it into a script asks the server the moment it answers.
#[test]
fn the_command_that_is_printed_lets_nobody_in_before_the_target() {
    let cluster = started();
    let primary = cluster.primary();
    primary.sql("create table t (g int)").expect("made");
    cluster.howdah_ok(&["backup"]);
    for _ in 0..4 {
        primary.sql("insert into t select generate_series(1, 200000)").expect("written");
        primary.sql("select pg_switch_wal()").expect("switched");
    }
    crate::wal_kept::is_kept(&cluster);
    let into = cluster.scratch().join("back").display().to_string();
    let output = cluster.howdah(&["restore", "--into", &into]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let after = |words: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(words)?.split_once(": "));
        line.unwrap_or_else(|| panic!("{said}"))
    };
    let ((user, start), (_, wait)) = (after("hint: as user "), after("hint: then wait"));
    let mut lease = PortLease::take();
    let port = lease.next_port();
    let psql = format!("psql -h {into} -p {port} -U postgres -d postgres -Atc");
    let count = "'select count(*) from t'";
    let script = format!("{start} >/dev/null; {psql} {count}; {wait} >/dev/null; {psql} {count}")
        .replace("5999", &port.to_string())
        .replace(" /tmp ", &format!(" {into} "))
        .replace("/tmp/restored.log", &format!("{into}/restored.log"));
    let asked = Command::new("setpriv")
        .args([&format!("--reuid={user}"), &format!("--regid={user}"), "--init-groups", "--"])
        .args(["timeout", "60", "sh", "-c", &script])
        .output()
        .expect("setpriv");
    let counts = String::from_utf8_lossy(&asked.stdout).into_owned();
    let log = std::fs::read_to_string(format!("{into}/restored.log"));
    assert!(!counts.is_empty() && counts.lines().all(|n| n == "800000"), "{asked:?}\n{log:?}");
}

#[test]
fn a_restore_that_is_killed_is_run_again_over_what_it_has_left() {
    let cluster = started();
    let primary = cluster.primary();
    let rows = "select g, repeat(md5(g::text), 8) b from generate_series(1, 400000) g";
    primary.sql(&format!("create table t as {rows}")).expect("made");
    cluster.howdah_ok(&["backup"]);
    primary.sql("insert into t values (0, 'later')").expect("written");
    let into = cluster.scratch().join("back");
    let control = into.join("global/pg_control");
    let mut killed = 0;
    for after_ms in [5, 50, 100, 200, 300, 450, 700, 1000] {
        let mut restore = Command::new(env!("CARGO_BIN_EXE_howdah"));
        restore.args(["restore", "--delta", "--into"]).arg(&into);
        restore.arg("-f").arg(cluster.file_path());
        let mut restore = restore.spawn().expect("it runs");
        let deadline = std::time::Instant::now() + Duration::from_millis(after_ms);
        let ended = cluster.wait_for("its moment has come", SOON, || {
            let ended = restore.try_wait().expect("asked").is_some();
            (ended || std::time::Instant::now() > deadline).then_some(ended)
        });
        restore.kill().expect("killed, or ended");
        restore.wait().expect("ended");
        killed += u32::from(!ended && !control.exists());
    }
    assert!(killed > 2, "{killed} were killed at work");
    let output = cluster.howdah(&["restore", "--into", &into.display().to_string()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("--delta"), "{said}");

    let server = restored_by(&cluster, &["--delta"], false);
    assert_eq!(server.query("select count(*) from t")[0], "400001");
    let refused = |place: &std::path::Path, why: &str| {
        let output =
            cluster.howdah(&["restore", "--delta", "--into", &place.display().to_string()]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{said}");
    };
    refused(server.data_dir(), "a server runs there");
    refused(&cluster.primary().data_dir, "which runs");
    refused(cluster.scratch(), "no data directory");
}

#[test]
fn what_cannot_be_restored_is_refused_before_anything_is_touched() {
    let cluster = started();
    let into = cluster.scratch().join("back").display().to_string();
    let refused = |arguments: &[&str], why: &str| {
        let all = [&["restore", "--into", &into], arguments].concat();
        let output = cluster.howdah(&all);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{all:?}: {said}");
        assert!(!std::path::Path::new(&into).exists(), "{all:?}");
    };
    cluster.primary().sql("create table t ()").expect("made");
    refused(&[], "no backup");
    let early = now(&cluster);
    cluster.howdah_ok(&["backup"]);
    refused(&["--to", &format!("time={early}")], "before the oldest backup");
    refused(&["--to", "lsn=FF/0"], "ends before the target");
    refused(&["--to", "yesterday"], "not a target");
    refused(&["--to", "time=2999-01-01T00:00:00Z"], "yet to come");
    refused(&["--backup", "none"], "no such backup");
    refused(&["--target-timeline", "7"], "no such timeline");
    let there = cluster.scratch().display().to_string();
    let output = cluster.howdah(&["restore", "--into", &there]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("not empty"), "{said}");

    // What is wrong with one of them does not keep others from being restored.
    cluster.howdah_ok(&["backup"]);
    crate::wal_kept::is_kept(&cluster);
    let lineages = std::fs::read_dir(cluster.scratch().join("archive/shop")).expect("listed");
    let backups = lineages.map(|entry| entry.expect("listed").path().join("backups"));
    let backups = backups.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut backups: Vec<_> = backups.map(|entry| entry.expect("listed").path()).collect();
    backups.sort();
    let oldest = std::fs::OpenOptions::new().write(true).open(backups[0].join("manifest"));
    oldest.and_then(|manifest| manifest.set_len(100)).expect("cut short");
    // A pack of it that is gone is found out before anything is touched.
    let packs = std::fs::read_dir(&backups[1]).expect("listed").map(|e| e.expect("listed").path());
    let is_pack = |path: &std::path::PathBuf| path.to_string_lossy().contains("/pack-");
    let pack = packs.into_iter().find(is_pack).expect("a pack");
    let away = cluster.scratch().join("pack");
    std::fs::rename(&pack, &away).expect("moved away");
    refused(&[], "a pack of the backup is missing");
    std::fs::rename(&away, &pack).expect("moved back");
    let output = cluster.howdah(&["restore", "--into", &into]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("is left out: damaged"), "{said}");
}
