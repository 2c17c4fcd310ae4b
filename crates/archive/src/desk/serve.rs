//! The side of the agent: one task a connection, one repository for all of them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use howdah_base::{Lsn, WalFile};
use howdah_postgres::wal::segment;
use howdah_repo::name::LineageId;
use howdah_repo::pack::Hash;
use howdah_repo::{Lineage, LineageAbout, RepoError};
use nix::unistd::Uid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::ahead::Ahead;
use super::fetch::{self, Fetched};
use super::local;
use super::store::{NotStored, check, store};
use super::talk::{Answer, BYTES_MAX, HERE, Request};
use crate::ship::Shipped;

/// How long a storage that gives no answer is asked again, as a rule.
pub const PATIENCE: Duration = Duration::from_secs(60);
const AGAIN_MIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(5);
/// PostgreSQL has one archiver and one that recovers.
const AT_ONCE: usize = 8;
const ASKED_WITHIN: Duration = Duration::from_secs(5);
/// What a stream brings itself, a moment later, is not brought twice.
const STREAM_WITHIN: Duration = Duration::from_secs(5);
/// What was fetched ahead and not asked for is forgotten.
const AHEAD_FOR: Duration = Duration::from_secs(60);

/// The repository's lineages, however they are found.
pub trait Lineages: Send + Sync + 'static {
    /// The one that is named; else this cluster's, of the server with that system identifier where
    /// one is known.
    fn find(
        &self,
        named: Option<LineageId>,
        system_identifier: Option<u64>,
    ) -> impl Future<Output = Result<Lineage, NotFound>> + Send;
}

/// Why there is no lineage to ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotFound {
    /// This node has no repository.
    None,
    /// It may be there a moment later.
    Trouble(String),
    Failed(String),
}

/// What all connections share.
#[derive(Debug)]
pub struct Desk<L> {
    lineages: L,
    shipped: watch::Receiver<Shipped>,
    abouts: Mutex<BTreeMap<LineageId, LineageAbout>>,
    ahead: Mutex<Ahead>,
    asked: watch::Sender<Instant>,
    patience: Duration,
}

impl<L: Lineages> Desk<L> {
    pub fn new(lineages: L, shipped: watch::Receiver<Shipped>, patience: Duration) -> Arc<Desk<L>> {
        let asked = watch::Sender::new(Instant::now());
        let (abouts, ahead) = (Mutex::default(), Mutex::default());
        Arc::new(Desk { lineages, shipped, abouts, ahead, asked, patience })
    }

    /// Segments in memory that nobody has asked for yet.
    pub fn is_ahead_by(&self) -> usize {
        locked(&self.ahead).arrived()
    }

    /// Answers until the future is dropped.
    pub async fn serve(self: &Arc<Self>, listener: &UnixListener) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let forget = self.forget();
        let accept = async {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                match listener.accept().await {
                    Ok((stream, _)) => {
                        let desk = Arc::clone(self);
                        tokio::spawn(async move {
                            desk.talk(stream).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!("nobody can ask for WAL at the moment: {error}");
                        sleep(AGAIN_MAX).await;
                    }
                }
            }
        };
        tokio::join!(accept, forget);
    }

    /// Lets go of what was fetched ahead, once nobody asks any more.
    async fn forget(&self) {
        let mut asked = self.asked.subscribe();
        while asked.changed().await.is_ok() {
            while let Ok(Ok(())) = timeout(AHEAD_FOR, asked.changed()).await {}
            if !locked(&self.ahead).is_empty() {
                locked(&self.ahead).clear();
            }
        }
    }

    async fn talk(&self, mut stream: UnixStream) {
        let own = |uid: u32| uid == Uid::effective().as_raw() || uid == 0;
        if !stream.peer_cred().is_ok_and(|peer| own(peer.uid())) {
            return;
        }
        let asked = async {
            stream.write_all(&[HERE]).await?;
            let mut bytes = Vec::new();
            (&mut stream).take(BYTES_MAX as u64).read_to_end(&mut bytes).await?;
            io::Result::Ok(bytes)
        };
        let Ok(Ok(bytes)) = timeout(ASKED_WITHIN, asked).await else { return };
        let answer = match Request::decode(&bytes) {
            Some(Request::Push { lineage, path }) => self.push(lineage, path).await,
            Some(Request::Get { lineage, name, path }) => self.get(lineage, &name, path).await,
            None => Answer::Yourself,
        };
        // Who has gone meanwhile asks again.
        let _ = timeout(ASKED_WITHIN, stream.write_all(&answer.encode())).await;
    }

    async fn push(&self, named: Option<LineageId>, path: PathBuf) -> Answer {
        let name = path.file_name().and_then(|name| name.to_str()?.parse::<WalFile>().ok());
        let begin = path.clone();
        let begin = tokio::task::spawn_blocking(move || local::begin(&begin)).await;
        // Whoever asks says better what is wrong with its file.
        let (Some(name), Ok(Ok(begin))) = (name, begin) else { return Answer::Yourself };
        match self.take_in(named, &name, begin, path).await {
            Ok(()) => Answer::Done,
            Err(Trouble::NotFound(NotFound::None) | Trouble::Local) => Answer::Yourself,
            Err(Trouble::NotStored(error)) => match error.hint() {
                Some(hint) => Answer::Refused { what: error.to_string(), hint: hint.to_owned() },
                None => Answer::Failed(error.to_string()),
            },
            Err(other) => Answer::Failed(other.to_string()),
        }
    }

    async fn take_in(
        &self,
        named: Option<LineageId>,
        name: &WalFile,
        begin: Vec<u8>,
        path: PathBuf,
    ) -> Result<(), Trouble> {
        let cluster = segment::said(&begin).map(|said| said.system_identifier);
        let lineage = self.lineages.find(named, cluster).await?;
        let about = self.about(&lineage).await?;
        if let Some(kept) = self.streamed(&lineage, name, about.segment_bytes).await {
            let hashed = tokio::task::spawn_blocking(move || local::hash(&path)).await;
            let Ok(Ok((hash, len))) = hashed else { return Err(Trouble::Local) };
            check(name, &begin, len, &about)?;
            return if hash == kept { Ok(()) } else { Err(NotStored::Other(name.clone()).into()) };
        }
        let read = tokio::task::spawn_blocking(move || std::fs::read(path).map(Bytes::from)).await;
        let Ok(Ok(bytes)) = read else { return Err(Trouble::Local) };
        Ok(store(&lineage, &about, name, bytes).await?)
    }

    /// The hash of a segment that the stream has made durable; it is waited for while it is about to.
    async fn streamed(&self, lineage: &Lineage, name: &WalFile, size: u32) -> Option<Hash> {
        let size = u64::from(size);
        let (start, timeline) = (name.start(size)?, name.timeline()?);
        let end = Lsn(start.0 + size);
        let mut shipped = self.shipped.clone();
        let seen = async {
            loop {
                {
                    let shipped = shipped.borrow_and_update();
                    if let Some(hash) = shipped.kept.hash(lineage.id(), name) {
                        return Some(hash);
                    }
                    let at = shipped.durable.filter(|_| shipped.trouble.is_none())?;
                    let near = at.lsn < end && end.bytes_past(at.lsn) <= 2 * size;
                    if at.timeline != timeline || !near {
                        return None;
                    }
                }
                shipped.changed().await.ok()?;
            }
        };
        timeout(STREAM_WITHIN, seen).await.ok().flatten()
    }

    async fn get(&self, named: Option<LineageId>, name: &WalFile, path: PathBuf) -> Answer {
        self.asked.send_replace(Instant::now());
        let begun = Instant::now();
        let mut wait = AGAIN_MIN;
        let bytes = loop {
            match self.bring(named, name).await {
                Ok(bytes) => break bytes,
                Err(Trouble::Repository(error)) if error.is_absent() => return Answer::Absent,
                Err(Trouble::NotFound(NotFound::None)) => return Answer::Yourself,
                Err(error) if !error.may_pass() || begun.elapsed() > self.patience => {
                    return Answer::Failed(error.to_string());
                }
                Err(error) => tracing::warn!("`{name}` is asked for again: {error}"),
            }
            sleep(wait).await;
            wait = (wait * 2).min(AGAIN_MAX);
        };
        let put = tokio::task::spawn_blocking(move || fetch::put_in_place(&path, &bytes)).await;
        match put {
            Ok(Ok(())) => Answer::Done,
            // Perhaps the other's rights are enough; it says better what is wrong.
            _ => Answer::Yourself,
        }
    }

    async fn bring(&self, named: Option<LineageId>, name: &WalFile) -> Result<Vec<u8>, Trouble> {
        let lineage = self.lineages.find(named, None).await?;
        let size = self.about(&lineage).await?.segment_bytes;
        let ahead = locked(&self.ahead).take(lineage.id(), name);
        let arrived = match ahead {
            Some(coming) => coming.arrived().await,
            None => None,
        };
        let bytes = match arrived {
            Some(bytes) => bytes,
            None => {
                let Fetched { bytes, .. } = fetch::fetch(&lineage, name, size).await?;
                bytes
            }
        };
        locked(&self.ahead).found(&lineage, name, size);
        Ok(bytes)
    }

    /// Of a lineage; it never changes.
    async fn about(&self, lineage: &Lineage) -> Result<LineageAbout, Trouble> {
        if let Some(about) = locked(&self.abouts).get(&lineage.id()) {
            return Ok(about.clone());
        }
        // Only the file that is asked for may be absent.
        let about = lineage.about().await.map_err(|error| match error {
            RepoError::Absent { name } => {
                let what = format!("there is no such lineage in the repository: `{name}`");
                Trouble::NotFound(NotFound::Failed(what))
            }
            error => error.into(),
        })?;
        locked(&self.abouts).insert(lineage.id(), about.clone());
        Ok(about)
    }
}

#[derive(Debug)]
enum Trouble {
    /// The file on this machine cannot be read.
    Local,
    NotFound(NotFound),
    NotStored(NotStored),
    Repository(RepoError),
}

impl Trouble {
    fn may_pass(&self) -> bool {
        match self {
            Trouble::NotFound(error) => matches!(error, NotFound::Trouble(_)),
            Trouble::Repository(error) => matches!(error, RepoError::Trouble { .. }),
            Trouble::NotStored(_) | Trouble::Local => false,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Local => f.write_str("the file cannot be read"),
            Trouble::NotFound(NotFound::None) => f.write_str("this node has no repository"),
            Trouble::NotFound(NotFound::Trouble(text) | NotFound::Failed(text)) => {
                f.write_str(text)
            }
            Trouble::NotStored(error) => error.fmt(f),
            Trouble::Repository(error) => error.fmt(f),
        }
    }
}

impl From<NotFound> for Trouble {
    fn from(error: NotFound) -> Trouble {
        Trouble::NotFound(error)
    }
}

impl From<NotStored> for Trouble {
    fn from(error: NotStored) -> Trouble {
        Trouble::NotStored(error)
    }
}

impl From<RepoError> for Trouble {
    fn from(error: RepoError) -> Trouble {
        Trouble::Repository(error)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
