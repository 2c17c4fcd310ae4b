//! The whole cluster to a moment, where each node has a machine of its own: only the one that leads ends and
//! is held. The others go on, take nothing over, and are made anew from what it serves then.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use howdah_testkit::{Cluster, Node, Scratch, Setup, Writer};

use crate::{ROWS_WITHIN, three};

const MINUTE: Duration = Duration::from_secs(60);
/// Of a shutdown and a start, on a busy machine.
const OUTAGE_MAX: Duration = Duration::from_secs(60);

/// A repository that all machines reach, as they would a mounted folder.
fn with_repository(setup: Setup) -> (Setup, Scratch) {
    let scratch = Scratch::new();
    let folder = scratch.path().join("archive");
    fs::create_dir(&folder).expect("made");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("open to the servers");
    let place = format!("{:?}", folder.join("shop").display().to_string());
    (setup.set("backup", "repository", &place), scratch)
}

fn said(cluster: &Cluster, node: &Node, arguments: &[&str]) -> (bool, String) {
    let arguments = [&["restore", "--cluster"], arguments].concat();
    let output = cluster.howdah_on(node, &arguments);
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[track_caller]
fn refused(cluster: &Cluster, node: &Node, arguments: &[&str], why: &str) {
    let (is_done, text) = said(cluster, node, arguments);
    assert!(!is_done && text.contains(why), "{arguments:?}: {text}");
}

/// Carried out to its end; the service manager starts the node again that ends for it.
#[track_caller]
fn done(cluster: &Cluster, node: &Node, arguments: &[&str]) -> String {
    let agent = node.agent_pid();
    let arguments = [&["restore", "--cluster", "--yes"], arguments].concat();
    let verb = cluster.howdah_begun_on(node, &arguments);
    cluster.wait_for("the node ends for it", MINUTE, || {
        (node.agent_pid() != agent || node.agent_end().is_some()).then_some(())
    });
    let end = node.agent_end().expect("it has ended");
    assert_eq!(end.code(), Some(75), "a service manager starts it again");
    node.start();
    let output = verb.end();
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}\n{}", cluster.seen());
    text
}

fn standbys_have(cluster: &Cluster, sql: &str, wanted: &str) {
    cluster.wait_for("the standbys follow", MINUTE, || {
        let has = |node: &&Node| node.sql(sql).is_ok_and(|answer| answer.trim() == wanted);
        cluster.standbys().iter().all(has).then_some(())
    });
}

fn now(node: &Node) -> String {
    let sql = "select to_char(clock_timestamp() at time zone 'UTC', \
               'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')";
    node.sql(sql).expect("the time").trim().to_owned()
}

fn goes_and_comes_back(setup: Setup) {
    let (setup, _archive) = with_repository(setup);
    let cluster = setup.start();
    let primary = cluster.primary();
    let client = Writer::start(cluster.plan());
    client.wait_for_rows(50, ROWS_WITHIN);
    primary.sql("create table t as select g from generate_series(1, 20000) g").expect("made");
    let backed_up = cluster.howdah_on(primary, &["backup"]);
    assert!(backed_up.status.success(), "{}", String::from_utf8_lossy(&backed_up.stderr));
    let (before_at, before) = (Instant::now(), format!("time={}", now(primary)));
    client.wait_for_rows(100, ROWS_WITHIN);
    primary.sql("drop table t").expect("dropped");
    client.wait_for_rows(150, ROWS_WITHIN);

    let standby = cluster.standbys()[0];
    refused(&cluster, standby, &["--to", &before, "--yes"], "leads, on another machine");
    // As soon as its WAL is in the repository.
    cluster.wait_for("it can be reached", MINUTE, || {
        let (is_done, text) = said(&cluster, primary, &["--to", &before, "--dry-run"]);
        is_done.then(|| assert!(text.contains("others serve the data of before"), "{text}"))
    });
    let text = done(&cluster, primary, &["--to", &before]);
    assert!(text.contains("serves; writes stopped for"), "{text}");
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, primary.name, "nobody took over");
    let count = "select count(*) from t";
    assert_eq!(primary.sql(count).expect("it is back").trim(), "20000");
    standbys_have(&cluster, count, "20000");
    let after_at = Instant::now();
    let rows = client.journal().acknowledged.len();
    client.wait_for_rows(rows + 50, ROWS_WITHIN);
    let journal = client.stop();
    let there = howdah_testkit::writer::rows(&cluster.plan()).expect("read");
    for row in journal.missing_from(&there) {
        let of = journal.acknowledged.iter().find(|one| one.number == row).expect("it was");
        assert!(of.at > before_at && of.at < after_at, "row {row} is missing");
    }
    let longest = journal.longest_gap(before_at).map(|gap| gap.length);
    eprintln!("clients wrote nothing for {longest:?}");
    assert!(longest.is_some_and(|gap| gap < OUTAGE_MAX), "{longest:?}");

    // And back, where what was done since is not there any more, on all machines.
    primary.sql("create table later as select 2 as n").expect("made");
    refused(&cluster, standby, &["--undo"], "nothing to go back to");
    done(&cluster, primary, &["--undo"]);
    cluster.wait_whole();
    assert_eq!(cluster.primary().name, primary.name, "nobody took over");
    standbys_have(&cluster, "select count(*) from pg_class where relname in ('t', 'later')", "0");
    let (is_done, text) = said(&cluster, primary, &["--confirm", "--yes"]);
    assert!(is_done, "{text}");
    cluster.expect_error("relation \"t\" does not exist");
}

#[test]
fn the_machine_that_leads_takes_all_of_them_to_a_moment_and_back() {
    let Some(setup) = three() else { return };
    goes_and_comes_back(setup);
}

/// Where no voters count, one that holds more of the old history might be elected.
#[test]
fn in_async_nobody_takes_over_meanwhile_either() {
    let Some(setup) = three() else { return };
    goes_and_comes_back(setup.asynchronous());
}
