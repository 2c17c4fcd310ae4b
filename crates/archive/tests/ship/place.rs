//! A repository in a folder of its own, and a server's WAL on its way there.

use std::path::PathBuf;
use std::time::Duration;

use howdah_archive::ship::{self, Shipped, Source};
use howdah_base::{Lsn, Timeline, WalFile};
use howdah_repo::name::LineageId;
use howdah_repo::{KeySource, Lineage, LineageAbout, Repository, Storage, StorageOptions};
use howdah_testkit::{PgNode, Scratch};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What takes longer is stuck.
const LONG: Duration = Duration::from_secs(40);
const SEGMENT: u32 = 16 << 20;

pub struct Place {
    pub runtime: Runtime,
    pub lineage: Lineage,
    folder: PathBuf,
    _scratch: Scratch,
}

impl Place {
    pub fn new() -> Place {
        Place::of_cluster(1)
    }

    /// For the cluster of a server that runs.
    pub fn of(node: &PgNode) -> Place {
        let id = &node.query("select system_identifier::text from pg_control_system()")[0];
        Place::of_cluster(id.parse().expect("a number"))
    }

    fn of_cluster(system_identifier: u64) -> Place {
        let scratch = Scratch::new();
        let folder = scratch.path().join("repository");
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
        let key = scratch.path().join("key");
        let lineage = runtime.block_on(async {
            let address = folder.display().to_string().parse().expect("an address");
            let storage = Storage::open(&StorageOptions::at(address)).expect("a folder");
            let source = Repository::make_key_file(&storage, &key).await.expect("a key");
            let repository = Repository::create(storage, &source, 7, 0).await.expect("made");
            assert!(matches!(source, KeySource::File(_)));
            let about = LineageAbout {
                cluster: "shop".to_owned(),
                system_identifier,
                segment_bytes: SEGMENT,
                parent: None,
                created_ms: 0,
            };
            repository.begin_lineage(LineageId(3), &about).await.expect("begun")
        });
        Place { runtime, lineage, folder, _scratch: scratch }
    }

    pub fn ships(&self, node: &PgNode) -> Ships {
        let (told, sees) = watch::channel(Shipped::default());
        let source = Source { socket_dir: node.socket_dir().to_owned(), port: node.port() };
        let lineage = self.lineage.clone();
        let task = self.runtime.spawn(async move { ship::keep(&lineage, &source, &told).await });
        Ships { sees, task }
    }

    /// Until everything below `end` is durable.
    pub fn reaches(&self, ships: &Ships, end: Lsn) -> Shipped {
        let reached = |shipped: &Shipped| shipped.durable.is_some_and(|at| at.lsn >= end);
        self.until(ships, &format!("{end} is durable"), reached)
    }

    #[track_caller]
    pub fn until(&self, ships: &Ships, what: &str, is_so: impl Fn(&Shipped) -> bool) -> Shipped {
        let mut sees = ships.sees.clone();
        let waited = self.runtime.block_on(async {
            timeout(LONG, sees.wait_for(is_so)).await.map(|seen| seen.expect("it ships").clone())
        });
        waited.unwrap_or_else(|_| panic!("not so: {what}, but {:?}", ships.sees.borrow()))
    }

    /// What a restore would have of a segment.
    pub fn segment(&self, timeline: u32, at: Lsn) -> Vec<u8> {
        let file = WalFile::of(Timeline(timeline), at, u64::from(SEGMENT));
        let segment = self.runtime.block_on(self.lineage.get_segment(&file, SEGMENT));
        segment.unwrap_or_else(|error| panic!("{file}: {error}")).bytes
    }

    /// Nobody reaches the repository until it is back.
    pub fn goes_away(&self) {
        std::fs::rename(&self.folder, self.folder.with_extension("away")).expect("renamed");
        std::fs::write(&self.folder, "in its place").expect("a file");
    }

    pub fn comes_back(&self) {
        std::fs::remove_file(&self.folder).expect("removed");
        std::fs::rename(self.folder.with_extension("away"), &self.folder).expect("renamed");
    }
}

/// A server's WAL on its way.
pub struct Ships {
    pub sees: watch::Receiver<Shipped>,
    task: JoinHandle<()>,
}

impl Ships {
    pub fn ends(self) {
        self.task.abort();
    }
}

pub fn lsn(node: &PgNode, sql: &str) -> Lsn {
    node.query(sql)[0].parse().expect("an LSN")
}

/// Compares with the server's own files, from the segment of `from` on.
#[track_caller]
pub fn compare(place: &Place, node: &PgNode, timeline: u32, from: Lsn, end: Lsn) -> usize {
    let names = WalFile::between(Timeline(timeline), from, end, u64::from(SEGMENT));
    for name in &names {
        let start = name.start(u64::from(SEGMENT)).expect("a segment");
        let kept = place.segment(timeline, start);
        let file = std::fs::read(node.data_dir().join("pg_wal").join(name.as_str()));
        let file = file.unwrap_or_else(|error| panic!("{name}: {error}"));
        let needed = usize::try_from(end.bytes_past(start)).unwrap_or(usize::MAX).min(file.len());
        assert!(kept.len() >= needed && file.starts_with(&kept), "{name} differs");
    }
    names.len()
}
