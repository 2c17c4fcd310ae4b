//! The long operations: each is one command carried out on the local server, its directory, or
//! the store. A job decides nothing; it reports what it did or why it could not.

mod create;
mod fetch;
mod gate;
mod progress;
mod promote;
mod records;
mod repair;
mod restore;
mod serve;
mod slots;
mod switchover;

use std::sync::Arc;

use howdah_base::{DirectoryId, History, Position, Tick};
use howdah_ha::{Command, Job, Reason, StoreView, SyncSetting};
use howdah_postgres::session::Session;
use howdah_store::{LeaseId, Snapshot};
use tokio::sync::{Notify, mpsc};

use crate::attempts::Attempt;
use crate::closing::Closed;
use crate::conf::ConfState;
use crate::event::{Event, Outcome};
use crate::promise::Promises;
use crate::shared::Shared;

/// What a job is given: copies, so that the loop goes on without it.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub shared: Arc<Shared>,
    pub conf: ConfState,
    pub store: StoreView,
    pub snapshot: Snapshot,
    pub lease: Option<LeaseId>,
    /// Until when this node may write, by its last renewal.
    pub deadline: Option<Tick>,
    pub reason: Option<Reason>,
    /// The way back to the loop, for what it must know before the job is done.
    pub events: mpsc::Sender<Event>,
    /// The server is another one now: it is asked at once.
    pub probe_now: Arc<Notify>,
    /// The voters' setting that is proved to be in force.
    pub sync: Option<SyncSetting>,
    /// Identity for a directory that is made now.
    pub planned: DirectoryId,
    pub promises: Promises,
    /// Last position and history seen of the server: where the end of the WAL is searched from.
    pub end_hint: Option<Position>,
    pub timeline_hint: Option<History>,
}

/// Carries `command` out. A fast shutdown comes with the server closed.
pub(crate) async fn run(
    command: Command,
    order: Order,
    closed: Option<Closed>,
) -> Result<Outcome, String> {
    match command {
        Command::Initdb => create::initdb(order).await,
        Command::Copy { from, term, repository } => {
            create::copy(order, from, term, repository).await
        }
        Command::Rewind { from } => repair::rewind(order, from).await,
        Command::ReadEnd => repair::read_end(order).await,
        Command::StartPrimary { names, needed } => serve::primary(order, names, needed).await,
        Command::StartStandby { upstream } => serve::standby(order, upstream).await,
        Command::Follow { upstream } => serve::follow(order, upstream).await,
        Command::Fetch { from, term, end, within } => {
            fetch::fetch(order, from, term, end, within).await
        }
        Command::Detach => serve::detach(order).await,
        Command::Promise(revoked) => {
            let kept = Promises { revoked, ..order.promises }.keep(&order.shared).await?;
            Ok(Outcome { promises: Some(kept), ..Outcome::default() })
        }
        Command::Promote { timeline, names, needed, term, slots } => {
            promote::promote(order, timeline, (names, needed), (term, slots)).await
        }
        Command::Stop(mode) => serve::stop(order, mode, closed).await,
        Command::Switchover { to } => switchover::begin(order, to).await,
        Command::SetSync { names, needed } => gate::set_sync(order, names, needed).await,
        Command::OpenGate { voters, needed } => gate::open(order, voters, needed).await,
        Command::Slots { term, directories } => slots::make(order, term, directories).await,
        other => records::write(other, order).await,
    }
}

/// Whether PGDATA may look otherwise after `job`.
pub(crate) fn touches_directory(job: Job) -> bool {
    use Job::{Copy, Initdb, Promote, Rewind, Start, Stop, Switchover, Txn};
    matches!(job, Copy | Initdb | Promote | Rewind | Start | Stop | Switchover | Txn)
}

impl Order {
    pub async fn session(&self) -> Result<Session, String> {
        self.shared.session().await
    }

    /// Counts an attempt, durably, before it is begun.
    pub async fn count(&self, attempt: Attempt) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        blocking(move || shared.counts.note(attempt)).await
    }

    /// Writes PostgreSQL's files for `conf`, off the loop's thread.
    ///
    /// A job that was given up may still have a write under way on its thread: each write has a
    /// number, and none comes after a later one.
    pub async fn configure(&self, conf: ConfState) -> Result<ConfState, String> {
        let shared = Arc::clone(&self.shared);
        let number = shared.writes.begin();
        blocking(move || {
            let id = own_directory(&shared)?;
            let _turn = shared.writes.turn(number)?;
            conf.write(&shared, &id)?;
            Ok(conf)
        })
        .await
    }
}

fn own_directory(shared: &Shared) -> Result<DirectoryId, String> {
    let data_dir = &shared.config.own().data_dir;
    howdah_postgres::directory::read_file(data_dir)
        .map_err(|e| e.to_string())?
        .map(|file| file.id)
        .ok_or_else(|| format!("the directory has no identity: `{}`", data_dir.display()))
}

/// Blocking work, on a thread for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|e| format!("a thread ended: {e}"))?
}
