//! Looks at the server and at its directory, off the loop, and sends what it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use howdah_base::record::{Archiver, LogicalSlot, key};
use howdah_base::{DirectoryId, History, Term, Timeline};
use howdah_ha::{Directory, DirectoryFacts, Running, Sender};
use howdah_postgres::directory::{self, DirectoryState};
use howdah_postgres::session::{Probe, Session};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use crate::clock;
use crate::ears::{Ears, SILENT};
use crate::event::Event;
use crate::shared::Shared;
use crate::wal_gone;

/// A server that answers is asked this often.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// While one change leads to the next (a start, a promotion, a takeover) it is asked this often.
const PROBE_AGAIN: Duration = Duration::from_millis(100);
/// An answer later than this is none.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the server said of itself.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub running: Running,
    pub version: String,
    pub replay_lag_ms: Option<u64>,
    pub pending_restart: Vec<String>,
    /// Values in force of what a standby must not undercut, by name.
    pub sizes: BTreeMap<String, u64>,
    /// When the postmaster was started, milliseconds since 1970.
    pub started_unix_ms: Option<u64>,
    /// Directories for which a slot of ours exists here, and its term.
    pub slots: BTreeSet<(DirectoryId, Term)>,
    /// Users' logical slots that PostgreSQL does not keep on standbys by itself.
    pub logical_slots: BTreeMap<String, LogicalSlot>,
    pub archiver: Option<Archiver>,
    pub long_transactions: u32,
    /// Its WAL receiver says that it streams, and has heard nothing for longer than it may.
    pub silent: Option<String>,
    /// As standby: it lacks WAL that its upstream has removed, as its log says.
    pub wal_gone: bool,
    /// Users' own physical slots with their restart positions.
    pub user_slots: BTreeMap<String, Option<howdah_base::Lsn>>,
}

/// What lies in the data directory.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    /// Counts readings by their beginning: an earlier one that comes late says nothing.
    pub number: u64,
    pub directory: Directory,
    /// What a standby on this directory must not undercut, by its control file.
    pub sizes: BTreeMap<String, u64>,
    /// It held data before it became a node's, and no cluster has been recorded for it yet.
    pub adopted: bool,
}

impl Disk {
    /// A witness has no data directory, and what lies at its place is not looked at.
    fn none(number: u64) -> Disk {
        Disk { number, directory: Directory::Missing, sizes: BTreeMap::new(), adopted: false }
    }
}

/// Asks the server while it is alive, every second and whenever it is told to.
pub(crate) async fn probe(
    shared: Arc<Shared>,
    now: Arc<Notify>,
    mut alive: watch::Receiver<bool>,
    events: mpsc::Sender<Event>,
) {
    let mut eyes = Eyes { shared, session: None, history: None, ears: Ears::default() };
    loop {
        if alive.wait_for(|alive| *alive).await.is_err() {
            return;
        }
        let asked_at = clock::now();
        let facts = match timeout(PROBE_TIMEOUT, eyes.look()).await {
            Ok(facts) => facts.map(Box::new),
            Err(_) => Err(format!("no answer within {PROBE_TIMEOUT:?}")),
        };
        let failed = facts.is_err();
        if failed {
            eyes.session = None;
        }
        if events.send(Event::Probed { facts, asked_at }).await.is_err() {
            return;
        }
        let pause = if failed { PROBE_AGAIN } else { PROBE_EVERY };
        let _ = timeout(pause, now.notified()).await;
    }
}

/// How often the guard is asked whether the instance lives, beside its own events.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Asks the guard now and then, as a backstop.
pub(crate) async fn keep_counting(shared: Arc<Shared>, events: mpsc::Sender<Event>) {
    loop {
        tokio::time::sleep(COUNT_EVERY).await;
        count(&shared, &events).await;
    }
}

/// Asks the guard once.
pub(crate) async fn count(shared: &Shared, events: &mpsc::Sender<Event>) {
    let asked_at = clock::now();
    if let Ok(alive) = shared.guard.alive().await {
        let _ = events.send(Event::Alive { alive, asked_at }).await;
    }
}

/// One connection that is kept, and the history last read.
struct Eyes {
    shared: Arc<Shared>,
    session: Option<Session>,
    history: Option<History>,
    ears: Ears,
}

impl Eyes {
    async fn look(&mut self) -> Result<Facts, String> {
        if self.session.is_none() {
            if !self.shared.ready().await {
                return Err("it does not take connections yet".to_owned());
            }
            self.session = Some(self.shared.session().await?);
            // Another start of the server may be on another history of the same number.
            self.history = None;
        }
        let Some(session) = &self.session else { return Err("no session".to_owned()) };
        let probe = session.probe().await.map_err(|e| e.to_string())?;
        if self.history.as_ref().map(|h| h.timeline) != Some(probe.timeline) {
            self.history = Some(history(session, probe.timeline).await?);
        }
        let history = self.history.clone().unwrap_or_else(|| History::root(probe.timeline));
        let probe = self.ears.judge(probe, clock::now());
        let wal_gone = probe.in_recovery && probe.receiver.is_none() && self.lacks_wal().await;
        Ok(Facts { wal_gone, ..facts(probe, history) })
    }
}

impl Eyes {
    async fn lacks_wal(&self) -> bool {
        let shared = Arc::clone(&self.shared);
        let told = move || Ok(wal_gone::is_told(&shared.server_log(), &shared.line_prefix()));
        crate::jobs::blocking(told).await.unwrap_or(false)
    }
}

async fn history(session: &Session, timeline: Timeline) -> Result<History, String> {
    if timeline == Timeline(1) {
        return Ok(History::root(timeline));
    }
    session.history(timeline).await.map_err(|e| e.to_string())
}

fn facts(probe: Probe, history: History) -> Facts {
    let senders = probe.senders.iter().filter_map(|sender| {
        Some(Sender {
            directory: sender.application_name.parse().ok()?,
            streaming: sender.state == "streaming",
            flushed: sender.flush?,
        })
    });
    Facts {
        running: Running {
            primary: !probe.in_recovery,
            history,
            position: probe.position(),
            replayed: probe.replayed.unwrap_or_else(|| probe.position().lsn),
            upstream: None,
            streaming: probe.receiver.as_ref().is_some_and(|r| r.status == "streaming"),
            senders: senders.collect(),
        },
        silent: probe.receiver.as_ref().filter(|r| r.status == SILENT).map(|_| {
            "its WAL receiver has heard nothing for longer than wal_receiver_timeout and goes on \
             waiting: is the process frozen? hint: howdah restart"
                .to_owned()
        }),
        wal_gone: false,
        archiver: probe.archiver,
        long_transactions: probe.long_transactions,
        replay_lag_ms: probe.replay_lag_ms,
        slots: probe.slots.iter().filter_map(|slot| directory_of(&slot.name)).collect(),
        logical_slots: probe
            .slots
            .iter()
            .filter(|slot| !slot.physical && !slot.kept)
            .map(|slot| {
                let (confirmed, restart) = (slot.confirmed, slot.restart_lsn);
                let database = slot.database.clone().unwrap_or_default();
                (slot.name.clone(), LogicalSlot { database, confirmed, restart })
            })
            .collect(),
        user_slots: probe
            .slots
            .iter()
            .filter(|slot| slot.physical && !slot.name.starts_with("howdah_"))
            .map(|slot| (slot.name.clone(), slot.restart_lsn))
            .collect(),
        pending_restart: probe.pending_restart,
        sizes: probe.sizes,
        started_unix_ms: probe.started_unix_ms,
        version: probe.version,
    }
}

/// `howdah_<directory>_<term>`.
fn directory_of(slot: &str) -> Option<(DirectoryId, Term)> {
    let (directory, term) = slot.strip_prefix("howdah_")?.rsplit_once('_')?;
    Some((directory.parse().ok()?, Term(term.parse().ok()?)))
}

/// Reads the directory on a thread for blocking work: its disk may hang.
pub(crate) fn read_disk(shared: &Arc<Shared>, events: &mpsc::Sender<Event>) {
    let (shared, events) = (Arc::clone(shared), events.clone());
    tokio::task::spawn_blocking(move || {
        let disk = disk(&shared);
        let _ = events.blocking_send(Event::Disk(Box::new(disk)));
    });
}

/// What lies in the data directory now. Blocking.
pub(crate) fn disk(shared: &Shared) -> Disk {
    let (own, number) = (shared.config.own(), shared.readings.begin());
    let Ok(install) = shared.config.install() else { return Disk::none(number) };
    let state = directory::read(install, &own.data_dir, &own.state_dir);
    let (sizes, file) = match &state {
        DirectoryState::Ready(ready) => (ready.control.sizes.clone(), ready.file.clone()),
        _ => (BTreeMap::new(), None),
    };
    let adopted = file.is_some_and(|file| file.adopted && file.fresh);
    Disk { number, directory: judge(shared, state), sizes, adopted }
}

fn judge(shared: &Shared, state: DirectoryState) -> Directory {
    match state {
        DirectoryState::Missing | DirectoryState::Empty => Directory::Missing,
        DirectoryState::Foreign { what } => Directory::Refused(what),
        DirectoryState::Unusable { why } => Directory::Unusable(why),
        DirectoryState::Ready(ready) => {
            let Some(file) = ready.file else {
                return Directory::Refused(format!(
                    "it was not made by howdah: `{}`",
                    shared.config.own().data_dir.display()
                ));
            };
            if file.node != shared.config.node {
                let other = &file.node;
                return Directory::Refused(format!("it belongs to another node: `{other}`"));
            }
            Directory::Ready(DirectoryFacts {
                id: file.id,
                system_identifier: ready.control.system_identifier,
                fresh: file.fresh,
                was_primary: !ready.standby_signal,
                clean: ready.control.clean_shutdown(),
                history: ready.history,
            })
        }
    }
}

/// A directory of another cluster is refused; a fresh one may still become a cluster.
pub(crate) fn against_record(disk: &Disk, known: Option<u64>) -> Directory {
    match disk.directory.clone() {
        Directory::Ready(facts)
            if (!facts.fresh || disk.adopted)
                && known.is_some_and(|id| id != facts.system_identifier) =>
        {
            Directory::Refused(format!(
                "it belongs to another cluster: system identifier `{}`, the store's record `{}` \
                 says `{}`",
                facts.system_identifier,
                key::INITIALIZE,
                known.unwrap_or_default()
            ))
        }
        other => other,
    }
}
