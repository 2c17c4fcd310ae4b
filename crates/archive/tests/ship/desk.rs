//! Single WAL files, brought and fetched at the agent's socket, beside a stream.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use howdah_archive::desk::{self, Answer, Desk, Lineages, NotFound, Request};
use howdah_archive::ship::Shipped;
use howdah_base::{Lsn, Timeline, WalFile};
use howdah_repo::Lineage;
use howdah_repo::name::LineageId;
use howdah_testkit::{PgNode, Scratch, majors, wait};
use tokio::sync::watch;

use crate::place::{Place, lsn};

const SEGMENT: u64 = 16 << 20;
const FLUSHED: &str = "select pg_current_wal_flush_lsn()";

struct Only(Lineage);

impl Lineages for Only {
    async fn find(&self, _: Option<LineageId>, _: Option<u64>) -> Result<Lineage, NotFound> {
        Ok(self.0.clone())
    }
}

/// A socket at which `place` answers.
struct Served {
    scratch: Scratch,
    socket: PathBuf,
    desk: Arc<Desk<Only>>,
}

impl Served {
    fn by(place: &Place, shipped: watch::Receiver<Shipped>) -> Served {
        let scratch = Scratch::new();
        let socket = scratch.path().join("archive.sock");
        let desk = Desk::new(Only(place.lineage.clone()), shipped, Duration::from_secs(1));
        let serving = Arc::clone(&desk);
        let listener = place.runtime.block_on(async { desk::listen(&socket) });
        let listener = listener.expect("it listens");
        place.runtime.spawn(async move { serving.serve(&listener).await });
        Served { scratch, socket, desk }
    }

    fn push(&self, path: &Path) -> Option<Answer> {
        desk::ask(&self.socket, &Request::Push { lineage: None, path: path.to_owned() })
    }

    fn get(&self, name: &WalFile) -> Option<Answer> {
        let path = self.got();
        desk::ask(&self.socket, &Request::Get { lineage: None, name: name.clone(), path })
    }

    fn got(&self) -> PathBuf {
        self.scratch.path().join("got")
    }
}

/// Writes whole segments; their names.
fn segments(node: &PgNode, count: u64) -> Vec<WalFile> {
    let from = lsn(node, FLUSHED);
    for _ in 0..count {
        node.query("select pg_logical_emit_message(true, 'a', repeat('x', 1000000))");
        node.query("select pg_switch_wal()");
    }
    let end = Lsn(lsn(node, FLUSHED).0 / SEGMENT * SEGMENT);
    WalFile::between(Timeline(1), from, end, SEGMENT)
}

fn file_of(node: &PgNode, name: &WalFile) -> PathBuf {
    node.data_dir().join("pg_wal").join(name.as_str())
}

fn is_refused(answer: Option<Answer>, says: &str) {
    match answer {
        Some(Answer::Refused { what, .. }) => assert!(what.contains(says), "{what}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_streamed_is_known_and_nobody_overwrites_it() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let place = Place::of(&node);
        let ships = place.ships(&node);
        let served = Served::by(&place, ships.sees.clone());
        place.until(&ships, "it has begun", |shipped| shipped.durable.is_some());
        let names = segments(&node, 3);
        // Not waited for: what is about to be durable is worth a moment.
        for name in &names {
            assert_eq!(served.push(&file_of(&node, name)), Some(Answer::Done), "{name}");
        }
        place.goes_away();
        let last = names.last().expect("written");
        assert_eq!(served.push(&file_of(&node, last)), Some(Answer::Done), "by its hash alone");
        let mut bytes = fs::read(file_of(&node, last)).expect("there");
        bytes[1 << 20] ^= 1;
        let other = served.scratch.path().join(last.as_str());
        fs::write(&other, &bytes).expect("written");
        is_refused(served.push(&other), "other content");
        place.comes_back();
        ships.ends();
        // And without the stream, by what the repository has.
        let alone = Served::by(&place, watch::channel(Shipped::default()).1);
        assert_eq!(alone.push(&file_of(&node, last)), Some(Answer::Done));
        is_refused(alone.push(&other), "the repository has other");
        let kept = place.segment(1, last.start(SEGMENT).expect("a segment"));
        assert!(kept == fs::read(file_of(&node, last)).expect("there"), "as it was");
    });
}

#[test]
fn whoever_replays_is_served_ahead_and_absent_is_not_unknown() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let place = Place::of(&node);
        let served = Served::by(&place, watch::channel(Shipped::default()).1);
        let names = segments(&node, 5);
        for name in &names {
            assert_eq!(served.push(&file_of(&node, name)), Some(Answer::Done), "{name}");
        }
        let mut known = |name: &WalFile| {
            assert_eq!(served.get(name), Some(Answer::Done), "{name}");
            let same = fs::read(served.got()).ok() == fs::read(file_of(&node, name)).ok();
            assert!(same, "{name} differs");
        };
        known(&names[0]);
        known(&names[1]);
        let ahead = || (served.desk.is_ahead_by() >= 3).then_some(());
        wait::until("the next ones are there", Duration::from_secs(20), ahead, String::new);
        place.goes_away();
        names[2..5].iter().for_each(&mut known);
        let unknown = served.get(&names[0]);
        assert!(matches!(unknown, Some(Answer::Failed(_))), "{unknown:?}");
        place.comes_back();
        known(&names[0]);
        let beyond: WalFile = "0000000100000FFF000000FF".parse().expect("a name");
        assert_eq!(served.get(&beyond), Some(Answer::Absent));
        let history: WalFile = "00000002.history".parse().expect("a name");
        assert_eq!(served.get(&history), Some(Answer::Absent));
    });
}

#[test]
fn another_clusters_segment_and_one_that_contradicts_chunks_are_refused() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        let place = Place::of(&node);
        let served = Served::by(&place, watch::channel(Shipped::default()).1);
        let names = segments(&node, 2);
        let bytes = fs::read(file_of(&node, &names[0])).expect("there");
        let mut chunk = bytes[..4096].to_vec();
        chunk[4000] ^= 1;
        let put = place.runtime.block_on(place.lineage.put_chunk(&names[0], 0, chunk.into()));
        put.expect("put");
        is_refused(served.push(&file_of(&node, &names[0])), "other WAL of this segment");
        let kept = place.segment(1, names[0].start(SEGMENT).expect("a segment"));
        assert_eq!(kept.len(), 4096, "the chunk alone is there");
        // Its system identifier.
        let mut foreign = fs::read(file_of(&node, &names[1])).expect("there");
        foreign[24] ^= 1;
        let path = served.scratch.path().join(names[1].as_str());
        fs::write(&path, foreign).expect("written");
        is_refused(served.push(&path), "another server's");
        // Nobody is there.
        let away = served.scratch.path().join("none.sock");
        let request = Request::Push { lineage: None, path };
        assert_eq!(desk::ask(&away, &request), None);
    });
}
