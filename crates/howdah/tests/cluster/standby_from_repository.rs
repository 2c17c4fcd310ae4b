//! A standby is made of the newest backup and WAL, so that no server is read for it; and of a server where
//! the repository cannot serve.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_base::record::ServerState;
use howdah_testkit::{Cluster, Node};

use crate::rejoin::leave_alone;
use crate::wal_kept::is_kept;
use crate::{TAKEOVER_WITHIN, three};

const MADE_WITHIN: Duration = Duration::from_secs(90);

fn started(standbys: &str) -> Cluster {
    let cluster = three()
        .set("backup", "repository", "\"archive/shop\"")
        .set("backup", "standbys", &format!("\"{standbys}\""))
        .set("backup.schedule", "backup", "\"off\"")
        .set("postgresql.parameters", "log_replication_commands", "true")
        .start();
    let rows = "select g, repeat(md5(g::text), 8) b from generate_series(1, 50000) g";
    cluster.primary().sql(&format!("create table t as {rows}")).expect("made");
    cluster
}

/// What any server of the cluster was asked for copies.
fn base_backups(cluster: &Cluster) -> usize {
    let logs = cluster.nodes().iter().flat_map(|node| files(&node.data_dir.join("log")));
    let texts = logs.map(|path| fs::read_to_string(path).unwrap_or_default());
    texts.map(|text| text.matches("received replication command: BASE_BACKUP").count()).sum()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("listed").path()).collect()
}

fn below(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in files(folder) {
        if path.is_dir() {
            found.extend(below(&path, name));
        } else if path.display().to_string().contains(name) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn identity(node: &Node) -> Option<String> {
    let status = node.own_status().ok()?;
    Some(status.member?.directory?.to_string())
}

/// Until another directory than `before` streams on `node`, and it holds what the primary does.
fn made_anew(cluster: &Cluster, node: &Node, before: Option<String>) {
    cluster.wait_for("another directory streams", MADE_WITHIN, || {
        let now = identity(node);
        (now != before && node.state() == Some(ServerState::Streaming)).then_some(())
    });
    cluster.wait_whole();
    let sum = "select count(*) || ' ' || sum(hashtext(t::text)) from t";
    let there = cluster.primary().sql(sum).expect("asked");
    cluster.wait_for("it holds what the primary holds", MADE_WITHIN, || {
        (node.sql(sum).ok()? == there).then_some(())
    });
}

fn standby(cluster: &Cluster) -> &Node {
    cluster.standbys()[0]
}

/// Nothing of how it came to be is left.
fn is_as_any_other(cluster: &Cluster, node: &Node) {
    let settings = "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings \
                    where name in ('restore_command', 'recovery_target_timeline', 'archive_mode', \
                    'recovery_target', 'recovery_target_lsn', 'recovery_target_action')";
    let others = cluster.standbys().into_iter().find(|other| other.name != node.name);
    let others = others.expect("another one").sql(settings).expect("asked");
    assert_eq!(node.sql(settings).expect("asked"), others);
    let system = "select system_identifier from pg_control_system()";
    assert_eq!(node.sql(system).ok(), cluster.primary().sql(system).ok());
    let there = |name: &str| node.data_dir.join(name).exists();
    assert!(there("standby.signal") && !there("recovery.signal") && !there("howdah-restore"));
    let slots = "select count(*) from pg_replication_slots where slot_name like 'howdah%' \
                 and (not active or restart_lsn < pg_current_wal_lsn() - 33554432)";
    cluster.wait_for("every slot is in use and holds little", MADE_WITHIN, || {
        cluster.primary().sql("select pg_switch_wal()").ok()?;
        (cluster.primary().sql(slots).ok()?.trim() == "0").then_some(())
    });
}

#[test]
fn a_lost_standby_is_made_of_a_backup_and_wal_over_a_failover_too() {
    let cluster = started("repository");
    let first = standby(&cluster).log_text();
    assert!(
        first.contains("cannot be made from the repository"),
        "there was no backup yet: {first}"
    );
    cluster.howdah_ok(&["backup"]);
    cluster
        .primary()
        .sql("insert into t select g, 'later' from generate_series(1, 999) g")
        .expect("t");
    is_kept(&cluster);
    let copies = base_backups(&cluster);
    assert!(copies >= 2, "{copies} copies are seen");

    let node = standby(&cluster);
    let before = identity(node);
    node.kill9_everything();
    let kept = base_backups(&cluster);
    fs::remove_dir_all(&node.data_dir).expect("its disk is lost");
    let kept = kept.min(base_backups(&cluster));
    node.start();
    made_anew(&cluster, node, before);
    assert_eq!(base_backups(&cluster), kept, "no server was read");
    assert!(node.log_text().contains("made from the repository, backup"), "{}", node.log_tail(40));
    is_as_any_other(&cluster, node);

    // The backup is of the timeline before.
    let old = cluster.primary().name.clone();
    cluster.primary().kill9_everything();
    cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
    cluster.node(&old).start();
    cluster.wait_whole();
    cluster
        .primary()
        .sql("insert into t select g, 'after' from generate_series(1, 99) g")
        .expect("t");
    let (node, kept) = (standby(&cluster), base_backups(&cluster));
    let before = identity(node);
    let made = node.log_text().matches("made from the repository, backup").count();
    cluster.howdah_ok(&["reinit", &node.name, "--from-repository"]);
    made_anew(&cluster, node, before);
    let now = node.log_text().matches("made from the repository, backup").count();
    assert_eq!(now, made + 1, "{}", node.log_tail(40));
    assert!(base_backups(&cluster) <= kept, "no server was read");
    is_as_any_other(&cluster, node);
}

#[test]
fn where_the_repository_cannot_serve_a_server_is_copied_and_it_is_said_why() {
    let cluster = started("primary");
    let copied = |why: &str| {
        let node = standby(&cluster);
        let (before, said) = (identity(node), node.log_text().len());
        cluster.howdah_ok(&["reinit", &node.name, "--from-repository"]);
        made_anew(&cluster, node, before);
        let log = node.log_text();
        let log = &log[said..];
        assert!(
            log.contains("cannot be made from the repository") && log.contains(why),
            "{why}: {log}"
        );
        assert!(log.contains("copied from `"), "{log}");
    };
    copied("no backup of this cluster");
    cluster.howdah_ok(&["backup"]);
    is_kept(&cluster);
    let repository = cluster.scratch().join("archive/shop");
    let aside = cluster.scratch().join("aside");
    let without = |path: &Path, why: &str| {
        fs::rename(path, &aside).expect("moved away");
        copied(why);
        fs::rename(&aside, path).expect("moved back");
    };
    let pack = below(&repository, "/pack-").swap_remove(0);
    without(&pack, "pack-");
    let key = cluster.base_dir().join("client/secrets/backup.key");
    let right = fs::read(&key).expect("a key");
    fs::write(&key, "0".repeat(64)).expect("another one");
    copied("key");
    fs::write(&key, right).expect("written");
    let segments = below(&repository, "/wal/");
    let newest = |path: &&PathBuf| path.parent().is_some_and(|folder| folder.ends_with("00000001"));
    let segment = segments.iter().rev().find(newest).expect("a segment");
    // A hole; or, if it is the last one as yet, an end that the leader's slot does not reach back to.
    without(segment, "WAL ");
    without(&repository, "no repository is there");
}

#[test]
fn a_making_that_is_cut_short_is_begun_anew() {
    let cluster = started("repository");
    cluster.howdah_ok(&["backup"]);
    is_kept(&cluster);
    let node = standby(&cluster);
    let before = identity(node);
    node.kill9_everything();
    fs::remove_dir_all(&node.data_dir).expect("its disk is lost");
    node.start();
    let frozen = || node.freeze_scheduled("make-standby");
    cluster.wait_for("it is at work", MADE_WITHIN, frozen);
    cluster.wait_for("it is told what it is made from", MADE_WITHIN, || {
        let told = cluster.howdah_ok(&["explain"]);
        told.contains("made from the repository").then_some(())
    });
    assert!(!node.data_dir.join("PG_VERSION").exists(), "half a directory is none");
    node.kill9_everything();
    let said = node.log_text().len();
    node.start();
    made_anew(&cluster, node, before);
    let log = &node.log_text()[said..];
    assert!(log.contains("made from the repository, backup"), "{log}");
    assert!(!node.data_dir.with_extension("copying").exists());

    // What it does is killed: a server is copied, and it is said so.
    let (before, said) = (identity(node), node.log_text().len());
    let asked = cluster.howdah_begun(&["reinit", &node.name]);
    cluster.wait_for("it is at work", MADE_WITHIN, frozen);
    node.kill9_scheduled("make-standby");
    asked.end();
    made_anew(&cluster, node, before);
    let log = &node.log_text()[said..];
    assert!(log.contains("cannot be made from the repository"), "{log}");
    assert!(log.contains("its process ended: signal: 9") && log.contains("copied from"), "{log}");
}

/// The repository has more of the old timeline than the new primary has.
#[test]
fn what_only_a_lost_primary_had_is_not_replayed() {
    let cluster = three()
        .asynchronous()
        .set("ha", "max_lag_on_failover", "\"1GB\"")
        .set("backup", "repository", "\"archive/shop\"")
        .set("backup", "standbys", "\"repository\"")
        .set("backup.schedule", "backup", "\"off\"")
        .start();
    let old = cluster.primary();
    old.sql("create table kept as select g from generate_series(1, 1000) g").expect("written");
    cluster.howdah_ok(&["backup"]);
    for standby in cluster.standbys() {
        cluster.wait_for("it is on every standby", MADE_WITHIN, || {
            (standby.sql("select count(*) from kept").ok()?.trim() == "1000").then_some(())
        });
    }
    leave_alone(&cluster, old);
    let rows = "select g, repeat(md5(g::text), 8) b from generate_series(1, 150000) g";
    old.sql(&format!("create table lost as {rows}")).expect("in async it goes on alone");
    old.sql("delete from kept").expect("written");
    is_kept(&cluster);
    let segments = below(&cluster.scratch().join("archive/shop"), "/wal/00000001/").len();
    assert!(segments >= 3, "{segments} segments of the first timeline");
    old.kill9_everything();
    fs::remove_dir_all(&old.data_dir).expect("its disk is lost too");
    for node in cluster.nodes().iter().filter(|node| node.name != old.name) {
        node.start();
    }
    let new = cluster.wait_for_other_primary(&old.name, TAKEOVER_WITHIN);
    new.sql("create table other as select 1").expect("written");
    old.start();
    cluster.wait_whole();
    let log = old.log_text();
    assert!(log.contains("made from the repository, backup"), "{}", old.log_tail(40));
    let tables = "select string_agg(relname, ' ' order by relname) || (select count(*) from kept) \
                  from pg_class where relname in ('kept', 'lost', 'other')";
    assert_eq!(old.sql(tables).expect("a standby").trim(), "kept other1000");
    assert!(!log.contains("rewind"), "it never left the history\n{}", old.log_tail(40));
}
