//! What the stories share: a runtime, streams, and a reader that keeps what it hears.

use std::future::Future;
use std::time::Duration;

use howdah_base::{Lsn, Position, Timeline};
use howdah_postgres::PgError;
use howdah_postgres::replication::{Client, Event, Start, Stream};
use howdah_testkit::PgNode;
use tokio::time::timeout;

pub const SLOT: &str = "howdah_archive";
pub const SEGMENT: u64 = 16 << 20;
/// Longer than anything here takes on a busy machine.
const WITHIN: Duration = Duration::from_secs(60);

/// Runs a story's asynchronous part; a thread of its own goes on while the story blocks.
pub fn run<T>(story: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async { timeout(WITHIN, story).await.expect("it ends") })
}

/// Does something that blocks in a story's asynchronous part.
pub fn meanwhile<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

pub async fn client(node: &PgNode) -> Client {
    let client = Client::connect(node.socket_dir(), node.port(), "archive").await;
    client.expect("a replication connection")
}

/// A stream from `from`, through the slot.
pub async fn stream(node: &PgNode, from: Position) -> Stream {
    begin(node, from).await.expect("a stream")
}

pub async fn begin(node: &PgNode, from: Position) -> Result<Stream, PgError> {
    client(node).await.start(Start { slot: Some(SLOT), from }).await
}

/// Where the slot's segment begins.
pub async fn first(client: &mut Client) -> Position {
    let slot = client.slot(SLOT).await.expect("an answer").expect("a slot");
    let lsn = slot.restart.expect("it holds WAL");
    Position { timeline: Timeline(1), lsn: Lsn(lsn.0 / SEGMENT * SEGMENT) }
}

/// Reads until `end`, or until the timeline ends; everything must follow without a hole.
pub async fn read(
    stream: &mut Stream,
    kept: &mut Kept,
    end: Lsn,
) -> Result<Option<Event>, PgError> {
    while kept.end() < end {
        match stream.next().await? {
            Event::Wal { start, bytes, .. } => {
                assert_eq!(start, kept.end(), "a hole");
                kept.bytes.extend(bytes);
            }
            Event::KeepAlive { .. } => {}
            ends @ Event::TimelineEnds { .. } => return Ok(Some(ends)),
        }
    }
    Ok(None)
}

/// WAL as it came.
pub struct Kept {
    pub from: Lsn,
    pub bytes: Vec<u8>,
}

impl Kept {
    pub fn new(from: Lsn) -> Kept {
        Kept { from, bytes: Vec::new() }
    }

    pub fn end(&self) -> Lsn {
        Lsn(self.from.0 + self.bytes.len() as u64)
    }

    /// Compares with the server's own files; how many whole segments that were.
    #[track_caller]
    pub fn is_what_the_server_has(&self, node: &PgNode, timeline: Timeline) -> usize {
        let mut whole = 0;
        for (number, bytes) in self.bytes.chunks(SEGMENT as usize).enumerate() {
            let at = Lsn(self.from.0 + number as u64 * SEGMENT);
            let name = howdah_base::WalFile::of(timeline, at, SEGMENT);
            let file = node.data_dir().join("pg_wal").join(name.as_str());
            let file = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            assert!(file.starts_with(bytes), "{name} differs");
            whole += usize::from(bytes.len() as u64 == SEGMENT);
        }
        whole
    }
}
