//! What cannot be done with backups is refused: what happened, where, what to do next; and nothing is
//! touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_testkit::{Cluster, Disk};

use crate::restored::now;
use crate::wal_kept::is_kept;

const SOON: Duration = Duration::from_secs(30);

/// All files but WAL, which goes on being written.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("listed") {
        let path = entry.expect("listed").path();
        let size = fs::metadata(&path).expect("there").len();
        match path.is_dir() {
            true if path.ends_with("wal") => {}
            true => found.extend(files(&path)),
            false => found.push((path, size)),
        }
    }
    found.sort();
    found
}

struct Story {
    cluster: Cluster,
    repository: PathBuf,
    into: PathBuf,
}

impl Story {
    fn refused(&self, arguments: &[&str], parts: &[&str]) {
        self.refused_by(&self.cluster, arguments, parts);
    }

    fn refused_by(&self, cluster: &Cluster, arguments: &[&str], parts: &[&str]) {
        let before = files(&self.repository);
        let output = cluster.howdah(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?}: {said}");
        for part in parts.iter().chain(&["hint:"]) {
            assert!(said.contains(part), "{arguments:?}: `{part}` is not in:\n{said}");
        }
        assert_eq!(files(&self.repository), before, "{arguments:?}");
        assert!(!self.into.exists(), "{arguments:?}");
    }

    fn no_restore(&self, arguments: &[&str], parts: &[&str]) {
        let into = self.into.display().to_string();
        self.refused(&[&["restore", "--into", &into], arguments].concat(), parts);
    }

    fn cipher(&mut self, word: &str) {
        self.cluster.file.set("backup", "cipher", &format!("\"{word}\""));
        self.cluster.write_file();
    }

    /// What every verb says that needs the repository.
    fn nothing_works(&self, cluster: &Cluster, parts: &[&str]) {
        let into = self.into.display().to_string();
        for arguments in [&["restore", "--into", &into][..], &["backups"], &["verify"], &["expire"]]
        {
            self.refused_by(cluster, arguments, parts);
        }
    }
}

fn story() -> Story {
    let cluster = Cluster::of(1, env!("CARGO_BIN_EXE_howdah"))
        .set("backup", "repository", "\"archive/shop\"")
        .start();
    let scratch = cluster.scratch();
    let (repository, into) = (scratch.join("archive/shop"), scratch.join("back"));
    Story { cluster, repository, into }
}

#[test]
fn what_cannot_be_done_is_told_and_touches_nothing() {
    let mut story = story();
    let cluster = &story.cluster;
    let node = cluster.primary();
    node.sql("create table t as select generate_series(1, 1000) g").expect("made");
    is_kept(cluster);
    story.no_restore(&[], &["no backup"]);
    story.refused(&["verify"], &["no backup"]);
    let (early, before) = (now(cluster), lsn(cluster));
    cluster.howdah_ok(&["backup"]);
    let (unknown, older) = ("no such backup: `none`", "before the oldest backup");
    story.no_restore(&["--backup", "none"], &[unknown]);
    story.refused(&["verify", "none"], &[unknown]);
    let today = &early[..10];
    story.no_restore(&["--to", &format!("time={early}")], &[older, &format!(", on {today}T")]);
    story.no_restore(&["--to", &format!("lsn={before}")], &[older]);
    story.refused(&["backups", "--lineage", "0000000000000000"], &["no such lineage"]);
    story.refused(&["backup", "--node", "n9"], &["no such node: `n9`", "the nodes are n1"]);
    missing(&story);
    no_place(&story);
    no_key(&story);
    other_cipher(&mut story);
    other_repository(&mut story);
    anothers(&story);
    // At the end: it is WAL that never comes back.
    gap(&story);
}

/// A manifest that somebody took away is missed by every verb that would have used it, and nothing is
/// removed until it is back or given up.
fn missing(story: &Story) {
    let Story { cluster, repository, .. } = story;
    let labels = || {
        let lineages =
            fs::read_dir(repository).expect("listed").map(|entry| entry.expect("listed"));
        let backups = lineages.map(|entry| entry.path().join("backups")).find(|path| path.exists());
        backups.expect("a lineage")
    };
    let names = || {
        let listed = fs::read_dir(labels()).expect("listed");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("listed").file_name();
        listed.map(name).collect::<Vec<_>>()
    };
    let before = names();
    cluster.howdah_ok(&["backup"]);
    let label = names().into_iter().find(|name| !before.contains(name)).expect("a new one");
    let (manifest, away) = (labels().join(&label).join("manifest"), cluster.scratch().join("away"));
    let label = label.into_string().expect("a label");
    let says = |arguments: &[&str], parts: &[&str]| {
        let output = cluster.howdah(arguments);
        let (out, err) = (&output.stdout, &output.stderr);
        let said = String::from_utf8_lossy(&[out.as_slice(), err].concat()).into_owned();
        for part in parts.iter().chain(&[&*label, "--give-up"]) {
            assert!(said.contains(part), "{arguments:?}: `{part}` is not in:\n{said}");
        }
        output.status.success()
    };
    story.refused(&["verify", "none"], &["no such backup"]);
    fs::rename(&manifest, &away).expect("taken away");
    let held = files(&labels());
    assert!(says(&["backups"], &["not green: ", "its manifest is missing"]));
    for verify in [&["verify"][..], &["verify", "--all"], &["verify", &label]] {
        assert!(!says(verify, &["/manifest", "it is missing", "cannot be restored"]));
    }
    assert!(!says(&["expire"], &["its manifest was taken away: nothing is removed"]));
    assert_eq!(files(&labels()), held);
    fs::rename(&away, &manifest).expect("put back");
    cluster.howdah_ok(&["verify", "--all"]);
    let output = cluster.howdah(&["expire", "--give-up", &label]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("is not missing"), "{said}");
    assert!(manifest.exists());
    fs::remove_file(&manifest).expect("removed");
    cluster.howdah_ok(&["expire", "--give-up", &label]);
    cluster.howdah_ok(&["expire"]);
    cluster.howdah_ok(&["verify", "--all"]);
}

fn lsn(cluster: &Cluster) -> String {
    cluster.primary().sql("select pg_current_wal_insert_lsn()").expect("asked")
}

fn no_place(story: &Story) {
    let cluster = &story.cluster;
    let full = cluster.scratch().join("full");
    fs::create_dir(&full).expect("made");
    fs::write(full.join("mine"), "precious").expect("written");
    let there = full.display().to_string();
    story.refused(&["restore", "--into", &there], &["not empty", &there]);
    story.refused(&["restore", "--delta", "--into", &there], &["no data directory", &there]);
    assert_eq!(fs::read_dir(&full).expect("listed").count(), 1);

    let disk = Disk::mount(&cluster.scratch().join("small"), 16).expect("root may mount");
    let there = disk.place().join("data").display().to_string();
    let place = disk.place().display().to_string();
    story.refused(&["restore", "--into", &there], &["MB are free", "MB are needed", &place]);
    assert_eq!(fs::read_dir(disk.place()).expect("listed").count(), 0);
}

fn no_key(story: &Story) {
    let key = story.cluster.base_dir().join("client/secrets/backup.key");
    let there = key.display().to_string();
    let away = key.with_extension("away");
    fs::rename(&key, &away).expect("moved");
    story.nothing_works(&story.cluster, &[&there]);
    story.refused(&["backup"], &[&there]);
    fs::rename(&away, &key).expect("back");
    let own = fs::read_to_string(&key).expect("read");
    let other: String = own.trim().chars().rev().collect();
    fs::write(&key, other).expect("written");
    story.nothing_works(&story.cluster, &["the key is not this repository's"]);
    fs::write(&key, own).expect("written");
    story.cluster.howdah_ok(&["backups"]);
}

/// It comes into force nowhere, and as long as the file says it, verbs tell that it counts for nothing.
fn other_cipher(story: &mut Story) {
    story.cipher("none");
    story.refused(&["apply"], &["cannot open the repository", "sealed with `aes-256-gcm`"]);
    let output = story.cluster.howdah(&["backups"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("says otherwise of `[backup]`"), "{said}");
    story.cipher("aes-256-gcm");
    let output = story.cluster.howdah(&["backups"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("says otherwise"), "in force");
}

/// Nobody looks at one repository and is told of another.
fn other_repository(story: &mut Story) {
    story.cluster.file.set("backup", "repository", "\"archive/other\"");
    story.cluster.write_file();
    story.nothing_works(&story.cluster, &["names another repository than the one in force"]);
    story.cluster.file.set("backup", "repository", "\"archive/shop\"");
    story.cluster.write_file();
    story.cluster.howdah_ok(&["backups"]);
}

/// A cluster that has never written there, and a folder that is no repository.
fn anothers(story: &Story) {
    let key = story.cluster.base_dir().join("client/secrets/backup.key");
    let other = |repository: &Path| {
        Cluster::of(1, env!("CARGO_BIN_EXE_howdah"))
            .set("", "cluster", "\"other\"")
            .set("backup", "repository", &format!("{:?}", repository.display().to_string()))
            .set("backup", "key", &format!("{{ file = {:?} }}", key.display().to_string()))
            .prepare()
    };
    let place = story.repository.display().to_string();
    story.nothing_works(&other(&story.repository), &["no WAL of `other`", &place]);
    let nowhere = story.cluster.scratch().join("nowhere");
    story.nothing_works(&other(&nowhere), &["no repository is there", "nowhere"]);
    assert_eq!(fs::read_dir(&nowhere).expect("listed").count(), 0);
}

fn gap(story: &Story) {
    let cluster = &story.cluster;
    let node = cluster.primary();
    let reached = lsn(cluster);
    let switch = || {
        node.sql("insert into t select generate_series(1, 1000)").expect("written");
        let name = "select pg_walfile_name(pg_current_wal_insert_lsn())";
        let name = node.sql(name).expect("asked");
        node.sql("select pg_switch_wal()").expect("switched");
        name
    };
    switch();
    let lost = switch();
    switch();
    let behind = lsn(cluster);
    is_kept(cluster);
    let lineages = fs::read_dir(&story.repository).expect("listed").flatten();
    let mut wal = lineages.map(|entry| entry.path().join("wal/00000001"));
    let wal = wal.find(|path| path.exists()).expect("the lineage's");
    let object = wal.join(&lost);
    cluster.wait_for("the segment is whole", SOON, || object.is_file().then_some(()));
    fs::remove_file(&object).expect("removed");
    let missing = "WAL is missing on timeline 1, from ";
    story.no_restore(&[], &[missing]);
    story.no_restore(&["--to", &format!("lsn={behind}")], &[missing]);
    let into = story.into.display().to_string();
    let dry = |to: &str| cluster.howdah_ok(&["restore", "--dry-run", "--into", &into, "--to", to]);
    dry(&format!("lsn={reached}"));
    // Where a moment lies is known when it is met: how far the way goes is said.
    let said = dry(&format!("time={}", now(cluster)));
    assert!(said.contains("recovery fails if the target lies behind it"), "{said}");
    let output = cluster.howdah(&["verify"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains("timeline 1"), "{said}");
    // From the next backup on there is a way again.
    cluster.howdah_ok(&["backup"]);
    is_kept(cluster);
    dry("latest");
}
