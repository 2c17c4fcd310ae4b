//! A table is dropped from a cluster under load, and one verb takes the whole running cluster to the moment
//! before: what was kept is confirmed, or gone back to; and whoever is killed at it leaves a word.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use howdah_testkit::{Cluster, Setup, Writer, process, writer};
use nix::sys::signal::Signal;

use crate::restored::{now, restored};
use crate::{ROWS_WITHIN, TAKEOVER_WITHIN};

const MINUTE: Duration = Duration::from_secs(60);
/// Of a shutdown and a start, on a busy machine.
const OUTAGE_MAX: Duration = Duration::from_secs(60);

fn two() -> Setup {
    Cluster::of(2, env!("CARGO_BIN_EXE_howdah")).set("backup", "repository", "\"archive/shop\"")
}

fn started(setup: Setup) -> Cluster {
    let cluster = setup.prepare();
    cluster.howdah_ok(&["up", "--detach"]);
    cluster.wait_whole();
    let plan = cluster.plan();
    cluster.wait_for("the role `app` is let in", MINUTE, || writer::query(&plan, "SELECT 1").ok());
    cluster
}

fn down(cluster: &Cluster) {
    cluster.howdah_ok(&["down"]);
    cluster.wait_for("no process of the cluster is left", MINUTE, || {
        process::working_on(&cluster.base_dir()).is_empty().then_some(())
    });
}

fn said(cluster: &Cluster, arguments: &[&str]) -> (bool, String) {
    let output = cluster.howdah(&[&["restore", "--cluster"], arguments].concat());
    let text =
        String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned();
    (output.status.success(), text)
}

#[track_caller]
fn done(cluster: &Cluster, arguments: &[&str]) -> String {
    let (is_done, text) = said(cluster, arguments);
    assert!(is_done, "{arguments:?}: {text}\n{}", cluster.seen());
    text
}

#[track_caller]
fn refused(cluster: &Cluster, arguments: &[&str], why: &str) {
    let (is_done, text) = said(cluster, arguments);
    assert!(!is_done && text.contains(why), "{arguments:?}: {text}");
}

fn gaps(cluster: &Cluster) -> Vec<PathBuf> {
    let lineages = fs::read_dir(cluster.scratch().join("archive/shop")).expect("listed");
    let gaps = lineages.map(|entry| entry.expect("listed").path().join("wal/gaps"));
    gaps.filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .map(|entry| entry.expect("listed").path())
        .collect()
}

/// Folders of a node's that are not its data directory's.
fn kept(data_dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(data_dir.parent().expect("a folder")).expect("listed");
    let names = entries.filter_map(|entry| entry.expect("listed").file_name().into_string().ok());
    let mut kept: Vec<String> = names.filter(|name| name.starts_with("data.before-")).collect();
    kept.sort();
    kept
}

fn timeline(cluster: &Cluster) -> u32 {
    let sql = "select timeline_id from pg_control_checkpoint()";
    cluster.primary().sql(sql).expect("asked").trim().parse().expect("a number")
}

/// One row a number that is asked for: whether the standby has what the primary has.
fn standby_has(cluster: &Cluster, sql: &str, wanted: &str) {
    cluster.wait_for("the standby follows", MINUTE, || {
        let standby = *cluster.standbys().first()?;
        (standby.sql(sql).ok()?.trim() == wanted).then_some(())
    });
}

#[test]
fn a_dropped_table_is_back_in_the_running_cluster_by_one_verb() {
    let cluster = started(two());
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    let primary = cluster.primary();
    primary.sql("create table t as select g from generate_series(1, 20000) g").expect("made");
    cluster.howdah_ok(&["backup"]);
    primary.sql("insert into t values (0)").expect("written");
    let before_at = Instant::now();
    let before = format!("time={}", now(&cluster));
    client.wait_for_rows(100, ROWS_WITHIN);
    primary.sql("drop table t").expect("dropped");
    client.wait_for_rows(150, ROWS_WITHIN);
    let old = timeline(&cluster);

    refused(&cluster, &["--to", "latest"], "is where the cluster is now");
    refused(&cluster, &["--to", "lsn=FF/0"], "ends before the target");
    refused(&cluster, &["--to", "time=2999-01-01T00:00:00Z"], "yet to come");
    refused(&cluster, &["--to", &before], "nothing was changed");
    refused(&cluster, &["--confirm"], "nothing to confirm");
    refused(&cluster, &["--undo"], "nothing to go back to");
    refused(&cluster, &["--continue"], "no switch-over was interrupted");
    let plan = done(&cluster, &["--to", &before, "--dry-run"]);
    assert!(plan.contains("data.before-") && plan.contains("from backup"), "{plan}");
    assert!(primary.sql("select 1 from t").is_err(), "nothing was done yet");

    let text = done(&cluster, &["--to", &before, "--yes"]);
    assert!(text.contains("serves; writes stopped for"), "{text}");
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, primary.name);
    assert!(timeline(&cluster) > old, "a timeline of its own");
    let count = "select count(*) from t";
    assert_eq!(primary.sql(count).expect("it is back").trim(), "20001");
    standby_has(&cluster, count, "20001");
    let after_at = Instant::now();
    let rows = client.journal().acknowledged.len();
    client.wait_for_rows(rows + 50, ROWS_WITHIN);
    primary.sql("create table u as select 1 as n").expect("written");
    standby_has(&cluster, "select n from u", "1");
    let journal = client.stop();
    let there = writer::rows(&cluster.plan()).expect("read");
    for row in journal.missing_from(&there) {
        let of = journal.acknowledged.iter().find(|one| one.number == row).expect("it was");
        assert!(of.at > before_at && of.at < after_at, "row {row} is missing");
    }
    let longest = journal.longest_gap(before_at).map(|gap| gap.length);
    println!("clients wrote nothing for {longest:?}");
    assert!(longest.is_some_and(|gap| gap < OUTAGE_MAX), "{longest:?}");

    // What comes after it: backups, moments before and after, and no hole that is none.
    refused(&cluster, &["--to", &before], "the last one still keeps the cluster as it was until");
    cluster.howdah_ok(&["backup"]);
    let after = format!("time={}", now(&cluster));
    primary.sql("drop table u").expect("dropped");
    let server = restored(&cluster, &before);
    assert_eq!(server.query(count), ["20001"]);
    assert!(server.query("select 1 from pg_class where relname = 'u'").is_empty());
    drop(server);
    let server = restored(&cluster, &after);
    assert_eq!(server.query("select n from u"), ["1"]);
    drop(server);
    cluster.howdah_ok(&["expire"]);
    cluster.howdah_ok(&["verify"]);
    assert!(gaps(&cluster).is_empty(), "{:?}", gaps(&cluster));

    assert_eq!(kept(&primary.data_dir).len(), 1);
    assert!(cluster.howdah_ok(&["status"]).contains("kept: the cluster as it was until"));
    done(&cluster, &["--confirm", "--yes"]);
    assert!(!cluster.howdah_ok(&["status"]).contains("kept:"));
    assert_eq!(kept(&primary.data_dir), [""; 0]);
    refused(&cluster, &["--undo"], "nothing to go back to");
    cluster.expect_error("relation \"t\" does not exist");
    down(&cluster);
}

#[test]
pub fn the_way_back_is_open_until_it_is_confirmed() {
    // Where nobody waits for a standby, one that holds more of the old history might be elected.
    let cluster = started(two().asynchronous());
    let primary = cluster.primary();
    primary.sql("create table t as select 1 as n").expect("made");
    cluster.howdah_ok(&["backup"]);
    primary.sql("select pg_create_restore_point('fine')").expect("named");
    primary.sql("drop table t").expect("dropped");
    primary.sql("create table later as select 2 as n").expect("made");
    crate::wal_kept::is_kept(&cluster);
    // What is found out by PostgreSQL only, at the end of all WAL.
    let postmaster = primary.postmaster_pid();
    refused(&cluster, &["--to", "name=nowhere", "--yes"], "recovery ended before");
    assert_eq!(primary.postmaster_pid(), postmaster, "nothing was stopped");
    assert!(!primary.data_dir.with_extension("restoring").exists());
    done(&cluster, &["--to", "name=fine", "--yes"]);
    cluster.wait_whole();
    let first = timeline(&cluster);
    assert_eq!(primary.sql("select n from t").expect("it is back").trim(), "1");
    assert!(primary.sql("select n from later").is_err());
    primary.sql("create table u as select 3 as n").expect("made");
    crate::wal_kept::is_kept(&cluster);

    done(&cluster, &["--undo", "--yes"]);
    cluster.wait_whole();
    let second = timeline(&cluster);
    assert!(second > first, "{second} after {first}");
    assert_eq!(primary.sql("select n from later").expect("as it was").trim(), "2");
    assert!(primary.sql("select n from t").is_err() && primary.sql("select n from u").is_err());
    standby_has(&cluster, "select n from later", "2");
    primary.sql("create table again as select 4 as n").expect("made");
    crate::wal_kept::is_kept(&cluster);
    cluster.howdah_ok(&["backup"]);
    let server = restored(&cluster, "latest");
    let tables = server.query(
        "select relname from pg_class where relname in ('t', 'u', 'later', 'again') order by 1",
    );
    assert_eq!(tables, ["again", "later"]);
    drop(server);
    assert!(gaps(&cluster).is_empty(), "{:?}", gaps(&cluster));

    // And forth once more, for it was kept in its turn.
    done(&cluster, &["--undo", "--yes"]);
    cluster.wait_whole();
    assert_eq!(primary.sql("select n from u").expect("as it was").trim(), "3");
    assert_eq!(kept(&primary.data_dir).len(), 1);
    done(&cluster, &["--confirm", "--yes"]);
    ["t", "u", "later"].iter().for_each(|table| {
        cluster.expect_error(&format!("relation \"{table}\" does not exist"));
    });
    down(&cluster);
}

/// Where it is written down how far it is: with the first node.
fn state_dir_of(cluster: &Cluster) -> PathBuf {
    cluster.base_dir().join("nodes/n1/state")
}

/// Begins, and is killed as soon as `path` is there.
fn killed_when(cluster: &Cluster, path: &Path) {
    let verb = cluster.howdah_begun(&["restore", "--cluster", "--to", "name=fine", "--yes"]);
    cluster.wait_for("it has come that far", MINUTE, || path.exists().then_some(()));
    process::signal(verb.pid(), Signal::SIGKILL);
    drop(verb.end());
}

#[test]
pub fn whoever_is_killed_at_it_leaves_a_word_and_nothing_that_writes() {
    let cluster = started(two());
    let primary = cluster.primary();
    primary.sql("create table t as select 1 as n").expect("made");
    cluster.howdah_ok(&["backup"]);
    primary.sql("select pg_create_restore_point('fine')").expect("named");
    primary.sql("drop table t").expect("dropped");
    crate::wal_kept::is_kept(&cluster);
    let state_dir = cluster.base_dir().join("nodes").join(&primary.name).join("state");

    // While it restores beside, the cluster serves, and nothing is left to mend.
    let postmaster = primary.postmaster_pid();
    killed_when(&cluster, &primary.data_dir.with_extension("restoring"));
    assert_eq!(primary.postmaster_pid(), postmaster);
    refused(&cluster, &["--continue"], "no switch-over was interrupted");

    // While the nodes end: it is given up.
    killed_when(&cluster, &state_dir.join("held"));
    refused(&cluster, &["--to", "name=fine", "--yes"], "--continue");
    refused(&cluster, &["--confirm"], "a switch-over was interrupted");
    done(&cluster, &["--undo", "--yes"]);
    cluster.wait_whole();
    assert!(primary.sql("select n from t").is_err(), "as it was");
    primary.sql("create table later as select 2 as n").expect("it writes");

    // While the directories change their places: each place they may be at, and both ways from there.
    let journal = state_dir_of(&cluster).join("moment.json");
    let begins = |moved: usize| {
        killed_when(&cluster, &state_dir.join("held"));
        let text = fs::read_to_string(&journal).expect("it says how far it is");
        let path = |name: &str| {
            let from = text.split(&format!("\"{name}\": \"")).nth(1).expect("it is there");
            PathBuf::from(from.split('"').next().expect("quoted"))
        };
        // Killed before it had told all of them.
        let pids = cluster.nodes().iter().filter_map(|node| node.agent_pid());
        pids.for_each(|pid| process::signal(pid, Signal::SIGINT));
        cluster.wait_for("the nodes have ended", MINUTE, || {
            cluster.nodes().iter().all(|node| node.agent_pid().is_none()).then_some(())
        });
        let data_dir = primary.data_dir.clone();
        let moves = [(data_dir.clone(), path("aside")), (path("beside"), data_dir)];
        moves[..moved].iter().for_each(|(from, to)| fs::rename(from, to).expect("moved"));
    };
    for moved in [1, 2] {
        begins(moved);
        if moved == 2 {
            // The machine was started anew: the store too comes from nodes that are held.
            down(&cluster);
        }
        for verb in [&["up", "--detach"][..], &["status"]] {
            let text = cluster.howdah(verb).stderr;
            assert!(
                String::from_utf8_lossy(&text).contains("--continue"),
                "{verb:?} says what to do"
            );
        }
        done(&cluster, &["--undo", "--yes"]);
        cluster.wait_whole();
        assert_eq!(primary.sql("select n from later").expect("as it was").trim(), "2");
        assert_eq!(kept(&primary.data_dir), [""; 0]);
    }
    for moved in [0, 1, 2] {
        begins(moved);
        done(&cluster, &["--continue"]);
        cluster.wait_whole();
        assert_eq!(primary.sql("select n from t").expect("it is back").trim(), "1");
        // It had done everything, but had not written that down.
        let text = fs::read_to_string(&journal).expect("it is there");
        let before = text.replace("\"phase\": \"kept\"", "\"phase\": \"switching\"");
        assert_ne!(before, text);
        fs::write(&journal, before).expect("written");
        refused(&cluster, &["--undo", "--yes"], "all but done");
        done(&cluster, &["--continue"]);
        done(&cluster, &["--undo", "--yes"]);
        done(&cluster, &["--confirm", "--yes"]);
        cluster.wait_whole();
        assert_eq!(primary.sql("select n from later").expect("as it was").trim(), "2");
    }
    standby_has(&cluster, "select n from later", "2");
    // All done, but the nodes were not let go.
    fs::write(state_dir.join("held"), "").expect("written");
    done(&cluster, &["--continue"]);
    assert!(!state_dir.join("held").exists());
    cluster.expect_error("relation \"t\" does not exist");
    down(&cluster);
}

#[test]
fn a_cluster_that_fails_over_meanwhile_is_left_alone() {
    let cluster = started(two());
    let primary = cluster.primary();
    primary.sql("create table t as select 1 as n").expect("made");
    cluster.howdah_ok(&["backup"]);
    crate::wal_kept::is_kept(&cluster);
    let restoring = primary.data_dir.with_extension("restoring");
    let verb = cluster.howdah_begun(&["restore", "--cluster", "--to", "immediate", "--yes"]);
    cluster.wait_for("it restores", MINUTE, || restoring.exists().then_some(()));
    verb.freeze();
    primary.sql("create table later as select 2 as n").expect("written");
    let old = primary.name.clone();
    primary.kill9_everything();
    let new = cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
    cluster.wait_whole();
    verb.thaw();
    let output = verb.end();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("meanwhile"), "{text}");
    assert_eq!(new.sql("select n from later").expect("as it was").trim(), "2");
    refused(&cluster, &["--undo"], "nothing to go back to");
    down(&cluster);
}
