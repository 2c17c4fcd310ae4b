//! A backup is there once its manifest is, and only who holds the lease can commit one.

use std::time::Duration;

use howdah_base::{Lsn, Timeline};
use howdah_repo::backups::add_span;
use howdah_repo::manifest::{About, Content, FileEntry, MapRef, PackId, Piece, Statistics};
use howdah_repo::name::{Family, Label};
use howdah_repo::pack::hash;
use howdah_repo::page_map::{PageMap, Run, encode_sums, page_sum};
use howdah_repo::{Acquired, Lease, Manifest, RepoError, Repository, Terms};

use crate::places::{Place, lineage};

fn terms(holder: &str) -> Terms {
    let (lasts, margin) = (Duration::from_secs(60), Duration::from_secs(5));
    Terms { holder: holder.to_owned(), lasts, margin }
}

async fn held(repository: &Repository, holder: &str, now_ms: i64) -> Lease {
    match Lease::acquire(repository, terms(holder), now_ms).await.expect("answers") {
        Acquired::Held(lease) => lease,
        Acquired::Busy { holder, until_ms } => panic!("`{holder}` has it until {until_ms}"),
    }
}

fn about(label: &Label) -> About {
    About {
        label: label.to_string(),
        lineage: "0000000000000abc".to_owned(),
        system_identifier: 7_000_000_000_000_000_001,
        postgres_version: 150_004,
        timeline: Timeline(1),
        start_lsn: Lsn(0x200_0028),
        stop_lsn: Lsn(0x200_0138),
        stop_timeline: None,
        started_ms: 1,
        stopped_ms: 2,
        backup_label: "START WAL LOCATION: 0/2000028\n".to_owned(),
        tablespace_map: String::new(),
        tablespaces: Vec::new(),
        base: None,
        page_size: 8192,
        wal_segment_size: 16 << 20,
        tenure: 1,
        statistics: Statistics::default(),
        bad_pages: Vec::new(),
    }
}

/// Pages that compress, and differ from each other.
fn pages(count: usize) -> Vec<u8> {
    (0..count * 8192).map(|at| (at / 8192 * 31 + at % 7) as u8).collect()
}

async fn goes_in_and_comes_out(place: Place) {
    let lineage = lineage(&place).await;
    let label: Label = "20261122T131438Z".parse().expect("a label");
    let id = |family, number| PackId { label: label.clone(), family, number };
    let file = pages(100);

    // Frames of 32 pages, sealed by threads that end in whatever order.
    let mut pack = lineage.begin_pack(&id(Family::Pack, 0)).expect("begun");
    let sealer = pack.sealer();
    let mut sealed: Vec<_> = std::thread::scope(|scope| {
        let frames = file.chunks(32 * 8192).enumerate();
        let threads: Vec<_> = frames
            .map(|(number, frame)| {
                let sealer = sealer.clone();
                scope.spawn(move || sealer.seal(number as u32, frame))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("sealed")).collect()
    });
    sealed.reverse();
    sealed.into_iter().for_each(|frame| pack.push(frame));
    let small = pack.add(b"16384");
    let data = lineage.put_pack(&id(Family::Pack, 0), pack).await.expect("kept");

    let run = Run { first: 0, count: 100, pack: 0, frame: 0, page: 0 };
    let map = PageMap { packs: vec![id(Family::Pack, 0)], runs: vec![run] };
    let sums: Vec<u64> = file.chunks(8192).map(page_sum).collect();
    let mut maps = lineage.begin_pack(&id(Family::Map, 0)).expect("begun");
    let (runs, kept_sums) = (add_span(&mut maps, &map.encode()), encode_sums(&sums));
    let map_ref = MapRef { pack: 1, runs, sums: add_span(&mut maps, &kept_sums) };
    let maps = lineage.put_pack(&id(Family::Map, 0), maps).await.expect("kept");

    let entry = |path: &str, bytes: &[u8], content| FileEntry {
        path: path.to_owned(),
        size: bytes.len() as u64,
        mode: 0o600,
        mtime_ms: 3,
        hash: hash(bytes),
        content,
    };
    let piece = Piece { pack: 0, frame: small, at: 0, len: 5 };
    let manifest = Manifest {
        about: about(&label),
        packs: vec![data.clone(), maps.clone()],
        files: vec![
            entry("base/5/16384", &file, Content::Pages(map_ref)),
            entry("base/5/PG_VERSION", b"16384", Content::Whole(vec![piece])),
            entry("pg_wal", b"", Content::Folder),
        ],
    };
    assert_eq!(lineage.backups().await.expect("listed"), []);
    let lease = held(lineage.repository(), "n1", 1000).await;
    lineage.put_manifest(&lease, 2000, &label, &manifest).await.expect("committed");
    let twice = lineage.put_manifest(&lease, 2000, &label, &manifest).await.expect_err("twice");
    assert!(matches!(twice, RepoError::Taken { .. }), "{twice}");

    assert_eq!(lineage.backups().await.expect("listed"), std::slice::from_ref(&label));
    assert_eq!(lineage.about_backup(&label).await.expect("read"), manifest.about);
    let found = lineage.get_manifest(&label).await.expect("read");
    assert_eq!(found, manifest);
    let reader = lineage.open_pack(&found.packs[0]).await.expect("opened");
    let mut back = Vec::new();
    for stretch in reader.stretches(&[3, 1, 0, 2]).expect("there") {
        let fetched = reader.fetch(&stretch).await.expect("fetched");
        for place in &stretch.places {
            back.extend_from_slice(&reader.open(&stretch, &fetched, place).expect("opened"));
        }
    }
    assert!(back == file);
    assert_eq!(reader.frame(small).await.expect("read"), b"16384");
    assert!(reader.frame(99).await.is_err());
    let reader = lineage.open_pack(&found.packs[1]).await.expect("opened");
    assert_eq!(lineage.page_map(&reader, map_ref).await.expect("read"), map);
    assert_eq!(lineage.page_sums(&reader, map_ref).await.expect("read"), sums);

    // Without any manifest a pack still tells what it is: for what was not committed.
    let packs = lineage.packs_of(&label).await.expect("listed");
    assert_eq!(packs, [id(Family::Map, 0), id(Family::Pack, 0)]);
    assert_eq!(lineage.look_at_pack(&packs[1]).await.expect("looked").0, data);
}

#[tokio::test]
async fn a_backup_goes_into_a_directory_and_comes_out() {
    goes_in_and_comes_out(Place::directory()).await;
}

#[tokio::test]
async fn a_backup_goes_into_s3_and_comes_out() {
    goes_in_and_comes_out(Place::s3()).await;
}

#[tokio::test]
async fn the_lease_is_one_holders_until_it_ends() {
    let place = Place::directory();
    let repository = lineage(&place).await.repository().clone();
    let mut first = held(&repository, "n1", 0).await;
    let busy = Lease::acquire(&repository, terms("n2"), 60_000).await.expect("answers");
    assert!(matches!(busy, Acquired::Busy { until_ms: 60_000, .. }), "{busy:?}");
    first.confirm(54_999).await.expect("before the margin");
    let late = first.confirm(55_000).await.expect_err("within the margin");
    assert!(matches!(late, RepoError::LeaseLost { .. }), "{late}");
    let clone = first.clone();
    first.renew(50_000).await.expect("renewed");
    clone.confirm(100_000).await.expect("as far as it was renewed");
    assert_eq!((first.tenure(), first.until_ms()), (1, 110_000));
    // Past the end, but not past what clocks may be apart.
    let busy = Lease::acquire(&repository, terms("n2"), 115_000).await.expect("answers");
    assert!(matches!(busy, Acquired::Busy { .. }), "{busy:?}");
    let second = held(&repository, "n2", 115_001).await;
    assert!(second.tenure() > first.tenure());
    for lost in [first.confirm(60_000).await, first.renew(60_000).await] {
        let lost = lost.expect_err("told");
        assert!(matches!(lost, RepoError::LeaseLost { .. }), "{lost}");
    }
    second.release(120_000).await.expect("released");
    let third = held(&repository, "n3", 120_001).await;
    assert!(third.tenure() > 2);
    let left = repository.storage().list("leases", None).await.expect("listed");
    assert_eq!(left.len(), 1, "old epochs are tidied: {left:?}");
}

/// Epochs are tidied away, so a sleeper's next one may be free again: it must not count.
#[tokio::test]
async fn who_sleeps_through_others_epochs_does_not_win_a_tidied_one() {
    let place = Place::directory();
    let repository = lineage(&place).await.repository().clone();
    let mut sleeper = held(&repository, "n1", 0).await;
    let mut other = held(&repository, "n2", 100_000).await;
    other.renew(110_000).await.expect("renewed");
    other.renew(120_000).await.expect("renewed");
    let lost = sleeper.renew(125_000).await.expect_err("told");
    assert!(matches!(lost, RepoError::LeaseLost { .. }), "{lost}");
    other.confirm(125_000).await.expect("unharmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_ask_at_once_one_gets_the_lease() {
    let place = Place::directory();
    let repository = lineage(&place).await.repository().clone();
    let asking = (0..8).map(|number| {
        let repository = repository.clone();
        tokio::spawn(async move {
            let terms = terms(&format!("n{number}"));
            Lease::acquire(&repository, terms, 0).await.expect("answers")
        })
    });
    let mut held = 0;
    for asked in asking.collect::<Vec<_>>() {
        held += u32::from(matches!(asked.await.expect("ends"), Acquired::Held(_)));
    }
    assert_eq!(held, 1);
}

#[tokio::test]
async fn who_lost_the_lease_commits_nothing() {
    let place = Place::directory();
    let lineage = lineage(&place).await;
    let label: Label = "late".parse().expect("a label");
    let manifest = Manifest { about: about(&label), packs: Vec::new(), files: Vec::new() };
    let first = held(lineage.repository(), "n1", 0).await;
    let _second = held(lineage.repository(), "n2", 100_000).await;
    // By its own clock, which stood still, it would be in time.
    let lost = lineage.put_manifest(&first, 1, &label, &manifest).await.expect_err("told");
    assert!(matches!(lost, RepoError::LeaseLost { .. }), "{lost}");
    assert_eq!(lineage.backups().await.expect("listed"), []);
}

#[tokio::test]
async fn what_was_found_of_a_backup_is_kept_beside_it() {
    let place = Place::directory();
    let lineage = lineage(&place).await;
    let [label, other]: [Label; 2] = ["a", "a-1"].map(|label| label.parse().expect("a label"));
    for number in 0..12 {
        assert_eq!(lineage.put_proof(&label, b"fine").await.expect("kept"), number);
    }
    assert_eq!(lineage.put_proof(&other, b"other").await.expect("kept"), 0);
    assert_eq!(lineage.proofs(&label).await.expect("listed"), (0..12).collect::<Vec<_>>());
    assert_eq!(lineage.proofs(&other).await.expect("listed"), [0]);
    assert_eq!(lineage.get_proof(&other, 0).await.expect("read"), b"other");
}
