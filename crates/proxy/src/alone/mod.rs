//! A pooler without a cluster: the same data threads, with servers at fixed addresses.
//!
//! ```text
//! client -> TCP or Unix socket: TLS ends, first packet read (arrive), proof (prove)
//!        -> data thread: a server of its pool for each transaction
//! data thread -> open: dialled at its database's address, logged into -> data thread
//! ```
//!
//! Absent: replication through it, GSSAPI, PAM and LDAP.

mod arrive;
mod ask;
mod listen;
mod moved;
mod open;
mod places;
mod prove;
mod refused;
mod settings;
mod told;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::{Duration, Instant};

use howdah_base::Gauge;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::console::{Console as ForOperators, Wish};
use crate::crowd::Crowd;
use crate::data::{Ask, Command, Handle, Order, Routes, Threads};
use crate::openings::Openings;
use crate::policy::{Own, Policy};
use crate::{Counters, Endpoint, data};

use moved::Moved;
use places::Places;
use told::Told;

pub use listen::{BindError, Listening, bind};
pub use settings::{
    Asks, Auth, ClientTls, Console, Database, Kept, KeptSecret, Listens, ServerTls, Settings, Tcp,
    UnixPlace,
};

pub use crate::route::Address;

/// Cancel requests and logins into servers at once.
const JOBS_MAX: usize = 256;
/// Between two looks whether all clients have gone.
const LOOK: Duration = Duration::from_millis(20);
/// For the last word to clients.
const GOODBYE: Duration = Duration::from_secs(1);

/// How it is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    No,
    /// Nobody else comes in, and it ends when all clients have gone.
    WaitForClients,
    /// Nobody else comes in, nothing else begins, and it ends when all servers are free.
    WaitForServers,
    Now,
}

/// Serves clients by so many threads, until it is to end, or dropped.
///
/// # Errors
/// The data thread cannot start, or has ended.
pub async fn serve(
    settings: watch::Receiver<Arc<Settings>>,
    listening: Listening,
    stop: watch::Receiver<Stop>,
    wishes: mpsc::Sender<Wish>,
    threads: usize,
) -> io::Result<()> {
    let now = settings.borrow().clone();
    let (pooler, asks) = data::start(threads, &Arc::new(now.policy.clone()), &Routes::Fixed)?;
    let told = Told::new(&now);
    let console = Arc::new(told.console(&pooler, wishes));
    let alone = Arc::new(Alone {
        settings,
        console: console.clone(),
        told,
        pooler: pooler.clone(),
        places: Places::new(now.clients_max),
        counters: Counters::default(),
        servers: Gauge::default(),
        nobody: howdah_tls::random(),
        turn: AtomicUsize::default(),
        sessions: ask::Sessions::default(),
        crowd: Crowd::default(),
        openings: Openings::default(),
        moved: Moved::default(),
        started: Instant::now(),
        complained: AtomicU64::default(),
        refusals: refused::Refusals::default(),
    });
    let mut tasks = JoinSet::new();
    tasks.spawn(console.keep_averages());
    tasks.spawn(alone.clone().follow());
    for (thread, asks) in pooler.all().iter().zip(asks) {
        tasks.spawn(alone.clone().serve_pooler(thread.clone(), asks));
    }
    for door in listening.0 {
        tasks.spawn(alone.clone().accept(door, stop.clone()));
    }
    tokio::select! {
        biased;
        () = alone.ended(stop.clone()) => Ok(()),
        () = all_but_one(&mut tasks, stop) => Err(io::Error::other("the pooler has stopped")),
    }
}

/// Nothing begins by it any more, and servers go when they are free.
fn closing(policy: &Policy) -> Policy {
    let mut policy = policy.clone();
    policy.pool.size = 0;
    policy.pool.min = 0;
    policy.pool.reserve = 0;
    policy.pool.times.server_idle = Some(Duration::ZERO);
    for own in policy.databases.values_mut().chain(policy.roles.values_mut()) {
        *own = Own { mode: own.mode, ..Own::default() };
    }
    policy
}

/// Comes back when a task has ended that was not to end.
async fn all_but_one(tasks: &mut JoinSet<()>, stop: watch::Receiver<Stop>) {
    loop {
        tasks.join_next().await;
        if *stop.borrow() == Stop::No {
            return;
        }
        if tasks.is_empty() {
            std::future::pending::<()>().await;
        }
    }
}

/// What all connections share.
struct Alone {
    settings: watch::Receiver<Arc<Settings>>,
    pooler: Threads,
    /// Where operators speak to it, and what it is told of.
    console: Arc<ForOperators>,
    told: Told,
    places: Places,
    counters: Counters,
    servers: Gauge,
    /// Makes the questions for names that nobody has.
    nobody: [u8; 32],
    /// Which of a database's addresses is the next.
    turn: AtomicUsize,
    /// By which roles are asked for.
    sessions: ask::Sessions,
    crowd: Crowd,
    openings: Openings,
    moved: Moved,
    started: Instant,
    /// When it was last said why clients wait, in seconds since it started.
    complained: AtomicU64,
    refusals: refused::Refusals,
}

impl Alone {
    /// Comes back when it is to end and nothing is left to wait for.
    async fn ended(&self, mut stop: watch::Receiver<Stop>) {
        let how = stop.wait_for(|stop| *stop != Stop::No).await.map_or(Stop::Now, |stop| *stop);
        if how != Stop::Now {
            // Told once more, it waits no more.
            tokio::select! {
                () = self.nobody_left(how) => {}
                _ = stop.wait_for(|stop| *stop == Stop::Now) => {}
            }
        }
        self.say_goodbye().await;
    }

    /// Whoever is still there hears why its connection ends.
    async fn say_goodbye(&self) {
        let mut told = Vec::new();
        for thread in self.pooler.all() {
            let (reply, done) = oneshot::channel();
            thread.tell(Order::Command { what: Command::Kill, database: None, reply });
            told.push(done);
        }
        let all = async {
            for done in told {
                let _ = done.await;
            }
        };
        if timeout(GOODBYE, all).await.is_err() {
            tracing::warn!("clients go without a word: nobody tells them in time");
        }
    }

    async fn nobody_left(&self, how: Stop) {
        let left = match how {
            Stop::WaitForServers => {
                let now = self.now();
                let policy = Arc::new(closing(&now.policy));
                self.pooler.tell_all(|| Order::Policy(policy.clone()));
                &self.servers
            }
            _ => &self.counters.clients[Endpoint::Rw as usize],
        };
        while left.held() > 0 {
            tokio::time::sleep(LOOK).await;
        }
    }

    fn now(&self) -> Arc<Settings> {
        self.settings.borrow().clone()
    }

    /// Has other settings count as soon as there are any, until dropped.
    async fn follow(self: Arc<Alone>) {
        let mut settings = self.settings.clone();
        let mut before = settings.borrow_and_update().clone();
        while settings.changed().await.is_ok() {
            let now = settings.borrow_and_update().clone();
            self.change(&before, &now);
            before = now;
        }
    }

    /// Does what a data thread asks for, until dropped.
    async fn serve_pooler(self: Arc<Alone>, handle: Handle, mut asks: mpsc::Receiver<Ask>) {
        let mut jobs = JoinSet::new();
        loop {
            tokio::select! {
                Some(_) = jobs.join_next() => {}
                ask = asks.recv(), if jobs.len() < JOBS_MAX => match ask {
                    Some(ask) => { jobs.spawn(self.clone().work(ask, handle.clone())); }
                    None => return,
                },
            }
        }
    }

    /// Other settings count from now on.
    fn change(&self, before: &Settings, now: &Settings) {
        self.places.change(before.clients_max, now.clients_max);
        self.sessions.clear();
        let policy = Arc::new(now.policy.clone());
        self.pooler.tell_all(|| Order::Policy(policy.clone()));
        if self.moved.look(before, now) {
            // It looks anew where its servers are.
            self.pooler.tell_all(|| Order::Topology(Arc::default()));
        }
        self.told.follow(now);
    }

    async fn work(self: Arc<Alone>, ask: Ask, handle: Handle) {
        match ask {
            Ask::Open { pool, secret } => {
                let result = self.open(&pool, &secret).await.map(Box::new);
                handle.tell(Order::Opened { pool, result });
            }
            Ask::Cancel { site, key, server, born, done } => {
                let heard = self.cancel(&site, &key).await;
                handle.tell(Order::Cancelled { server, born, heard });
                drop(done);
            }
        }
    }
}
