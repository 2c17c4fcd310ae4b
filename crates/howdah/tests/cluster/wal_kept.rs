//! With a repository, WAL of the cluster is there a moment after it was written: over a switchover, the
//! loss of a whole node, and promotions; and PostgreSQL gets it back by `howdah wal get`.

use std::time::Duration;

use howdah_testkit::{Cluster, Node, S3Server, http};

use crate::{TAKEOVER_WITHIN, three};

const SOON: Duration = Duration::from_secs(30);
const SEGMENT: u64 = 16 << 20;

fn started() -> Cluster {
    three().set("backup", "repository", "\"archive/shop\"").start()
}

/// Until all that the primary has flushed is in the repository; where that ends.
pub fn is_kept(cluster: &Cluster) -> u64 {
    let node = cluster.primary();
    node.sql("select pg_logical_emit_message(true, 'a', 'b')").expect("written");
    let end = node.sql("select pg_current_wal_flush_lsn() - '0/0'::pg_lsn").expect("asked");
    let end: u64 = end.parse().expect("a number");
    cluster.wait_for("its WAL is in the repository", SOON, || {
        (gauge(node, "howdah_archive_durable_lsn_bytes")? >= end as f64).then_some(())
    });
    end
}

fn gauge(node: &Node, name: &str) -> Option<f64> {
    let page = http::get(node.ports.http, "/metrics").ok()?.body;
    let line = page.lines().find(|line| line.starts_with(&format!("{name} ")))?.to_owned();
    line.rsplit(' ').next()?.parse().ok()
}

/// All WAL of the primary's timeline that is in its folder, up to `end`, as a restore would get it.
fn compare(cluster: &Cluster, end: u64) -> usize {
    let node = cluster.primary();
    let names = node
        .sql(&format!(
            "select string_agg(name, ' ' order by name) from pg_ls_waldir(), pg_control_checkpoint() \
             where name like lpad(upper(to_hex(timeline_id)), 8, '0') || '%' and length(name) = 24 \
             and name <= pg_walfile_name('0/0'::pg_lsn + {end})"
        ))
        .expect("asked");
    let into = cluster.scratch().join("got");
    // What was there before the repository was is not in it.
    let get = |name: &str| cluster.howdah(&["wal", "get", name, &into.display().to_string()]);
    let is_absent = |name: &&str| get(name).status.code() == Some(1);
    let names: Vec<&str> = names.split(' ').skip_while(is_absent).collect();
    for name in &names {
        let output = get(name);
        assert!(output.status.success(), "{name}: {output:?}");
        let got = std::fs::read(&into).expect("got");
        let file = std::fs::read(node.data_dir.join("pg_wal").join(name));
        let file = file.unwrap_or_else(|error| panic!("{name}: {error}"));
        let start = start_of(name);
        let len = usize::try_from(end.saturating_sub(start).min(SEGMENT)).expect("a length");
        assert_eq!(got.len(), file.len(), "{name}");
        assert!(got[..len] == file[..len], "{name} differs");
    }
    names.len()
}

/// Where a segment begins, bytes.
fn start_of(name: &str) -> u64 {
    let number = |digits: &str| u64::from_str_radix(digits, 16).expect("hexadecimal");
    (number(&name[8..16]) << 32) + number(&name[16..24]) * SEGMENT
}

#[test]
pub fn wal_is_kept_over_a_switchover_and_the_loss_of_a_node() {
    let cluster = started();
    let old = cluster.primary().name.clone();
    cluster.primary().sql("create table t as select generate_series(1, 100000) g").expect("made");
    let end = is_kept(&cluster);
    assert!(compare(&cluster, end) >= 1);

    cluster.howdah_ok(&["switchover"]);
    let second = cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
    second.sql("insert into t select generate_series(1, 100000)").expect("written");
    let end = is_kept(&cluster);
    assert!(compare(&cluster, end) >= 1);
    cluster.wait_whole();

    let old = cluster.primary().name.clone();
    cluster.primary().kill9_everything();
    let third = cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
    third.sql("insert into t select generate_series(1, 100000)").expect("written");
    let end = is_kept(&cluster);
    assert!(compare(&cluster, end) >= 1);

    // What is not there is told apart from what cannot be asked.
    let into = cluster.scratch().join("got").display().to_string();
    let absent = cluster.howdah(&["wal", "get", "0000000100000FFF000000FF", &into]);
    assert_eq!(absent.status.code(), Some(1), "{absent:?}");
    assert!(absent.stderr.is_empty(), "{absent:?}");
    let repository = cluster.scratch().join("archive/shop");
    std::fs::rename(&repository, repository.with_extension("away")).expect("renamed");
    let unknown = cluster.howdah(&["wal", "get", "000000010000000000000001", &into]);
    assert!(unknown.status.code() > Some(125), "{unknown:?}");
}

#[test]
pub fn wal_is_kept_in_s3_and_a_storage_that_hangs_is_told_and_holds_up_no_switchover() {
    let s3 = S3Server::start();
    let quoted = |text: &str| format!("\"{text}\"");
    let secret = "{ command = [\"printf\", \"secret\"] }";
    let cluster = three()
        .set("backup", "repository", &quoted(&format!("s3://{}/shop", S3Server::BUCKET)))
        .set("backup.s3", "endpoint", &quoted(&s3.endpoint()))
        .set("backup.s3", "access_key", secret)
        .set("backup.s3", "secret_key", secret)
        .start();
    cluster.primary().sql("create table t as select generate_series(1, 100000) g").expect("made");
    let end = is_kept(&cluster);
    assert!(compare(&cluster, end) >= 1);

    s3.freeze();
    let old = cluster.primary().name.clone();
    cluster.primary().sql("insert into t select generate_series(1, 100000)").expect("written");
    cluster.wait_for("the status tells it", Duration::from_secs(120), || {
        let text = cluster.howdah_ok(&["status"]);
        text.contains("WAL does not reach the repository").then_some(())
    });
    cluster.howdah_ok(&["switchover"]);
    cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
    s3.thaw();
    let end = is_kept(&cluster);
    assert!(compare(&cluster, end) >= 1);
}

#[test]
pub fn where_the_repository_was_no_new_one_is_made() {
    let cluster = started();
    is_kept(&cluster);
    let there = cluster.scratch().join("archive/shop");
    let away = there.with_extension("away");
    std::fs::rename(&there, &away).expect("renamed");
    let old = cluster.primary().name.clone();
    cluster.howdah_ok(&["switchover"]);
    cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
    cluster.wait_for("the status tells it", SOON, || {
        let text = cluster.howdah_ok(&["status"]);
        text.contains("is not in").then_some(())
    });
    assert!(!there.join("howdah-repository.json").exists());
    let _ = std::fs::remove_dir_all(&there);
    std::fs::rename(&away, &there).expect("renamed");
    is_kept(&cluster);
}
