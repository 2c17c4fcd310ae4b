//! Puts, side by side, each tried until it is durable.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use howdah_base::{Lsn, WalFile};
use howdah_repo::name::Gap;
use howdah_repo::{Lineage, RepoError, pack};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::{ShipError, Shipped, say};
use crate::receive::{Command, Put};

/// A storage that says neither yes nor no for so long is told of.
const SILENT_AFTER: Duration = Duration::from_secs(10);
/// Puts that are under way at one moment; the receiver bounds what waits.
const SIDE_BY_SIDE: usize = 4;
const AGAIN_MIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(5);
/// Of a put that fails so often the stream is told, which begins anew where the repository ends.
const TRIES: u32 = 8;

/// See the module. Dropping it gives up what is under way.
pub struct Carriers {
    lineage: Lineage,
    told: watch::Sender<Shipped>,
    segment: u32,
    places: Arc<Semaphore>,
    under_way: JoinSet<Result<Option<Put>, ShipError>>,
}

impl Carriers {
    pub fn new(lineage: Lineage, segment: u64, told: watch::Sender<Shipped>) -> Carriers {
        Carriers {
            lineage,
            told,
            segment: u32::try_from(segment).unwrap_or(u32::MAX),
            places: Arc::new(Semaphore::new(SIDE_BY_SIDE)),
            under_way: JoinSet::new(),
        }
    }

    pub fn send(&mut self, command: Command) {
        let (lineage, segment) = (self.lineage.clone(), self.segment);
        let (places, told) = (Arc::clone(&self.places), self.told.clone());
        self.under_way.spawn(async move {
            let _place = places.acquire_owned().await;
            let mut carried = pin!(carry(&lineage, &told, segment, command));
            tokio::select! {
                carried = &mut carried => return carried,
                () = sleep(SILENT_AFTER) => {}
            }
            say(&format!("it has not answered for {} s", SILENT_AFTER.as_secs()), &told);
            carried.await
        });
    }

    /// The next one that is durable; may be given up and called again.
    pub async fn next(&mut self) -> Result<Put, ShipError> {
        loop {
            match self.under_way.join_next().await {
                None => std::future::pending().await,
                Some(Ok(Ok(Some(put)))) => return Ok(put),
                Some(Ok(Ok(None))) => {}
                Some(Ok(Err(error))) => return Err(error),
                Some(Err(ended)) => return Err(ShipError::Ended(ended.to_string())),
            }
        }
    }
}

/// One thing; `None` when nobody waits for it.
async fn carry(
    lineage: &Lineage,
    told: &watch::Sender<Shipped>,
    segment: u32,
    command: Command,
) -> Result<Option<Put>, ShipError> {
    match command {
        Command::PutHistory { put, timeline, content } => {
            let content = Bytes::from(content);
            let put_it = || lineage.put_history(timeline, content.clone());
            written(put, &format!("the history of timeline {timeline}"), again(told, put_it).await?)
        }
        Command::PutChunk { put, segment: file, from, bytes, .. } => {
            let bytes = Bytes::from(bytes);
            let from = u32::try_from(from).unwrap_or(u32::MAX);
            let put_it = || lineage.put_chunk(&file, from, bytes.clone());
            written(put, file.as_str(), again(told, put_it).await?)
        }
        Command::PutSegment { put, segment: file, bytes } => {
            let bytes = Bytes::from(bytes);
            let put_it = || lineage.put_segment(&file, bytes.clone(), segment);
            let became = written(put, file.as_str(), again(told, put_it).await?)?;
            let hashed = tokio::task::spawn_blocking(move || pack::hash(&bytes)).await;
            if let Ok(hash) = hashed {
                told.send_modify(|shipped| shipped.kept.add(lineage.id(), file, hash));
            }
            Ok(became)
        }
        Command::Compare { put, segment: file, bytes } => {
            let differs = again(told, || lineage.chunk_that_differs(&file, &bytes)).await?;
            match differs.and_then(|(at, _)| contradiction(&file, bytes.len(), at, segment)) {
                None => Ok(Some(put)),
                Some(error) => Err(error),
            }
        }
        Command::Gap { put, timeline, from, to } => {
            tracing::error!(
                "WAL is lost to the repository from {from} to {to} on timeline {timeline}: \
                 no restore leads over it; hint: howdah backup --full"
            );
            again(told, || lineage.put_gap(Gap { timeline, from, to })).await?;
            Ok(Some(put))
        }
        Command::DropChunks { segment } => {
            // What is left of them costs room only.
            if let Err(error) = lineage.remove_chunks(&segment).await {
                tracing::warn!("chunks of a whole segment stay in the repository: {error}");
            }
            Ok(None)
        }
        Command::FetchHistory { .. } | Command::Start { .. } | Command::ReportFlushed(_) => {
            Ok(None)
        }
    }
}

/// The repository's WAL of this segment ends where `len` bytes of it do, and nothing goes on there.
fn contradiction(file: &WalFile, len: usize, at: u32, segment: u32) -> Option<ShipError> {
    let (start, timeline) = (file.start(segment.into())?, file.timeline()?);
    let from = Lsn(start.0 + len as u64);
    let gap = Gap { timeline, from, to: Lsn(start.0 + u64::from(segment)) };
    Some(ShipError::Contradicts { at: Lsn(start.0 + u64::from(at)), gap })
}

fn written(put: Put, what: &str, became: howdah_repo::Put) -> Result<Option<Put>, ShipError> {
    match became {
        howdah_repo::Put::New | howdah_repo::Put::Same => Ok(Some(put)),
        howdah_repo::Put::Other => Err(ShipError::Other(what.to_owned())),
    }
}

/// Until it is done, or has failed too often.
async fn again<T, F>(told: &watch::Sender<Shipped>, attempt: impl Fn() -> F) -> Result<T, RepoError>
where
    F: Future<Output = Result<T, RepoError>>,
{
    let mut wait = AGAIN_MIN;
    for _ in 1..TRIES {
        match attempt().await {
            Err(error @ RepoError::Trouble { .. }) => {
                say(&error, told);
                sleep(wait).await;
            }
            other => return other,
        }
        wait = (wait * 2).min(AGAIN_MAX);
    }
    attempt().await
}
