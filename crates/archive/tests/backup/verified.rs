//! What is corrupt, cut off or missing in the repository is found and named, with what it means.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use howdah_archive::proof::{Fault, Verified};
use howdah_archive::verify::{self, Options, Progress, VerifyError, Which};
use howdah_testkit::{PgNode, majors};
use tokio::sync::watch;

use crate::place::Place;

#[test]
fn what_is_sound_passes_and_each_kind_of_damage_is_named() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let place = Place::of(&node);
        two_backups(&place, &node);
        let lineage = place.folder.join("0000000000000003");

        let sound = verified(&place, Which::All, 100.0);
        assert_eq!(sound.len(), 2);
        assert!(sound.iter().all(|(_, found)| found.passed), "{sound:?}");
        let full = &sound[0].1.counts;
        assert!(full.packs >= 2 && full.files > 500 && full.segments >= 1, "{full:?}");
        let bytes = fs::metadata(lineage.join("backups/full/pack-0")).expect("there").len();
        assert!(full.bytes > bytes, "{full:?}");

        // A byte within a frame, in the middle of a pack that both backups use.
        let pack = lineage.join("backups/full/pack-0");
        hurt(
            &pack,
            |path| flip(path, bytes / 2),
            || {
                let found = verified(&place, Which::All, 100.0);
                for (label, found) in &found {
                    let fault = of(found, "full/pack-0");
                    assert!(fault.what.contains("frame "), "{label}: {fault:?}");
                    assert!(fault.means.contains(&format!("backup `{label}` cannot")), "{fault:?}");
                    assert!(fault.next.contains("howdah backup --full"), "{fault:?}");
                }
                let mut frames = verified(&place, Which::Newest, 100.0).remove(0).1;
                assert_eq!((frames.passed, frames.faults_total), (false, 1), "{frames:?}");
                assert_eq!(frames.faults.remove(0).object.rsplit('/').next(), Some("pack-0"));
            },
        );
        // Its index, which a sample of nothing reads, too.
        hurt(
            &pack,
            |path| flip(path, bytes - 60),
            || {
                let found = verified(&place, Which::Newest, 0.0);
                assert!(of(&found[0].1, "full/pack-0").what.contains("index"), "{found:?}");
            },
        );
        hurt(
            &pack,
            |path| cut(path, bytes - 1),
            || {
                let found = verified(&place, Which::Newest, 0.0);
                let wanted = format!("it has {} bytes, where {bytes} were written", bytes - 1);
                assert_eq!(of(&found[0].1, "full/pack-0").what, wanted);
            },
        );
        hurt(&lineage.join("backups/second/map-0"), remove, || {
            let found = verified(&place, Which::All, 100.0);
            assert!(found[0].1.passed, "the older one does not use it: {found:?}");
            let fault = of(&found[1].1, "second/map-0");
            assert!(fault.what.contains("missing") && fault.means.contains("base/"), "{fault:?}");
        });
        hurt(
            &lineage.join("backups/second/manifest"),
            |path| flip(path, 300),
            || {
                let found = verified(&place, Which::Newest, 5.0);
                assert!(of(&found[0].1, "second/manifest").means.contains("cannot be restored"));
            },
        );
        // One that is gone altogether was committed, and nobody expired it.
        hurt(&lineage.join("backups/second/manifest"), remove, || {
            let second = || Which::Of("second".parse().expect("a label"));
            for (which, place_of) in [(Which::All, 1), (Which::Newest, 0), (second(), 0)] {
                let found = verified(&place, which, 100.0);
                let fault = of(&found[place_of].1, "second/manifest");
                assert_eq!((found.len(), &*fault.what), (place_of + 1, "it is missing"));
                assert!(fault.next.contains("howdah expire --give-up second"), "{fault:?}");
            }
        });
        assert!(verified(&place, Which::All, 100.0).iter().all(|(_, found)| found.passed));
    });
}

#[test]
fn wal_that_is_missing_or_corrupt_is_told_with_what_is_out_of_reach() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let place = Place::of(&node);
        two_backups(&place, &node);
        let folder = place.folder.join("0000000000000003/wal/00000001");
        let segments = whole_segments(&folder);
        let (first, own) = (segments.first().expect("some"), own_segment(&place, &folder));
        assert_ne!(*first, own);
        hurt(&own, remove, || {
            let found = verified(&place, Which::All, 0.0);
            let (full, second) = (&found[0].1, &found[1].1);
            assert!(full.faults[0].means.contains("no moment behind"), "{full:?}");
            assert!(second.faults[0].means.contains("needs this WAL"), "{second:?}");
            assert!(second.faults[0].object.contains("timeline 1, from "), "{second:?}");
        });
        hurt(
            &own,
            |path| flip(path, 200),
            || {
                let found = verified(&place, Which::Newest, 0.0);
                let fault = &found[0].1.faults[0];
                assert!(
                    own.ends_with(fault.object.rsplit('/').next().expect("a name")),
                    "{fault:?}"
                );
                assert!(fault.means.contains("needs this WAL"), "{fault:?}");
            },
        );
        assert!(verified(&place, Which::All, 100.0).iter().all(|(_, found)| found.passed));
    });
}

#[test]
fn what_is_not_there_is_no_backup() {
    let place = Place::of_cluster(7);
    let fails = |which| match try_verify(&place, which, 100.0) {
        Err(error) => error.to_string(),
        Ok(found) => panic!("{found:?}"),
    };
    assert!(fails(Which::Newest).contains("there is no backup\nhint: howdah backup"));
    assert!(fails(Which::All).contains("there is no backup"));
    let label = "none".parse().expect("a label");
    assert!(fails(Which::Of(label)).contains("no such backup: `none`"));
}

/// `full`, then WAL of several segments, then `second`, which uses its packs.
fn two_backups(place: &Place, node: &PgNode) {
    let ships = place.ships(node);
    node.query(
        "create table t as select g, repeat(md5(g::text), 4) b from generate_series(1, 60000) g",
    );
    place.backs_up(node, "full");
    for _ in 0..3 {
        node.query("update t set g = g + 1 where g % 1000 = 0");
        node.query("select pg_switch_wal()");
    }
    place.backs_up(node, "second");
    node.query("select pg_switch_wal()");
    node.query("update t set g = g + 1 where g = 5");
    place.reaches(&ships, node);
    drop(ships);
}

fn try_verify(
    place: &Place,
    which: Which,
    percent: f64,
) -> Result<Vec<(String, Verified)>, VerifyError> {
    let (told, _) = watch::channel(Progress::default());
    let options = Options { which, percent, seed: 7, jobs: 2 };
    let found = place.runtime.block_on(verify::verify(&place.lineage, &options, &told))?;
    let mut found: Vec<(String, Verified)> =
        found.into_iter().map(|(label, found)| (label.to_string(), found)).collect();
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

#[track_caller]
fn verified(place: &Place, which: Which, percent: f64) -> Vec<(String, Verified)> {
    try_verify(place, which, percent).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn of<'f>(found: &'f Verified, name: &str) -> &'f Fault {
    let fault = found.faults.iter().find(|fault| fault.object.ends_with(name));
    assert!(!found.passed);
    fault.unwrap_or_else(|| panic!("{name}: {found:?}"))
}

/// Damages an object, looks, and brings it back.
fn hurt(path: &Path, damage: impl FnOnce(&Path), look: impl FnOnce()) {
    let whole = fs::read(path).expect("there");
    damage(path);
    look();
    fs::write(path, whole).expect("back");
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options().read(true).write(true).open(path).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 0x10], at).expect("written");
}

fn cut(path: &Path, bytes: u64) {
    let file = fs::File::options().write(true).open(path).expect("opened");
    file.set_len(bytes).expect("cut");
}

fn remove(path: &Path) {
    fs::remove_file(path).expect("removed");
}

/// In order.
fn whole_segments(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("there").map(|entry| entry.expect("an entry").path());
    let mut found: Vec<PathBuf> = files.filter(|path| path.is_file()).collect();
    found.sort();
    found
}

/// The one where `second` begins.
fn own_segment(place: &Place, folder: &Path) -> PathBuf {
    let label = "second".parse().expect("a label");
    let about = place.runtime.block_on(place.lineage.about_backup(&label)).expect("there");
    let size = u64::from(about.wal_segment_size);
    folder.join(howdah_base::WalFile::of(about.timeline, about.start_lsn, size).as_str())
}
