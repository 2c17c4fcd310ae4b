//! Directories that change at random: what is restored of each backup is what was there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_repo::name::LineageId;
use howdah_repo::{Acquired, KeySource, LineageAbout, Repository, Storage, StorageOptions, Terms};
use howdah_testkit::Scratch;
use tokio::runtime::Runtime;

use super::*;
use crate::restore::plan::Target;
use crate::restore::write::{Action, Along, Destination, Recovery, restore};

const CHAINS: u64 = 12;
const BACKUPS: u64 = 5;
const OID: u32 = 16390;

#[test]
fn whatever_changes_each_backup_of_a_chain_is_the_directory() {
    for seed in 1..=CHAINS {
        let mut world = World::new(seed);
        for number in 0..BACKUPS {
            world.changes(if number == 0 { 25 } else { 10 });
            world.backs_up(number);
        }
        for number in 0..BACKUPS {
            world.compare(seed, number);
        }
    }
}

#[test]
fn what_has_not_changed_is_not_stored_again() {
    let mut world = World::new(5);
    world.changes(40);
    let large: Vec<u8> = (0..40_u64 << 20).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
    fs::write(world.path("data/whole"), &large).expect("written");
    fs::write(world.path("data/base/5/16500"), &large).expect("written");
    world.backs_up(0);
    let second = world.backs_up(1).about.statistics;
    // pg_control always is.
    assert_eq!(second.new, 8192, "{second:?}");
    let file = fs::File::options().write(true).open(world.path("data/base/5/16500"));
    file.expect("opened").write_all_at(&[0xAA], 17 << 20).expect("written");
    let third = world.backs_up(2).about.statistics;
    assert_eq!(third.new, 2 * 8192, "{third:?}");
    for number in 0..3 {
        world.compare(5, number);
    }
}

/// Half a gigabyte that does not compress, in one file, by four threads.
#[test]
fn memory_is_bounded_whatever_the_size() {
    let mut world = World::new(6);
    let file = fs::File::create(world.path("data/base/5/16400")).expect("made");
    for block in 0..512 {
        let bytes: Vec<u8> =
            (0..1 << 17).flat_map(|_| world.below(u64::MAX).to_le_bytes()).collect();
        file.write_all_at(&bytes, block << 20).expect("written");
    }
    let before = high_water();
    world.commits(0);
    let backup = high_water();
    world.restores(0);
    let restore = high_water();
    assert!(backup.max(restore) < 200 << 10, "{before} {backup} {restore} kB");
}

/// The most memory that this process ever had, in kB.
fn high_water() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("read");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("told");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

struct World {
    runtime: Runtime,
    lineage: Lineage,
    lease: Lease,
    scratch: Scratch,
    random: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let scratch = Scratch::new();
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        let address = scratch.path().join("repository").display().to_string();
        let (lineage, lease) = runtime.block_on(async {
            let address = address.parse().expect("an address");
            let storage = Storage::open(&StorageOptions::at(address)).expect("a folder");
            let repository = Repository::create(storage, &KeySource::None, 7, 0).await;
            let repository = repository.expect("made");
            let about = LineageAbout {
                cluster: "shop".to_owned(),
                system_identifier: 1,
                parent: None,
                segment_bytes: 16 << 20,
                created_ms: 0,
            };
            let (lasts, margin) = (Duration::from_secs(3600), Duration::from_secs(1));
            let terms = Terms { holder: "n1".to_owned(), lasts, margin };
            let Ok(Acquired::Held(lease)) = Lease::acquire(&repository, terms, now_ms()).await
            else {
                panic!("no lease");
            };
            (repository.begin_lineage(LineageId(3), &about).await.expect("begun"), lease)
        });
        let world = World { runtime, lineage, lease, scratch, random: seed };
        let root = world.path("data");
        let version = "PG_18_202506291";
        for folder in ["global", "base/5", "pg_xact", "pg_tblspc", "pg_wal", "pg_replslot/x"] {
            fs::create_dir_all(root.join(folder)).expect("made");
        }
        fs::create_dir_all(world.path(&format!("far/{version}/5"))).expect("made");
        symlink(world.path("far"), root.join(format!("pg_tblspc/{OID}"))).expect("linked");
        fs::write(root.join("global/pg_control"), control()).expect("written");
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    fn changes(&mut self, count: u64) {
        for _ in 0..count {
            let path = self.somewhere();
            let mut options = fs::File::options();
            options.create(true).truncate(false).read(true).write(true);
            let file = options.open(&path).expect("opened");
            let size = file.metadata().expect("there").len();
            match self.below(10) {
                0 => fs::remove_file(&path).expect("removed"),
                1 => file.set_len(size * self.below(4) / 4 / 8192 * 8192).expect("cut"),
                2 => file.set_len(size + self.below(9)).expect("ragged"),
                3..=5 if size > 0 => {
                    for _ in 0..1 + self.below(5) {
                        let page = self.below(size.div_ceil(8192)) * 8192;
                        let (at, byte) = (page + self.below(8192), self.below(256) as u8);
                        file.write_all_at(&[byte], at.min(size - 1)).expect("written");
                    }
                }
                _ => {
                    let large = self.below(25) == 0;
                    let pages = self.below(if large { 4500 } else { 60 });
                    let fill = self.below(1 << 20);
                    let pages = (0..pages).flat_map(|page| {
                        // Some pages are alike, some are zeros, some do not compress.
                        let word = (page % 7 * fill).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                        (0..1024_u64).map(move |at| {
                            word.rotate_left((at % 61) as u32) ^ word.wrapping_mul(at)
                        })
                    });
                    let bytes: Vec<u8> = pages.flat_map(u64::to_le_bytes).collect();
                    let at = size / 8192 * 8192;
                    file.write_all_at(&bytes, at).expect("written");
                }
            }
        }
    }

    /// A file of a relation, of a tablespace, of no relation, or one that no backup takes.
    fn somewhere(&mut self) -> PathBuf {
        let number = self.below(8);
        let path = match self.below(8) {
            0..=2 => format!("data/base/5/{}", 16400 + number),
            3 => format!("data/base/5/{}_fsm", 16400 + number),
            4 | 5 => format!("far/PG_18_202506291/5/{}.{}", 16400 + number, 1 + number % 2),
            6 => format!("data/pg_xact/{number:04X}"),
            _ => format!("data/base/5/t3_{}", 16400 + number),
        };
        self.path(&path)
    }

    fn backs_up(&self, number: u64) -> Report {
        let report = self.commits(number);
        for tree in ["data", "far"] {
            let kept = self.path(&format!("kept-{number}-{tree}"));
            let mut copy = std::process::Command::new("cp");
            assert!(
                copy.arg("-a").arg(self.path(tree)).arg(kept).status().expect("cp runs").success()
            );
        }
        report
    }

    fn commits(&self, number: u64) -> Report {
        let (data_dir, label) = (self.path("data"), label(number));
        let lsn = Lsn(100 + number);
        let facts = SourceFacts {
            version: 180_001,
            system_identifier: 1,
            in_recovery: false,
            behind: None,
            checksums: false,
            logs_hints: false,
            page_bytes: 8192,
            pages_per_file: 131_072,
            wal_segment_bytes: 16 << 20,
        };
        let history = History::root(Timeline(1));
        let start =
            Start { facts, label: label.clone(), history: history.clone(), lsn, started_ms: 0 };
        let tablespaces = format!("{OID} {}\n", self.path("far").display());
        let end = BackupEnd { stop: lsn, label: "LABEL".to_owned(), tablespaces };
        let ended = Ended {
            end,
            timeline: Timeline(1),
            stop_timeline: Timeline(1),
            history,
            stopped_ms: 0,
        };
        let wal_within = Duration::from_secs(1);
        let options = Options {
            label,
            jobs: 4,
            bytes_per_s: None,
            incremental: true,
            summaries: true,
            audit_percent: 1,
            wal_within,
        };
        let (told, _) = watch::channel(Progress::default());
        let stop = Stop::default();
        self.runtime.block_on(async {
            let found = look(&data_dir).await.expect("looked");
            let earlier = earlier(&self.lineage, &options, &start).await.expect("looked");
            let before = Before { earlier, changes: None };
            let lineage = &self.lineage;
            let prepared =
                prepare(lineage, &data_dir, &options, &told, &stop, &start, &found, before);
            let work = prepared.await.expect("prepared");
            copy::copy(&work, options.jobs).await.expect("copied");
            control::copy(&work).await.expect("copied");
            let packs = commit::finish(&work).await.expect("finished");
            let (lineage, lease) = (&self.lineage, &self.lease);
            let report = commit::commit(lineage, lease, &work, &start, &ended, found, packs).await;
            let report = report.expect("committed");
            assert_eq!(report.about.base.is_some(), number > 0);
            report
        })
    }

    fn restores(&self, number: u64) -> (PathBuf, PathBuf) {
        let data_dir = self.path(&format!("restored-{number}"));
        let far = self.path(&format!("restored-{number}-far"));
        let recovery = Recovery {
            restore_command: "false".to_owned(),
            target: Target::Latest,
            timeline: Along::Latest,
            action: Action::Promote,
        };
        let tablespaces = BTreeMap::from([(OID, far.clone())]);
        let to = Destination { data_dir: data_dir.clone(), tablespaces, jobs: 4, recovery };
        let (told, _) = watch::channel(Default::default());
        let restored = self.runtime.block_on(restore(&self.lineage, &label(number), &to, &told));
        restored.unwrap_or_else(|error| panic!("backup {number}: {error}"));
        (data_dir, far)
    }

    fn compare(&self, seed: u64, number: u64) {
        let (data_dir, far) = self.restores(number);
        let mut there = files(&data_dir);
        for made in ["recovery.signal", "backup_label", "postgresql.auto.conf", "tablespace_map"] {
            assert!(there.remove(made).is_some(), "{made}");
        }
        let mut before = files(&self.path(&format!("kept-{number}-data")));
        before.retain(|path, _| !path.contains("/t3_"));
        same(seed, number, &before, &there);
        let before = files(&self.path(&format!("kept-{number}-far")));
        same(seed, number, &before, &files(&far));
        fs::remove_dir_all(data_dir).expect("removed");
    }
}

#[track_caller]
fn same(
    seed: u64,
    number: u64,
    before: &BTreeMap<String, Vec<u8>>,
    there: &BTreeMap<String, Vec<u8>>,
) {
    let names: Vec<_> = before.keys().collect();
    assert_eq!(names, there.keys().collect::<Vec<_>>(), "seed {seed}, backup {number}");
    for (path, bytes) in before {
        assert!(there[path] == *bytes, "seed {seed}, backup {number}: {path} differs");
    }
}

fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            let meta = fs::symlink_metadata(&path).expect("there");
            if meta.is_dir() {
                folders.push(path);
            } else if meta.is_file() {
                let name = path.strip_prefix(root).expect("below").display().to_string();
                found.insert(name, fs::read(path).expect("read"));
            }
        }
    }
    found
}

fn label(number: u64) -> Label {
    format!("b{number}").parse().expect("a label")
}

/// As `global/pg_control` ends: a CRC-32C behind the fields, zeros behind it.
fn control() -> Vec<u8> {
    let mut bytes: Vec<u8> = (1..=200).collect();
    let crc = !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0x82F6_3B78 } else { 0 }
        })
    });
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.resize(8192, 0);
    bytes
}
