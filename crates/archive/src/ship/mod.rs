//! WAL of the local server into the repository, as it is written, for as long as this node leads.
//!
//! ```text
//! server ══ slot ══► Stream ──► receive::Receiver ──► puts (side by side) ──► repository
//!    ▲                              │ durable                │
//!    └────── flushed ◄──────────────┴────────────────────────┘
//! ```
//! What the repository does not take stays with the server, held by the slot: nothing is dropped here.

mod carry;
mod ends;
mod kept;
mod run;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use howdah_base::{Lsn, Position};
use howdah_postgres::PgError;
use howdah_repo::name::Gap;
use howdah_repo::{Lineage, RepoError};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::receive::{Nowhere, Refused};

pub use ends::history as history_of;
pub use kept::Kept;

/// The slot that keeps the WAL which the repository lacks. Standbys keep a copy of it, as they do of
/// users' own slots: a name with `howdah_` before it would be that of a node's.
pub const SLOT: &str = "archive_howdah";

/// After a failure it is tried again, at first soon.
const AGAIN_MIN: Duration = Duration::from_millis(200);
const AGAIN_MAX: Duration = Duration::from_secs(10);

/// The server whose WAL it is.
#[derive(Clone, Debug)]
pub struct Source {
    /// The folder of its Unix socket.
    pub socket_dir: PathBuf,
    pub port: u16,
}

/// How far it has come, as an operator is told.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Shipped {
    /// Everything below is durable in the repository.
    pub durable: Option<Position>,
    /// How far the server was when it last said so.
    pub server: Lsn,
    /// Why nothing moves, since when.
    pub trouble: Option<(String, Since)>,
    /// Segments that were put last.
    pub kept: Kept,
}

/// A moment of this machine's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Since(pub Instant);

/// Why a stream ended.
#[derive(Debug, Error)]
pub enum ShipError {
    #[error(transparent)]
    Server(#[from] PgError),
    #[error(transparent)]
    Repository(#[from] RepoError),
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Nowhere(#[from] Nowhere),
    #[error(
        "the repository has other content: {0}\nhint: another server writes to this lineage; \
             give each cluster a repository, or a prefix, of its own"
    )]
    Other(String),
    #[error(
        "the server has other WAL on timeline {} than the repository got from it, from about {at} on: it \
         has lost WAL that it had flushed\nhint: look at its disk (fsync); howdah backup --full",
        gap.timeline
    )]
    Contradicts {
        at: Lsn,
        /// From where the repository's own ends.
        gap: Gap,
    },
    #[error("a task of it ended: {0}")]
    Ended(String),
    #[error("the history of timeline {0} in the repository is damaged")]
    History(u32),
}

/// Ships until the future is dropped; every failure is told and tried again.
pub async fn keep(lineage: &Lineage, source: &Source, told: &watch::Sender<Shipped>) {
    let mut again = AGAIN_MIN;
    let mut oldest = None;
    loop {
        let begun = Instant::now();
        let Err(error) = run::once(lineage, source, oldest.take(), told).await;
        if let ShipError::Server(error) = &error
            && error.is_refused(run::WAL_IS_GONE)
        {
            oldest = run::oldest(source).await.ok();
        }
        if let ShipError::Contradicts { gap, .. } = &error {
            record(lineage, *gap).await;
        }
        say(&error, told);
        // One that ran for a while has not failed at once.
        again = if begun.elapsed() > AGAIN_MAX { AGAIN_MIN } else { (again * 2).min(AGAIN_MAX) };
        sleep(again).await;
    }
}

/// What the repository has is kept, for it was acknowledged; the server's WAL goes on behind a gap.
async fn record(lineage: &Lineage, gap: Gap) {
    let Gap { timeline, from, to } = gap;
    match lineage.put_gap(gap).await {
        Ok(_) => tracing::error!(
            "no restore leads from {from} to {to} on timeline {timeline}: two histories meet there; \
             hint: howdah backup --full"
        ),
        // It is found once more when the stream begins anew.
        Err(error) => tracing::warn!("a gap is not recorded yet: {error}"),
    }
}

/// The newest gap over which no restore leads, as no backup has begun behind it.
///
/// # Errors
/// Those of the storage.
pub async fn open_gap(lineage: &Lineage) -> Result<Option<Gap>, RepoError> {
    let newest = lineage.gaps().await?.into_iter().max_by_key(|gap| gap.to);
    let Some(gap) = newest else { return Ok(None) };
    for label in lineage.backups().await?.iter().rev() {
        match lineage.about_backup(label).await {
            Ok(about) if about.start_lsn >= gap.to => return Ok(None),
            Ok(_) | Err(RepoError::Absent { .. } | RepoError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(gap))
}

/// Once, and again when it is another trouble.
fn say(error: &impl std::fmt::Display, told: &watch::Sender<Shipped>) {
    let text = error.to_string();
    told.send_if_modified(|shipped| match &shipped.trouble {
        Some((known, _)) if *known == text => false,
        _ => {
            tracing::warn!("WAL does not reach the repository: {text}");
            shipped.trouble = Some((text, Since(Instant::now())));
            true
        }
    });
}
