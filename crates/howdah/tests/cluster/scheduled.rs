//! Backups by themselves: a new cluster takes its first one, on a standby; whoever does one may be killed,
//! and another node does it; what became of all that is told.

use std::time::Duration;

use howdah_base::backups::Backups;
use howdah_testkit::{Cluster, Node, Setup, http};

use crate::{TAKEOVER_WITHIN, three};

/// From the start of a cluster, or from the moment at which something is due.
const DONE_WITHIN: Duration = Duration::from_secs(60);
/// The lease of a node that is gone lasts for 60 s, and others wait for 10 s more.
const DONE_ELSEWHERE_WITHIN: Duration = Duration::from_secs(150);

fn with_backups(backup: &str) -> Setup {
    three()
        .set("backup", "repository", "\"archive/shop\"")
        .set("backup.schedule", "backup", backup)
        .set("backup.schedule", "verify", "\"off\"")
        .set("backup.schedule", "drill", "\"off\"")
}

fn backups(cluster: &Cluster) -> Option<Backups> {
    cluster.find_primary()?.status().ok()?.backups
}

/// What the schedule did: task, node and outcome of each run.
fn history(cluster: &Cluster) -> Vec<[String; 3]> {
    let text = cluster.howdah_ok(&["backups", "--history", "--format", "json"]);
    let rows: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| {
        ["task", "node", "outcome"].map(|key| row[key].as_str().unwrap_or("under way").to_owned())
    })
    .collect()
}

fn labels(cluster: &Cluster) -> usize {
    cluster.howdah_ok(&["backups", "--format", "json"]).matches("\"backup\"").count()
}

/// The backup is due from now on, and a node that does it is stopped in the middle.
fn stopped_in_the_middle(cluster: &Cluster, within: Duration) -> &Node {
    cluster.wait_for("a backup is under way", within, || {
        cluster.nodes().iter().find(|node| node.freeze_scheduled("backup").is_some())
    })
}

/// Turns the schedule of backups on in a cluster that has none yet.
fn turn_on(cluster: &mut Cluster) {
    cluster
        .primary()
        .sql("create table t as select g from generate_series(1, 500000) g")
        .expect("made");
    cluster.file.set("backup.schedule", "backup", "\"0 1 * * *\"");
    cluster.write_file();
    cluster.howdah_ok(&["apply"]);
}

#[test]
pub fn a_new_cluster_takes_its_first_backup_by_itself_on_a_standby_and_tells() {
    let cluster = with_backups("\"0 1 * * *\"").start();
    let told = cluster.wait_for("the first backup, and expiry after it", DONE_WITHIN, || {
        let expired = ["expire".to_owned(), "done".to_owned()];
        let is =
            history(&cluster).iter().any(|[task, _, end]| [task.clone(), end.clone()] == expired);
        backups(&cluster).filter(|told| is && told.last.is_some() && told.running.is_none())
    });
    let runs = history(&cluster);
    let [task, node, outcome] = &runs[0];
    assert_eq!((task.as_str(), outcome.as_str(), runs.len()), ("backup", "done", 2), "{runs:?}");
    let primary = cluster.primary();
    assert_ne!(node, &primary.name, "a standby has nothing better to do");
    assert_eq!(labels(&cluster), 1);

    let last = told.last.as_ref().expect("a backup");
    assert!(last.bytes > 1_000_000 && last.stored_bytes > 100_000, "{told:?}");
    assert!(told.stored_bytes >= last.stored_bytes && told.backups == 1, "{told:?}");
    assert!(told.next.iter().any(|next| next.task == "backup"), "{told:?}");
    let screen = cluster.wait_for("its WAL is there too", DONE_WITHIN, || {
        let screen = cluster.howdah_ok(&["status"]);
        screen.contains("WAL: all of it is in the repository").then_some(screen)
    });
    assert!(screen.contains(&format!("BACKUPS  last: {} at ", last.label)), "{screen}");
    assert!(screen.contains("all is well"), "{screen}");
    let page = http::get(primary.ports.http, "/metrics").expect("answers").body;
    for line in [
        "howdah_backups 1",
        "howdah_backup_last_age_seconds ",
        "howdah_backup_stored_bytes ",
        "howdah_archive_gaps 0",
        "howdah_archive_lag_seconds ",
        "howdah_schedule_runs{task=\"backup\",outcome=\"done\"} 1",
        "howdah_schedule_runs{task=\"expire\",outcome=\"done\"} 1",
    ] {
        assert!(page.contains(&format!("\n{line}")), "`{line}` is not in\n{page}");
    }
}

#[test]
pub fn a_backup_whose_process_and_then_whose_node_is_killed_is_done_elsewhere_once() {
    let mut cluster = with_backups("\"off\"").start();
    turn_on(&mut cluster);
    let first = stopped_in_the_middle(&cluster, DONE_WITHIN);
    first.kill9_scheduled("backup");
    let second = stopped_in_the_middle(&cluster, DONE_WITHIN);
    assert_ne!(first.name, second.name, "where it did not come off others go first");
    second.kill9_everything();

    cluster.wait_for("another node does it", DONE_ELSEWHERE_WITHIN, || {
        history(&cluster).iter().any(|[_, _, outcome]| outcome == "done").then_some(())
    });
    let runs = history(&cluster);
    let told: Vec<[&str; 3]> =
        runs.iter().map(|run| run.each_ref().map(String::as_str)).take(2).collect();
    let interrupted = |node| ["backup", node, "interrupted"];
    assert_eq!(told, [interrupted(&first.name), interrupted(&second.name)], "{runs:?}");
    assert_eq!(runs[2][0], "backup", "{runs:?}");
    assert_ne!(runs[2][1], second.name, "{runs:?}");
    assert_eq!(labels(&cluster), 1);
}

#[test]
pub fn a_switchover_to_the_node_that_backs_up_does_not_wait_for_it() {
    let mut cluster = with_backups("\"off\"").start();
    turn_on(&mut cluster);
    let busy = stopped_in_the_middle(&cluster, DONE_WITHIN);
    let old = cluster.primary().name.clone();
    cluster.howdah_ok(&["switchover", &busy.name]);
    let new = cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
    assert_eq!(new.name, busy.name);
    cluster.wait_for("another node does it", DONE_ELSEWHERE_WITHIN, || {
        history(&cluster).iter().any(|[_, _, outcome]| outcome == "done").then_some(())
    });
    let runs = history(&cluster);
    assert_eq!(runs[0], ["backup", &busy.name, "interrupted"], "{runs:?}");
    assert!(runs[1][1] != busy.name, "{runs:?}");
    assert_eq!(labels(&cluster), 1);
}
