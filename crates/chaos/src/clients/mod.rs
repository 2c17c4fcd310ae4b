//! The clients: what they share, and how all of them are started and stopped.
//!
//! All run as tasks of one thread: they wait more than they work, and one clock serves them all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use howdah_testkit::Cluster;
use tokio_postgres::Config;

use crate::history::{History, Micros, Op, Outcome};

pub mod line;
pub mod read;
pub mod tables;
pub mod write;

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    began: Instant,
    stopping: AtomicBool,
    next: AtomicI64,
    history: Mutex<History>,
    /// Every acknowledged number, so that a run that ends early leaves them behind.
    journal: Mutex<File>,
    /// The node that made the last acknowledged write.
    primary: Mutex<Option<String>>,
    /// How often clients were told what.
    errors: Mutex<BTreeMap<String, u64>>,
}

impl Shared {
    fn new(journal: &Path) -> Result<Shared> {
        let file = File::create(journal);
        let file = file.with_context(|| format!("make `{}`", journal.display()))?;
        Ok(Shared {
            began: Instant::now(),
            stopping: AtomicBool::new(false),
            next: AtomicI64::new(1),
            history: Mutex::new(History::default()),
            journal: Mutex::new(file),
            primary: Mutex::new(None),
            errors: Mutex::new(BTreeMap::new()),
        })
    }

    pub fn now(&self) -> Micros {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// A number that nobody has had.
    fn number(&self) -> i64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Who made the last acknowledged write.
    pub fn primary(&self) -> Option<String> {
        lock(&self.primary).clone()
    }

    /// What clients were told, and how often.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        lock(&self.errors).clone()
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.history().with(Outcome::Acknowledged).count()
    }

    fn note(&self, op: Op) {
        if op.outcome == Outcome::Acknowledged {
            writeln!(lock(&self.journal), "{} {} {:?}", op.done, op.client, op.what).ok();
            *lock(&self.primary) = op.made.as_ref().map(|made| made.node.clone());
        }
        self.history().ops.push(op);
    }

    fn complain(&self, text: &str) {
        *lock(&self.errors).entry(text.to_owned()).or_default() += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One client: its name, where it connects, and how often it does something.
#[derive(Clone, Debug)]
pub struct Client {
    pub name: String,
    /// Tried in this order.
    pub hosts: Vec<Config>,
    /// Between the starts of two statements when all is well.
    pub every: Duration,
}

/// All clients of a run.
#[derive(Debug)]
pub struct Clients {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Through the endpoints.
const WRITE_EVERY: Duration = Duration::from_millis(10);
/// So long a server works on the statement of a busy client before it writes the row: the
/// postmaster may be killed meanwhile, and another node be primary.
const BUSY: Duration = Duration::from_secs(4);
/// A statement that takes seconds before it writes.
const BUSY_EVERY: Duration = Duration::from_millis(300);
/// Straight to a server: all but one refuse it.
const TRY_EVERY: Duration = Duration::from_millis(40);
const READ_EVERY: Duration = Duration::from_millis(60);

impl Clients {
    /// Makes the tables and starts to write and to read; acknowledged numbers go to `journal`.
    pub fn start(cluster: &Cluster, journal: &Path) -> Result<Clients> {
        let shared = Arc::new(Shared::new(journal)?);
        line::runtime()?.block_on(tables::make(&endpoints(cluster, 0)))?;
        let thread = {
            let (shared, crowd) = (Arc::clone(&shared), Crowd::of(cluster));
            thread::Builder::new().name("clients".to_owned()).spawn(move || {
                if let Ok(runtime) = line::runtime() {
                    runtime.block_on(crowd.work(&shared));
                }
            })?
        };
        Ok(Clients { shared, thread: Some(thread) })
    }

    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Ends all of them; what they know, and when it ended.
    pub fn stop(mut self) -> (History, Micros) {
        let end = self.shared.now();
        self.end();
        (self.shared.history().clone(), end)
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.end();
    }
}

/// The `rw` endpoints, beginning with another node for each client.
pub fn endpoints(cluster: &Cluster, first: usize) -> Vec<Config> {
    let mut hosts = cluster.hosts(|ports| ports.rw);
    let first = first % hosts.len().max(1);
    hosts.rotate_left(first);
    hosts
}

/// Who does what.
#[derive(Debug)]
struct Crowd {
    inserting: Vec<Client>,
    busy: Vec<Client>,
    paying: Vec<Client>,
    appending: Vec<(Client, String)>,
    reading: Vec<Client>,
}

impl Crowd {
    fn of(cluster: &Cluster) -> Crowd {
        let through = |name: &str, first: usize, every: Duration| Client {
            name: format!("{name}{first}"),
            hosts: endpoints(cluster, first),
            every,
        };
        let straight = |name: &str, every: Duration| {
            let hosts = cluster.hosts(|ports| ports.postgres).into_iter();
            let client = |(host, node): (Config, &howdah_testkit::Node)| Client {
                name: format!("{name}-at-{}", node.name),
                hosts: vec![host],
                every,
            };
            hosts.zip(cluster.nodes()).map(client).collect::<Vec<_>>()
        };
        let own = |number: usize| {
            let client = through("list", number, WRITE_EVERY * 2);
            (client.clone(), client.name)
        };
        let common =
            |number: usize| (through("common", number, WRITE_EVERY * 2), "common".to_owned());
        Crowd {
            inserting: [through("insert", 0, WRITE_EVERY), through("insert", 1, WRITE_EVERY)]
                .into_iter()
                .chain(straight("insert", TRY_EVERY))
                .collect(),
            busy: straight("busy", BUSY_EVERY),
            paying: (0..2).map(|number| through("pay", number, WRITE_EVERY * 2)).collect(),
            appending: vec![own(0), common(1), common(2)],
            reading: [through("read", 0, READ_EVERY)]
                .into_iter()
                .chain(straight("read", READ_EVERY))
                .collect(),
        }
    }

    async fn work(self, shared: &Arc<Shared>) {
        let mut tasks = tokio::task::JoinSet::new();
        for client in self.inserting {
            tasks.spawn(write::insert(client, None, Arc::clone(shared)));
        }
        for client in self.busy {
            tasks.spawn(write::insert(client, Some(BUSY), Arc::clone(shared)));
        }
        for client in self.paying {
            tasks.spawn(write::pay(client, Arc::clone(shared)));
        }
        for (client, list) in self.appending {
            tasks.spawn(write::append(client, list, Arc::clone(shared)));
        }
        for client in self.reading {
            tasks.spawn(read::look(client, Arc::clone(shared)));
        }
        tasks.join_all().await;
    }
}
