//! kill -9 of a backup in each of its phases, of `wal push`, and of an expiry while it removes: what the
//! repository lists is whole, and what comes next succeeds.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::yield_now;
use std::time::{Duration, Instant, SystemTime};

use howdah_testkit::{Cluster, Node, Setup, process, wait};
use nix::sys::signal::Signal;

use crate::restored::restored;
use crate::wal_kept::is_kept;

const SOON: Duration = Duration::from_secs(30);

fn one() -> Setup {
    Cluster::of(1, env!("CARGO_BIN_EXE_howdah")).set("backup", "repository", "\"archive/shop\"")
}

/// A verb of the server's user.
struct Verb {
    child: Child,
    said: PathBuf,
}

fn begun(cluster: &Cluster, arguments: &[&str]) -> Verb {
    let said = cluster.scratch().join("said");
    let owner = fs::metadata(&cluster.nodes()[0].data_dir).expect("there");
    let (verb, rest) = arguments.split_first().expect("a verb");
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command.arg(verb).arg("-f").arg(cluster.file_path()).args(rest);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(File::create(&said).expect("a file"));
    if owner.uid() != nix::unistd::geteuid().as_raw() {
        command.uid(owner.uid()).gid(owner.gid());
    }
    Verb { child: command.spawn().expect("it runs"), said }
}

impl Verb {
    fn says(&self, part: &str) {
        let said = || fs::read_to_string(&self.said).expect("read");
        let seen = || said().contains(part).then_some(());
        wait::until(part, SOON, seen, said);
    }

    fn signal(&self, signal: Signal) {
        process::signal(i32::try_from(self.child.id()).expect("an id"), signal);
    }

    /// Whether it was at work.
    fn kill9(&mut self) -> bool {
        let works = self.child.try_wait().expect("asked").is_none();
        self.child.kill().expect("killed, or ended");
        self.child.wait().expect("ended");
        works
    }

    fn ends(&mut self) {
        assert!(self.child.wait().expect("ended").success());
    }
}

/// For what lasts shorter than a pause would.
#[track_caller]
fn at_once(what: &str, mut seen: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !seen() {
        assert!(Instant::now() < deadline, "not within {SOON:?}: {what}");
        yield_now();
    }
}

/// The folder of the cluster's only lineage.
fn lineage(cluster: &Cluster) -> PathBuf {
    let found = names(&cluster.scratch().join("archive/shop"));
    let is_id = |name: &&String| name.len() == 16 && name.bytes().all(|b| b.is_ascii_hexdigit());
    let id = found.iter().find(is_id).expect("a lineage");
    cluster.scratch().join("archive/shop").join(id)
}

/// Of what is in a folder; none where there is no such folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// A minute passes, and the right of whoever was killed ends by itself.
fn lease_ends(cluster: &Cluster) {
    let folder = cluster.scratch().join("archive/shop/leases");
    for name in names(&folder).iter().filter(|name| !name.starts_with('.')) {
        let path = folder.join(name);
        let text = fs::read_to_string(&path).expect("read");
        let (before, rest) = text.split_once("\"until_ms\":").expect("an end");
        let end = rest.find(|c: char| !c.is_ascii_digit()).expect("more");
        fs::write(&path, format!("{before}\"until_ms\":1{}", &rest[end..])).expect("written");
    }
}

fn listed(cluster: &Cluster) -> usize {
    cluster.howdah_ok(&["backups", "--format", "json"]).matches("\"backup\"").count()
}

/// The server's session of a backup, in that state.
fn session(node: &Node, state: &str) -> Option<i32> {
    let sql = format!(
        "select pid from pg_stat_activity where state = '{state}' \
         and query ~ 'pg_backup_start' and pid <> pg_backend_pid()"
    );
    node.sql(&sql).ok()?.parse().ok()
}

fn walsender(cluster: &Cluster) -> i32 {
    let sql = "select active_pid from pg_replication_slots where active";
    cluster.wait_for("WAL is streamed", SOON, || cluster.nodes()[0].sql(sql).ok()?.parse().ok())
}

/// After a kill: what is listed stays as it was or is one more, and the next one is taken.
fn goes_on(cluster: &Cluster, whole: &mut usize, may_be_whole: bool) {
    let node = &cluster.nodes()[0];
    cluster.wait_for("the server is in no backup", SOON, || {
        let sql = "select count(*) from pg_stat_activity where query ~ 'pg_backup_st' \
                   and pid <> pg_backend_pid()";
        (node.sql(sql).ok()? == "0").then_some(())
    });
    let now = listed(cluster);
    assert!(now == *whole || may_be_whole && now == *whole + 1, "{now}, where {whole} were");
    lease_ends(cluster);
    cluster.howdah_ok(&["backup"]);
    assert_eq!(listed(cluster), now + 1);
    *whole = now + 1;
}

#[test]
fn a_backup_that_is_killed_is_none_and_the_next_one_is_taken() {
    let cluster = one().start();
    let node = &cluster.nodes()[0];
    let rows = "select g, repeat(md5(g::text), 4) b from generate_series(1, 60000) g";
    node.sql(&format!("create table t as {rows}")).expect("made");
    cluster.howdah_ok(&["backup"]);
    let mut whole = 1;

    // While the server makes its checkpoint.
    let processes = node.server_processes();
    let checkpointer = processes.iter().find(|p| p.title().contains("checkpointer"));
    let checkpointer = checkpointer.expect("it runs").pid;
    process::signal(checkpointer, Signal::SIGSTOP);
    let mut backup = begun(&cluster, &["backup"]);
    cluster.wait_for("it waits for the checkpoint", SOON, || session(node, "active"));
    assert!(backup.kill9());
    process::signal(checkpointer, Signal::SIGCONT);
    let output = cluster.howdah(&["backup"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("is busy: backup"), "{said}");
    goes_on(&cluster, &mut whole, false);

    // While it copies.
    let mut backup = begun(&cluster, &["backup", "--full", "--max-rate", "8MB"]);
    cluster.wait_for("it copies", SOON, || session(node, "idle"));
    assert!(backup.kill9());
    goes_on(&cluster, &mut whole, false);

    // While it asks the server to stop.
    let mut backup = begun(&cluster, &["backup", "--full", "--max-rate", "16MB"]);
    let backend = cluster.wait_for("it copies", SOON, || session(node, "idle"));
    process::signal(backend, Signal::SIGSTOP);
    backup.says("all is read");
    assert!(backup.kill9());
    process::signal(backend, Signal::SIGCONT);
    goes_on(&cluster, &mut whole, false);

    // While it waits for its WAL, and as soon as that is there.
    for commits in [false, true] {
        let sender = walsender(&cluster);
        process::signal(sender, Signal::SIGSTOP);
        let before = names(&lineage(&cluster).join("backups"));
        let mut backup = begun(&cluster, &["backup"]);
        backup.says("waiting for its WAL");
        if !commits {
            assert!(backup.kill9());
            process::signal(sender, Signal::SIGCONT);
            goes_on(&cluster, &mut whole, false);
            continue;
        }
        backup.signal(Signal::SIGSTOP);
        process::signal(sender, Signal::SIGCONT);
        is_kept(&cluster);
        let folder = names(&lineage(&cluster).join("backups"));
        let folder = folder.iter().find(|name| !before.contains(name)).expect("its own");
        let folder = lineage(&cluster).join("backups").join(folder);
        backup.signal(Signal::SIGCONT);
        at_once("it writes its manifest", || {
            names(&folder).iter().any(|name| name.starts_with('.') || name == "manifest")
        });
        backup.kill9();
        goes_on(&cluster, &mut whole, true);
    }
    cluster.howdah_ok(&["verify", "--all"]);
    let server = restored(&cluster, "latest");
    assert_eq!(server.query("select count(*) from t"), ["60000"]);
}

#[test]
fn a_push_that_is_killed_leaves_the_whole_segment_or_nothing() {
    let cluster = one().start();
    let node = &cluster.nodes()[0];
    node.sql("create table t as select generate_series(1, 100000) g").expect("made");
    let name = node.sql("select pg_walfile_name(pg_current_wal_insert_lsn())").expect("asked");
    node.sql("select pg_switch_wal()").expect("switched");
    is_kept(&cluster);
    let object = lineage(&cluster).join("wal/00000001").join(&name);
    cluster.wait_for("the segment is whole", SOON, || object.is_file().then_some(()));
    let segment = node.data_dir.join("pg_wal").join(&name);
    let bytes = fs::read(&segment).expect("there");
    // The agent knows what it has streamed, and would answer for it: without one the verb itself writes.
    node.kill9_everything();
    let got = cluster.scratch().join("got");
    let is_there = || {
        let output = cluster.howdah(&["wal", "get", &name, &got.display().to_string()]);
        let code = output.status.code();
        assert!(matches!(code, Some(0 | 1)), "{output:?}");
        assert!(code == Some(1) || fs::read(&got).expect("got") == bytes);
        code == Some(0)
    };
    assert!(is_there());
    let path = segment.display().to_string();
    let folder = object.parent().expect("a folder");
    let mut worked = 0;
    for after_ms in [0, 5, 10, 20, 30, 40, 60, 1000] {
        fs::remove_file(&object).expect("removed");
        let begun_at = Instant::now();
        let mut push = begun(&cluster, &["wal", "push", &path]);
        // At the latest when the object is being written.
        at_once("its moment has come", || {
            begun_at.elapsed() > Duration::from_millis(after_ms)
                || object.exists()
                || names(folder).iter().any(|name| name.starts_with('.'))
        });
        worked += u32::from(push.kill9());
        let whole = is_there();
        assert_eq!(whole, object.exists());
        begun(&cluster, &["wal", "push", &path]).ends();
        assert!(is_there());
    }
    assert!(worked > 3, "{worked} were killed at work");
}

/// Everything in a folder was written days ago.
fn ages(folder: &Path) {
    let days_ago = SystemTime::now() - Duration::from_secs(3 * 24 * 3600);
    for name in names(folder) {
        let path = folder.join(name);
        if path.is_dir() {
            ages(&path);
        } else {
            let file = File::options().write(true).open(&path).expect("opened");
            file.set_modified(days_ago).expect("set");
        }
    }
}

#[test]
fn an_expiry_that_is_killed_while_it_removes_is_done_again() {
    const LEFT_OVER: usize = 2000;
    let cluster = one().set("backup.keep", "last", "1").set("backup.keep", "within", "\"1s\"");
    let cluster = cluster.set("backup.keep", "wal", "\"1s\"").start();
    let node = &cluster.nodes()[0];
    for _ in 0..3 {
        node.sql("create table if not exists t (g int)").expect("made");
        node.sql("insert into t select generate_series(1, 1000) g").expect("written");
        cluster.howdah_ok(&["backup", "--full"]);
        node.sql("select pg_switch_wal()").expect("switched");
    }
    is_kept(&cluster);
    // Packs of a backup that was given up, too.
    let backups = lineage(&cluster).join("backups");
    let given_up = backups.join("20200101-000000");
    fs::create_dir(&given_up).expect("made");
    for number in 0..LEFT_OVER {
        fs::write(given_up.join(format!("pack-{number}")), "").expect("written");
    }
    howdah_testkit::pg_node::give_away_all(&given_up);
    ages(&backups);
    let wal = lineage(&cluster).join("wal/00000001");
    ages(&wal);
    let goes = |count: usize| {
        cluster.wait_for("the first backups are old", SOON, || {
            let said = cluster.howdah_ok(&["expire", "--dry-run"]);
            said.contains(&format!("backups that go: {count},")).then_some(())
        });
    };
    goes(2);
    let wal_before = names(&wal).len();
    let left_over = || names(&given_up).len();
    let killed = |what: &str, seen: &dyn Fn() -> bool| {
        let mut expire = begun(&cluster, &["expire"]);
        at_once(what, seen);
        assert!(expire.kill9(), "{what}: it had ended");
        lease_ends(&cluster);
        cluster.howdah_ok(&["verify", "--all"]);
    };
    killed("a manifest is gone", &|| {
        let there = |label: &String| backups.join(label).join("manifest").exists();
        names(&backups).iter().filter(|label| there(label)).count() < 3
    });
    assert!((1..=2).contains(&listed(&cluster)));
    killed("packs are being removed", &|| left_over() < LEFT_OVER * 3 / 4);
    assert!(left_over() > 0);
    assert_eq!((listed(&cluster), names(&wal).len()), (1, wal_before));
    cluster.howdah_ok(&["expire"]);
    assert_eq!((listed(&cluster), left_over()), (1, 0));
    assert!(names(&wal).len() < wal_before);
    cluster.howdah_ok(&["verify", "--all"]);
    cluster.howdah_ok(&["backup"]);
    let server = restored(&cluster, "latest");
    assert_eq!(server.query("select count(*) from t"), ["3000"]);
}
