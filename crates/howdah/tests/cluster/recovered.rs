//! Nothing is left of a cluster but its repository and the key, and one command brings it back; and a
//! clone that begins beside its origin.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use howdah_testkit::{Cluster, Plan, S3Server, Writer, process, writer};

use crate::{ROWS_WITHIN, three};

const MINUTE: Duration = Duration::from_secs(60);
/// Of commits that may be lost where nobody waits for a standby, and everything goes at once.
const LOST_MAX: Duration = Duration::from_secs(2);

fn howdah(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command.args(arguments).stdin(Stdio::null()).output().expect("run `howdah`")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[track_caller]
fn done(arguments: &[&str]) -> String {
    let output = howdah(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", said(&output));
    said(&output)
}

/// Names of all objects of each lineage.
fn lineages(repository: &Path) -> Vec<(String, BTreeSet<PathBuf>)> {
    let folders = fs::read_dir(repository).expect("listed").map(|entry| entry.expect("listed"));
    let ids = folders.filter_map(|folder| folder.file_name().into_string().ok());
    let ids = ids.filter(|name| name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit()));
    ids.map(|id| (id.clone(), files(&repository.join(id)))).collect()
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path);
        }
    }
    found
}

fn down(cluster: &Cluster, file: &str) {
    done(&["down", "-f", file]);
    cluster.wait_for("no process of the cluster is left", MINUTE, || {
        process::working_on(&cluster.base_dir()).is_empty().then_some(())
    });
}

#[test]
fn a_cluster_of_which_only_the_repository_is_left_is_back_by_one_command() {
    let cluster = three().asynchronous().set("backup", "repository", "\"archive/shop\"").start();
    let repository = cluster.scratch().join("archive/shop");
    let plan = Plan { every: Duration::from_millis(10), ..cluster.plan() };
    let client = Writer::start(plan.clone());
    client.wait_for_rows(50, ROWS_WITHIN);
    cluster.howdah_ok(&["backup"]);
    client.wait_for_rows(400, ROWS_WITHIN);

    // Everything at once, and the disks too.
    let key = cluster.scratch().join("key");
    fs::copy(cluster.base_dir().join("client/secrets/backup.key"), &key).expect("copied");
    let lost_at = Instant::now();
    let primary = cluster.primary().name.clone();
    cluster.node(&primary).kill9_everything();
    cluster.nodes().iter().for_each(|node| node.kill9_everything());
    let left = process::kill_all(|| process::working_on(&cluster.base_dir()));
    assert!(left.is_empty(), "{left:?}");
    let journal = client.stop();
    fs::remove_dir_all(cluster.base_dir()).expect("removed");
    let before = lineages(&repository);
    assert_eq!(before.len(), 1);

    let place = repository.display().to_string();
    let key = key.display().to_string();
    let refused = |arguments: &[&str], why: &str| {
        let output = howdah(&[&["recover", &place], arguments].concat());
        let text = said(&output);
        assert!(!output.status.success() && text.contains(why), "{arguments:?}: {text}");
        assert!(!cluster.base_dir().exists(), "{arguments:?}");
    };
    refused(&[], "--key-file");
    refused(&["--key-file", "/no/such/key"], "/no/such/key");
    refused(&["--key-file", &key, "--cluster", "other"], "no such cluster");
    refused(&["--key-file", &key, "--to", "lsn=FF/0"], "ends before the target");
    refused(&["--key-file", &key, "--node", "n9"], "n9");
    let text = done(&["recover", &place, "--key-file", &key, "--dry-run"]);
    assert!(text.contains("cluster       test") && text.contains("keeps its password"), "{text}");
    assert!(!cluster.base_dir().exists());

    let begun = Instant::now();
    let text = done(&["recover", &place, "--key-file", &key]);
    println!("{text}\nback after {:?}", begun.elapsed());
    cluster.wait_whole();
    let rows =
        cluster.wait_for("the clients' password is as it was", MINUTE, || writer::rows(&plan).ok());
    let missing: BTreeSet<i64> = journal.missing_from(&rows).into_iter().collect();
    let of = |row: &&howdah_testkit::journal::Acknowledged| missing.contains(&row.number);
    let oldest = journal.acknowledged.iter().filter(of).map(|row| row.at).min();
    let lost = oldest.map_or(Duration::ZERO, |at| lost_at.saturating_duration_since(at));
    println!("{} of {} rows, {lost:?} of commits", missing.len(), journal.acknowledged.len());
    assert!(lost <= LOST_MAX, "{lost:?} of commits, {missing:?}");
    assert!(journal.unknown_in(&rows).is_empty());

    // It goes on, in a lineage of its own: it might be that the old one is not gone.
    let client = Writer::start(plan);
    client.wait_for_rows(50, ROWS_WITHIN);
    let file = cluster.base_dir().join("howdah.toml").display().to_string();
    done(&["backup", "-f", &file]);
    client.stop_and_check();
    let after = lineages(&repository);
    assert_eq!(after.len(), 2);
    assert!(before.iter().all(|old| after.contains(old)), "the old lineage was written to");
    let listed = done(&["backups", "-f", &file, "--format", "json"]);
    assert_eq!(listed.matches("\"backup\"").count(), 1, "{listed}");
    let output = howdah(&["recover", &place, "--key-file", &key]);
    assert!(said(&output).contains("lies there already"), "{}", said(&output));
    let parent = &before[0].0;
    let output = howdah(&["restore", "-f", &file, "--to", "lsn=0/1", "--into", "/no", "--dry-run"]);
    assert!(said(&output).contains(&format!("--lineage {parent}")), "{}", said(&output));
    down(&cluster, &file);
}

#[test]
fn it_is_back_from_s3_too_and_to_a_moment() {
    let s3 = S3Server::start();
    let quoted = |text: &str| format!("\"{text}\"");
    let secret = "{ command = [\"printf\", \"secret\"] }";
    let cluster = Cluster::of(1, env!("CARGO_BIN_EXE_howdah"))
        .set("backup", "repository", &quoted(&format!("s3://{}/shop", S3Server::BUCKET)))
        .set("backup.s3", "endpoint", &quoted(&s3.endpoint()))
        .set("backup.s3", "access_key", secret)
        .set("backup.s3", "secret_key", secret)
        .start();
    cluster.primary().sql("create table t as select 1 as n").expect("made");
    cluster.howdah_ok(&["backup"]);
    cluster.primary().sql("select pg_create_restore_point('fine')").expect("named");
    cluster.primary().sql("drop table t").expect("dropped");
    crate::wal_kept::is_kept(&cluster);
    let key = cluster.scratch().join("key");
    fs::copy(cluster.base_dir().join("client/secrets/backup.key"), &key).expect("copied");
    cluster.nodes()[0].kill9_everything();
    let left = process::kill_all(|| process::working_on(&cluster.base_dir()));
    assert!(left.is_empty(), "{left:?}");
    fs::remove_dir_all(cluster.base_dir()).expect("removed");

    let mut recover = Command::new(env!("CARGO_BIN_EXE_howdah"));
    recover.arg("recover").arg(format!("s3://{}/shop", S3Server::BUCKET));
    recover.args(["--endpoint", &s3.endpoint(), "--to", "name=fine"]);
    recover.arg("--key-file").arg(&key).arg("--no-start");
    recover.envs([("AWS_ACCESS_KEY_ID", "secret"), ("AWS_SECRET_ACCESS_KEY", "secret")]);
    let output = recover.stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("howdah up -f"), "{}", said(&output));
    cluster.start_all();
    cluster.wait_whole();
    assert_eq!(cluster.primary().sql("select n from t").expect("as it was").trim(), "1");
}

#[test]
fn a_clone_is_a_cluster_of_its_own() {
    let origin = three().set("backup", "repository", "\"archive/shop\"").start();
    let repository = origin.scratch().join("archive/shop");
    let primary = origin.primary();
    primary.sql("create table t as select g from generate_series(1, 1000) g").expect("made");
    primary.sql_in("app", "create table here as select 1 as n").expect("made");
    let major = primary.sql("select current_setting('server_version_num')::int / 10000");
    let major = major.expect("a number");
    // From 17 on nobody can.
    if major.parse::<u32>().expect("a number") < 17 {
        primary.sql("alter system set archive_command = 'exit 1'").expect("set");
    }
    origin.howdah_ok(&["backup"]);
    primary.sql("select pg_create_restore_point('fine')").expect("named");
    primary.sql("drop table t").expect("dropped");
    let key = origin.base_dir().join("client/secrets/backup.key");
    let describe = |name: &str| {
        Cluster::of(1, env!("CARGO_BIN_EXE_howdah"))
            .set("", "cluster", name)
            .set("postgresql", "major", &major)
            .set("backup", "repository", &format!("{:?}", repository.display().to_string()))
            .set("backup", "key", &format!("{{ file = {:?} }}", key.display().to_string()))
    };
    let same = describe("\"test\"").prepare();
    let copy = describe("\"copy\"").prepare();
    let tries = |copy: &Cluster, arguments: &[&str]| {
        let file = copy.file_path().display().to_string();
        origin.howdah(&[&["clone", "--as", &file], arguments].concat())
    };
    let output = tries(&same, &[]);
    assert!(said(&output).contains("is called `test` too"), "{}", said(&output));
    let cloned = origin.wait_for("its WAL is in the repository", MINUTE, || {
        let output = tries(&copy, &["--to", "name=fine"]);
        println!("{}", said(&output));
        output.status.success().then(|| said(&output))
    });
    assert!(cloned.contains("start the clone: howdah up"), "{cloned}");

    copy.start_all();
    copy.wait_whole();
    let count = "select count(*) from t";
    assert_eq!(copy.primary().sql(count).expect("as it was").trim(), "1000");
    assert!(primary.sql(count).is_err(), "its origin goes on");
    // Its own password, not its origin's.
    let plan = copy.plan();
    copy.wait_for("the role `app` is let in", MINUTE, || writer::query(&plan, "SELECT 1").ok());
    assert_ne!(copy.password("app"), origin.password("app"));
    let ties = copy.primary().sql(
        "select current_setting('archive_mode') || current_setting('primary_conninfo') || \
         current_setting('restore_command') || current_setting('recovery_target_name') || \
         (select count(*) from pg_replication_slots where slot_name <> 'archive_howdah')",
    );
    assert_eq!(ties.expect("asked").trim(), "off0");
    let own = fs::read_to_string(copy.nodes()[0].data_dir.join("postgresql.auto.conf"));
    assert!(!own.expect("there").contains("archive_command"));

    copy.primary().sql("create table mine ()").expect("made");
    let text = copy.howdah_ok(&["backup"]);
    assert!(text.contains("backup `"), "{text}");
    assert_eq!(lineages(&repository).len(), 2);
    let backups = |cluster: &Cluster| {
        let listed = cluster.howdah_ok(&["backups", "--format", "json"]);
        listed.matches("\"backup\"").count()
    };
    assert_eq!((backups(&origin), backups(&copy)), (1, 1));
    let output = tries(&copy, &[]);
    assert!(said(&output).contains("there is a cluster already"), "{}", said(&output));
    origin.expect_error("relation \"t\" does not exist");
}
