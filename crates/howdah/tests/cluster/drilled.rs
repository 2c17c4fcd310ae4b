//! Backups that have been restored: a drill on a running cluster, and what turns one red.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use howdah_testkit::{Cluster, majors, process};
use nix::sys::signal::Signal;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(60);
const BINARY: &str = env!("CARGO_BIN_EXE_howdah");

/// One node of this major, with a table and the question how many rows it has; `None` where the
/// major is not here.
#[expect(clippy::print_stderr, reason = "a test that is left out says so")]
fn started(major: u32) -> Option<Cluster> {
    let Some(programs) = majors::programs(major) else {
        eprintln!("PostgreSQL {major} is not here: nothing was shown of it");
        return None;
    };
    let checks = "[{ name = \"few rows\", database = \"app\", sql = \"select count(*) <= 50000 from t\" }, \
                  { name = \"the first\", database = \"app\", sql = \"select a from t order by a\", expect = \"1\" }]";
    let cluster = Cluster::of(1, BINARY)
        .set("backup", "repository", "\"archive/shop\"")
        .set("backup.drill", "checks", checks)
        .set("postgresql", "bin_dir", &format!("{:?}", programs.display().to_string()))
        .start();
    let rows = "create table t as select g a from generate_series(1, 50000) g";
    cluster.primary().sql_in("app", rows).expect("made");
    cluster.primary().sql_in("app", "create index i on t (a)").expect("made");
    // It would refuse the extension that a drill makes in its copy.
    let refuses = "create function refuses() returns event_trigger language plpgsql as \
                   $$begin raise exception 'no more of this'; end$$; \
                   create event trigger refuses on ddl_command_start \
                   when tag in ('CREATE EXTENSION') execute function refuses()";
    cluster.primary().sql_in("app", refuses).expect("made");
    Some(cluster)
}

fn typed(cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(words).arg("-f").arg(cluster.file_path()).stdin(Stdio::null());
    command
}

fn types(cluster: &Cluster, words: &[&str]) -> Output {
    typed(cluster, words).output().expect("run `howdah`")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a drill found, and what it said at its end; nothing of it is left.
#[track_caller]
fn drill(cluster: &Cluster) -> (Value, String) {
    let output = types(cluster, &["drill", "restore", "--format", "json"]);
    let (out, said) = (text(&output.stdout), text(&output.stderr));
    let value: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{said}"));
    let passed = value["drilled"]["passed"].as_bool().expect("a verdict");
    assert_eq!(output.status.success(), passed, "{out}{said}");
    assert_eq!(left(cluster), [] as [PathBuf; 0], "{said}");
    (value["drilled"].clone(), said)
}

/// Folders of drills, and processes that work on them.
fn left(cluster: &Cluster) -> Vec<PathBuf> {
    let scratch = cluster.base_dir().join("drill");
    assert_eq!(process::working_on(&scratch).len(), 0);
    let entries = fs::read_dir(scratch).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

#[track_caller]
fn outcome<'v>(drilled: &'v Value, name: &str) -> (&'v str, &'v str) {
    let checks = drilled["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("{name}: {drilled}"));
    (check["outcome"].as_str().expect("a word"), check["said"].as_str().expect("a text"))
}

/// It failed by this check, in such words, and `backups` says so.
#[track_caller]
fn is_red(cluster: &Cluster, name: &str, words: &str) {
    let (drilled, said) = drill(cluster);
    let (outcome, why) = outcome(&drilled, name);
    assert!(outcome == "failed" && why.contains(words), "{drilled}");
    assert!(said.contains("is red, "), "{said}");
    let listed = cluster.howdah_ok(&["backups"]);
    assert!(listed.starts_with("not green: ") && listed.contains("its drill failed, "), "{listed}");
}

fn green_once_its_key_is_safe(major: u32) {
    let Some(cluster) = started(major) else { return };
    cluster.howdah_ok(&["backup"]);
    let listed = cluster.howdah_ok(&["backups"]);
    assert!(listed.contains("it has never been restored; the repository's key lies"), "{listed}");
    // Behind the backup: it comes with the WAL.
    cluster.primary().sql_in("app", "delete from t where a = 50000").expect("deleted");

    let (drilled, said) = drill(&cluster);
    assert_eq!(drilled["passed"], true, "{drilled}{said}");
    for name in ["canary", "few rows", "the first", "page checksums"] {
        assert_eq!(outcome(&drilled, name).0, "passed", "{drilled}");
    }
    assert!(
        matches!(outcome(&drilled, "amcheck"), ("passed", _) | ("not-checked", _)),
        "{drilled}"
    );
    let ms = |name: &str| drilled[name].as_u64().unwrap_or_else(|| panic!("{name}: {drilled}"));
    assert!(ms("rpo_ms") < 30_000 && ms("rto_ms") >= ms("restored_ms"), "{drilled}");
    assert_eq!(drilled["left_out"][0], "shared_preload_libraries: pg_stat_statements");
    // The copy was promoted, and told nobody.
    let archive = fs::read_dir(only_lineage(&cluster).join("wal")).expect("there").flatten();
    let names: Vec<String> =
        archive.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(!names.iter().any(|name| name.starts_with("00000002")), "{names:?}");
    assert_eq!(cluster.primary().sql("select count(*) from howdah.canary").expect("asked"), "1");

    let verified = types(&cluster, &["verify", "--format", "json"]);
    assert!(verified.status.success(), "{}", text(&verified.stderr));
    let listed = cluster.howdah_ok(&["backups"]);
    assert!(listed.contains("the repository's key lies nowhere but with the cluster"), "{listed}");
    let exported = cluster.scratch().join("kept.key");
    let words = ["repository", "key", "--export", &exported.display().to_string()];
    let output = types(&cluster, &words);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(fs::metadata(&exported).expect("there").permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&exported).expect("read").trim().len(), 64);
    assert!(!types(&cluster, &words).status.success(), "never over another file");
    let listed = cluster.howdah_ok(&["backups"]);
    assert!(listed.starts_with("green: the newest backup, "), "{listed}");
    let listed = cluster.howdah_ok(&["backups", "--format", "json"]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(listed[0]["green"], true, "{listed}");
    assert_eq!(listed[0]["drilled"]["rpo_ms"], drilled["rpo_ms"], "{listed}");
    assert_eq!(listed[0]["verified"]["percent"], 100.0, "{listed}");
    assert!(listed[0]["bytes"].as_u64() > listed[0]["stored_bytes"].as_u64(), "{listed}");
    if major == 15 {
        given_up(&cluster);
    }
}

/// SIGTERM in the middle: server and folder go.
fn given_up(cluster: &Cluster) {
    let mut child =
        typed(cluster, &["drill", "restore"]).stderr(Stdio::piped()).spawn().expect("run");
    let scratch = cluster.base_dir().join("drill");
    cluster.wait_for("the copy runs", SOON, || {
        (process::working_on(&scratch).len() > 1).then_some(())
    });
    process::signal(i32::try_from(child.id()).expect("a pid"), Signal::SIGTERM);
    assert!(!child.wait().expect("it ends").success());
    assert_eq!(left(cluster), [] as [PathBuf; 0]);
}

#[test]
pub fn a_backup_that_was_restored_and_whose_key_is_safe_is_green_on_15() {
    green_once_its_key_is_safe(15);
}

#[test]
pub fn a_backup_that_was_restored_and_whose_key_is_safe_is_green_on_18() {
    green_once_its_key_is_safe(18);
}

#[test]
pub fn what_fails_turns_a_drill_red_and_is_named() {
    let Some(cluster) = started(15) else { return };
    let primary = cluster.primary();
    let sql = |text: &str| primary.sql(text).unwrap_or_else(|error| panic!("{text}: {error:#}"));
    cluster.howdah_ok(&["backup"]);

    // A question that the user asks.
    primary.sql_in("app", "insert into t values (50001)").expect("written");
    is_red(&cluster, "few rows", "it answered `f`, which is not true");
    primary.sql_in("app", "delete from t where a > 50000").expect("deleted");

    // A canary that does not live.
    sql("create function public.eats() returns trigger language plpgsql as \
         'begin delete from howdah.canary where token = new.token; return null; end'");
    sql(
        "create trigger eats after insert on howdah.canary for each row execute function public.eats()",
    );
    is_red(&cluster, "canary", "the row that was committed for this drill is missing");
    sql("drop trigger eats on howdah.canary");

    // Another key.
    let key = cluster.base_dir().join("client/secrets/backup.key");
    let right = fs::read_to_string(&key).expect("read");
    fs::write(&key, "7".repeat(64)).expect("written");
    let output = types(&cluster, &["drill", "restore"]);
    let said = text(&output.stderr);
    assert!(
        !output.status.success() && said.contains("the key is not this repository's"),
        "{said}"
    );
    fs::write(&key, right).expect("written");

    // A page of an index that was damaged before the backup.
    sql("checkpoint");
    let path = primary.sql_in("app", "select pg_relation_filepath('i')").expect("asked");
    flip(&primary.data_dir.join(path), 3 * 8192 + 4000);
    let output = types(&cluster, &["backup"]);
    assert!(text(&output.stdout).contains("damaged in the server's own files"), "{output:?}");
    is_red(&cluster, "page checksums", "checksum verification failed in file");
    let (drilled, _) = drill(&cluster);
    assert_eq!(outcome(&drilled, "amcheck").0, "failed", "{drilled}");
    primary.sql_in("app", "drop index i").expect("dropped");
    sql("checkpoint");

    // WAL behind the backup.
    cluster.howdah_ok(&["backup"]);
    sql("select pg_switch_wal()");
    primary.sql_in("app", "delete from t where a = 7").expect("deleted");
    let inside = sql("select pg_walfile_name(pg_current_wal_lsn())");
    sql("select pg_switch_wal()");
    primary.sql_in("app", "delete from t where a = 8").expect("deleted");
    let segment = only_lineage(&cluster).join("wal/00000001").join(inside);
    cluster.wait_for("the segment is whole", SOON, || segment.is_file().then_some(()));
    let chunks = segment.with_extension("part");
    cluster.wait_for("its chunks are gone", SOON, || (!has_any(&chunks)).then_some(()));
    fs::remove_file(&segment).expect("removed");
    is_red(&cluster, "plan", "WAL is missing on timeline 1");
}

fn has_any(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some())
}

fn only_lineage(cluster: &Cluster) -> PathBuf {
    let folders = fs::read_dir(cluster.file_path().with_file_name("archive/shop")).expect("there");
    let folder = folders.flatten().map(|entry| entry.path()).find(|path| path.join("wal").is_dir());
    folder.expect("a lineage")
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
}
