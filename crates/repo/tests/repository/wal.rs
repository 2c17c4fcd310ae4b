//! WAL is kept once, whole or in chunks, and read back as far as it is there.

use bytes::Bytes;
use howdah_base::{Lsn, Timeline, WalFile};
use howdah_repo::name::Gap;
use howdah_repo::{Put, RepoError};

use crate::places::{Place, lineage};

const SIZE: u32 = 1 << 20;

fn segment(number: u64) -> WalFile {
    WalFile::of(Timeline(1), Lsn(number * u64::from(SIZE)), u64::from(SIZE))
}

fn wal(number: u8) -> Bytes {
    (0..SIZE).map(|at| (at / 100) as u8 ^ number).collect()
}

async fn is_kept_once(place: Place) {
    let lineage = lineage(&place).await;
    let (first, second) = (segment(1), segment(2));
    assert!(lineage.get_segment(&first, SIZE).await.expect_err("absent").is_absent());
    assert_eq!(lineage.put_segment(&first, wal(1), SIZE).await.expect("kept"), Put::New);
    assert_eq!(lineage.put_segment(&first, wal(1), SIZE).await.expect("again"), Put::Same);
    assert_eq!(lineage.put_segment(&first, wal(2), SIZE).await.expect("other"), Put::Other);
    let short = lineage.put_segment(&second, wal(2).slice(1..), SIZE).await.expect_err("short");
    assert!(matches!(short, RepoError::Refused { .. }), "{short}");
    let found = lineage.get_segment(&first, SIZE).await.expect("there");
    assert!(found.whole && found.bytes == wal(1));

    // Chunks: in any order, with an overlap, and with a hole behind which nothing counts.
    let all = wal(2);
    for (from, to) in [(500_000, 700_000), (0, 300_000), (900_000, 1_000_000), (200_000, 500_000)] {
        let bytes = all.slice(from as usize..to as usize);
        assert_eq!(lineage.put_chunk(&second, from, bytes).await.expect("kept"), Put::New);
    }
    let same = lineage.put_chunk(&second, 0, all.slice(..300_000)).await.expect("again");
    assert_eq!(same, Put::Same);
    let found = lineage.get_segment(&second, SIZE).await.expect("a part");
    assert!(!found.whole);
    assert_eq!(found.bytes.len(), 700_000);
    assert!(found.bytes == all[..700_000]);

    let listed = lineage.segments(Timeline(1), None).await.expect("listed");
    let reach: Vec<_> = listed.iter().map(|s| (s.segment.clone(), s.reach(SIZE))).collect();
    assert_eq!(reach, [(first.clone(), SIZE), (second.clone(), 700_000)]);
    let from = lineage.segments(Timeline(1), Some(&second)).await.expect("listed");
    assert_eq!(from, listed[1..]);
    assert_eq!(lineage.timelines().await.expect("listed"), [Timeline(1)]);

    let early = lineage.remove_chunks(&second).await.expect_err("not whole yet");
    assert!(early.is_absent(), "{early}");
    assert_eq!(lineage.put_segment(&second, all.clone(), SIZE).await.expect("whole"), Put::New);
    lineage.remove_chunks(&second).await.expect("removed");
    let listed = lineage.segments(Timeline(1), None).await.expect("listed");
    assert!(listed.iter().all(|s| s.chunks.is_empty() && s.whole.is_some()), "{listed:?}");
    assert!(lineage.get_segment(&second, SIZE).await.expect("there").bytes == all);
}

#[tokio::test]
async fn wal_is_kept_once_in_a_directory() {
    is_kept_once(Place::directory()).await;
}

#[tokio::test]
async fn wal_is_kept_once_in_s3() {
    is_kept_once(Place::s3()).await;
}

#[tokio::test]
async fn histories_and_gaps_are_kept_beside_it() {
    let place = Place::directory();
    let lineage = lineage(&place).await;
    let text = || Bytes::from_static(b"1\t0/3000000\tno recovery target specified\n");
    assert_eq!(lineage.put_history(Timeline(2), text()).await.expect("kept"), Put::New);
    assert_eq!(lineage.put_history(Timeline(2), text()).await.expect("again"), Put::Same);
    let other = lineage.put_history(Timeline(2), Bytes::from_static(b"x")).await.expect("other");
    assert_eq!(other, Put::Other);
    assert_eq!(lineage.get_history(Timeline(2)).await.expect("there"), text());
    assert!(lineage.get_history(Timeline(3)).await.expect_err("absent").is_absent());
    assert_eq!(lineage.histories().await.expect("listed"), [Timeline(2)]);
    let gap = Gap { timeline: Timeline(2), from: Lsn(0x300_0000), to: Lsn(0x400_0000) };
    assert!(lineage.put_gap(gap).await.expect("kept"));
    assert!(!lineage.put_gap(gap).await.expect("known"));
    assert_eq!(lineage.gaps().await.expect("listed"), [gap]);
    assert_eq!(lineage.timelines().await.expect("listed"), [], "a gap is no timeline");
}

#[tokio::test]
async fn what_was_changed_in_the_storage_is_found() {
    let place = Place::directory();
    let lineage = lineage(&place).await;
    lineage.put_segment(&segment(1), wal(1), SIZE).await.expect("kept");
    lineage.put_segment(&segment(2), wal(2), SIZE).await.expect("kept");
    let Place::Directory(folder) = &place else { return };
    let path = |number| {
        folder.path().join("repository").join(lineage.id().segment(&segment(number)).as_str())
    };
    let (one, other) =
        (std::fs::read(path(1)).expect("read"), std::fs::read(path(2)).expect("read"));
    let mut flipped = one.clone();
    flipped[one.len() / 2] ^= 1;
    for (what, planted) in [
        ("another segment", other),
        ("a bit", flipped),
        ("its end", one[..one.len() - 1].to_vec()),
        ("nothing", Vec::new()),
        ("more", [one.as_slice(), b"x"].concat()),
    ] {
        std::fs::write(path(1), planted).expect("planted");
        let error = lineage.get_segment(&segment(1), SIZE).await.expect_err(what);
        assert!(matches!(error, RepoError::Damaged { .. }), "{what}: {error}");
    }
    std::fs::write(path(1), one).expect("healed");
    lineage.get_segment(&segment(1), SIZE).await.expect("there");
}

#[tokio::test]
async fn the_cluster_file_is_kept_when_it_changes() {
    let place = Place::directory();
    let lineage = lineage(&place).await;
    assert_eq!(lineage.cluster_file().await.expect("answers"), None);
    for (text, number) in [("a", 0), ("a", 0), ("b", 1), ("a", 2)] {
        assert_eq!(lineage.put_cluster_file(text).await.expect("kept"), number);
        let kept = lineage.cluster_file().await.expect("answers");
        assert_eq!(kept, Some((number, text.to_owned())));
    }
    assert_eq!(lineage.about().await.expect("read").cluster, "demo");
    let lineages = lineage.repository().lineages().await.expect("listed");
    assert_eq!(lineages, [lineage.id()]);
}
