//! Clients that open a connection for every row and repeat nothing: what a connection had to
//! wait, and which ones were refused.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio_postgres::{Config, NoTls};

use crate::writer::{self, Plan};

/// The account of all of them so far.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Connections that were taken, and how long the slowest of them took.
    pub connected: usize,
    pub slowest: Duration,
    /// Connections that were not, in words.
    pub refused: Vec<String>,
    /// Rows whose commit was reported.
    pub acknowledged: Vec<i64>,
    /// Rows that failed on a connection that had been taken.
    pub failed: Vec<String>,
}

/// Such clients, each on a thread of its own; stopped by [`Newcomers::stop`] or on drop.
#[derive(Debug)]
pub struct Newcomers {
    plan: Plan,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    next: AtomicI64,
    account: Mutex<Account>,
}

impl Shared {
    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pause between two connections of a client: the machine is to do something else as well.
const PAUSE: Duration = Duration::from_millis(3);

impl Newcomers {
    /// `each` clients to every host of the plan, which need its table.
    pub fn start(plan: Plan, each: usize) -> Newcomers {
        let shared = Arc::new(Shared::default());
        let hosts = plan.hosts.iter().flat_map(|host| std::iter::repeat_n(host, each));
        let threads = hosts.map(|host| {
            let (shared, host, plan) = (Arc::clone(&shared), host.clone(), plan.clone());
            thread::spawn(move || {
                writer::runtime().block_on(async {
                    while !shared.stopping.load(Ordering::Relaxed) {
                        come(&shared, &host, &plan).await;
                        tokio::time::sleep(PAUSE).await;
                    }
                });
            })
        });
        Newcomers { threads: threads.collect(), plan, shared }
    }

    pub fn account(&self) -> Account {
        self.shared.account().clone()
    }

    /// Ends them; every row that was acknowledged must be there.
    #[track_caller]
    pub fn stop_and_check(mut self) -> Account {
        self.end();
        let (account, there) = (self.account(), writer::rows(&self.plan).expect("the rows"));
        let missing: Vec<_> =
            account.acknowledged.iter().filter(|row| !there.contains(row)).collect();
        assert!(missing.is_empty(), "acknowledged rows are missing: {missing:?}");
        account
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

impl Drop for Newcomers {
    fn drop(&mut self) {
        self.end();
    }
}

async fn come(shared: &Shared, host: &Config, plan: &Plan) {
    let (begun, port) = (Instant::now(), host.get_ports().to_vec());
    let took = || begun.elapsed();
    let client = match tokio::time::timeout(plan.connect_bound, host.connect(NoTls)).await {
        Ok(Ok((client, connection))) => {
            tokio::spawn(connection);
            client
        }
        Ok(Err(error)) => {
            let words = writer::in_words(&error);
            return shared.account().refused.push(format!("{port:?} {words} after {:?}", took()));
        }
        Err(_) => {
            return shared.account().refused.push(format!("{port:?} nothing in {:?}", took()));
        }
    };
    {
        let mut account = shared.account();
        account.connected += 1;
        account.slowest = account.slowest.max(took());
    }
    let row = shared.next.fetch_add(1, Ordering::Relaxed);
    let insert = format!("INSERT INTO {} VALUES ({row})", plan.table);
    match tokio::time::timeout(plan.row_bound, client.simple_query(&insert)).await {
        Ok(Ok(_)) => shared.account().acknowledged.push(row),
        Ok(Err(error)) => shared.account().failed.push(writer::in_words(&error)),
        Err(_) => shared.account().failed.push(format!("no answer in {:?}", plan.row_bound)),
    }
}
