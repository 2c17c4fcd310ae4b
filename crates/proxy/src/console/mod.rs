//! The console: who connects to the database `pgbouncer` speaks to the pooler itself, in PgBouncer's
//! commands and with PgBouncer's tables.
//!
//! ```text
//! psql ── login as any client's ─► session ─► parse ─► show: tables ◄── Seen ◄── pieces of each thread
//!                                              └─────► run: PAUSE, KILL, … ──► each thread
//! ```
//! It is a task of the serving threads: no data thread ever waits for it.

mod metrics;
mod parse;
mod pause;
mod run;
mod seen;
mod session;
mod show;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use howdah_base::topology::Topology;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};

use crate::data::{Counts, Handle, Look};
use crate::policy::Policy;
pub use metrics::Metrics;
use pause::Pauses;
use seen::{ConsoleSeen, Seen, Silent};
pub(crate) use session::Operator;
use show::stats::{PERIOD, Past, by_database};

/// The database that is none.
pub(crate) const DATABASE: &str = "pgbouncer";

/// What the console is told when it starts.
#[derive(Clone, Debug)]
pub struct ConsoleConfig {
    /// Who is let in; a change counts for the next login.
    pub operators: watch::Receiver<Arc<Operators>>,
    /// Who reloads, stops and sets what is not the pooler's own.
    pub wishes: mpsc::Sender<Wish>,
    /// What SHOW CONFIG shows.
    pub settings: watch::Receiver<Arc<Vec<Shown>>>,
    /// Where clients connect.
    pub port: u16,
}

/// Roles by what they may do: PgBouncer's `admin_users` and `stats_users`.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Operators {
    pub command: BTreeSet<String>,
    pub look: BTreeSet<String>,
}

/// One row of SHOW CONFIG.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    pub key: String,
    pub value: Option<String>,
    pub default: Option<String>,
    pub changeable: bool,
}

/// Where the databases are, of a pooler whose databases have places of their own.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Places {
    pub named: BTreeMap<String, Place>,
    /// Of all others.
    pub fallback: Option<Place>,
}

/// What SHOW DATABASES shows of a database's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub host: String,
    pub port: u16,
    /// Its name there; `None`: as clients call it.
    pub name: Option<String>,
    pub user: Option<String>,
}

impl Places {
    fn of(&self, database: &str) -> Option<&Place> {
        self.named.get(database).or(self.fallback.as_ref())
    }
}

/// What an operator wants of whoever runs the pooler.
#[derive(Debug)]
pub struct Wish {
    pub what: WishKind,
    /// It is so, or why not.
    pub reply: oneshot::Sender<Result<(), Declined>>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WishKind {
    /// RELOAD.
    Reload,
    /// SHUTDOWN, asked before anything is done for it: may it be?
    MayStop,
    /// SHUTDOWN, now.
    Stop,
    /// SET.
    Set { key: String, value: String },
}

/// Why not, in a sentence, and what to do instead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Declined {
    pub why: String,
    pub hint: Option<String>,
}

/// Wishes that wait; more are declined.
pub const WISHES_MAX: usize = 16;

/// Far from those of clients.
const IDS_FROM: u64 = 1 << 30;

/// What all operators' sessions share.
pub(crate) struct Console {
    threads: Vec<Handle>,
    config: ConsoleConfig,
    policy: watch::Receiver<Arc<Policy>>,
    topology: watch::Receiver<Topology>,
    places: Option<watch::Receiver<Arc<Places>>>,
    state: Mutex<State>,
    ids: AtomicU64,
    /// What operators have asked so far.
    asked: AtomicU64,
}

struct State {
    pauses: Pauses,
    disabled: BTreeSet<String>,
    stopping: bool,
    sessions: BTreeMap<u64, ConsoleSeen>,
    past: Past,
}

/// What a role may do here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum May {
    Command,
    Look,
}

impl Console {
    pub fn new(
        threads: Vec<Handle>,
        config: ConsoleConfig,
        policy: watch::Receiver<Arc<Policy>>,
        topology: watch::Receiver<Topology>,
    ) -> Console {
        let state = State {
            pauses: Pauses::default(),
            disabled: BTreeSet::new(),
            stopping: false,
            sessions: BTreeMap::new(),
            past: Past::new(Instant::now()),
        };
        Console {
            threads,
            config,
            policy,
            topology,
            places: None,
            state: Mutex::new(state),
            ids: AtomicU64::new(IDS_FROM),
            asked: AtomicU64::new(0),
        }
    }

    /// The same, before databases that have places of their own.
    pub fn placed(self, places: watch::Receiver<Arc<Places>>) -> Console {
        Console { places: Some(places), ..self }
    }

    pub fn may(&self, user: &str) -> Option<May> {
        let operators = self.config.operators.borrow();
        if operators.command.contains(user) {
            return Some(May::Command);
        }
        operators.look.contains(user).then_some(May::Look)
    }

    /// Why nobody new is let into this database now, if so.
    pub fn closed(&self, database: &str) -> Option<String> {
        let state = self.state();
        if state.stopping {
            return Some("server shutting down".to_owned());
        }
        let disabled = state.disabled.contains(database);
        disabled.then(|| format!("database \"{database}\" is disabled"))
    }

    /// Remembers what was counted, now and then, for the averages; until dropped.
    pub async fn keep_averages(self: Arc<Console>) {
        loop {
            tokio::time::sleep(PERIOD).await;
            if let Ok(seen) = self.look(&[]).await {
                let counts = by_database(&seen);
                self.state().past.push(seen.at, counts);
            }
        }
    }

    async fn look(&self, more: &[Look]) -> Result<Seen, Silent> {
        let mut seen = Seen::of(&self.threads, more).await?;
        seen.consoles = self.state().sessions.values().cloned().collect();
        let asked = self.asked.load(Ordering::Relaxed);
        let own = Counts { xacts: asked, queries: asked, ..Counts::default() };
        seen.gone.insert(DATABASE.to_owned(), own);
        Ok(seen)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A session's place among those that are shown.
    fn enter(self: &Arc<Console>, operator: &Operator) -> Entered {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let Operator { user, ends, tls, application_name, .. } = operator;
        let seen = ConsoleSeen {
            id,
            user: user.clone(),
            ends: *ends,
            came: Instant::now(),
            tls,
            application_name: application_name.clone(),
        };
        self.state().sessions.insert(id, seen);
        Entered { console: Arc::clone(self), id }
    }
}

struct Entered {
    console: Arc<Console>,
    id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.console.state().sessions.remove(&self.id);
    }
}
