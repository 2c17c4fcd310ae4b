//! A client that writes numbered rows, each in its own commit, and remembers what it was told.
//!
//! It reconnects as libpq does with several hosts: from the first to the last, every attempt
//! bounded. It never repeats a row, so a row that appears twice or without being sent is ours
//! to explain and not its.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tokio_postgres::{Client, Config, NoTls};

use crate::journal::{Acknowledged, Journal};
use crate::wait;

/// What to write, and where.
#[derive(Clone, Debug)]
pub struct Plan {
    /// One per host, tried in this order.
    pub hosts: Vec<Config>,
    /// The address that connections come from, where it matters.
    pub from: Option<IpAddr>,
    pub table: String,
    /// From the start of one row to the start of the next, when all is well.
    pub every: Duration,
    /// A connection attempt to one host is given up after this.
    pub connect_bound: Duration,
    /// A row without an answer is unclear after this, and the connection is dropped.
    pub row_bound: Duration,
}

impl Plan {
    pub fn to(hosts: Vec<Config>) -> Plan {
        Plan {
            hosts,
            from: None,
            table: "howdah_written".to_owned(),
            every: Duration::from_millis(5),
            connect_bound: Duration::from_secs(2),
            row_bound: Duration::from_secs(5),
        }
    }
}

/// Pause after every host refused.
const ROUND_PAUSE: Duration = Duration::from_millis(10);

/// A writing client on a thread of its own; stopped by [`Writer::stop`] or on drop.
#[derive(Debug)]
pub struct Writer {
    plan: Plan,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    journal: Mutex<Journal>,
}

impl Shared {
    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, text: String) {
        self.journal().errors.push((Instant::now(), text));
    }
}

/// Row numbers are unique in the process, so that several writers share one table.
static NEXT: AtomicI64 = AtomicI64::new(1);

impl Writer {
    /// Makes the table if need be, and starts to write.
    #[track_caller]
    pub fn start(plan: Plan) -> Writer {
        let table = format!("CREATE TABLE IF NOT EXISTS {} (n bigint PRIMARY KEY)", plan.table);
        wait::until(
            "the writer's table exists",
            Duration::from_secs(30),
            || query(&plan, &table).ok(),
            || format!("{:?}", query(&plan, &table).err()),
        );
        Writer::start_on_table(plan)
    }

    /// Starts to write into a table that is there.
    pub fn start_on_table(plan: Plan) -> Writer {
        let shared = Arc::new(Shared::default());
        let (for_thread, its_plan) = (Arc::clone(&shared), plan.clone());
        let thread = thread::spawn(move || {
            runtime().block_on(write_rows(&its_plan, &for_thread));
        });
        Writer { plan, shared, thread: Some(thread) }
    }

    /// The account so far.
    pub fn journal(&self) -> Journal {
        self.shared.journal().clone()
    }

    /// How many rows were acknowledged after `since`, without a copy of the account.
    pub fn acknowledged_after(&self, since: Instant) -> usize {
        self.shared.journal().acknowledged_after(since)
    }

    /// Waits until `rows` more rows are acknowledged.
    #[track_caller]
    pub fn wait_for_rows(&self, rows: usize, at_most: Duration) {
        let from = Instant::now();
        wait::until(
            &format!("{rows} more rows are acknowledged"),
            at_most,
            || (self.acknowledged_after(from) >= rows).then_some(()),
            || self.shared.journal().last_errors(),
        );
    }

    /// Ends the writing and hands over the account.
    pub fn stop(mut self) -> Journal {
        self.end();
        self.journal()
    }

    /// Asserts that every acknowledged row is there and none that was never sent, as the
    /// endpoint shows it now; hands over the account.
    #[track_caller]
    pub fn stop_and_check(self) -> Journal {
        let plan = self.plan.clone();
        let journal = self.stop();
        let present = rows(&plan).expect("read the rows back");
        let missing = journal.missing_from(&present);
        assert!(
            missing.is_empty(),
            "{} of {} acknowledged rows are missing, from {:?} to {:?}\n{}",
            missing.len(),
            journal.acknowledged.len(),
            missing.first(),
            missing.last(),
            journal.last_errors()
        );
        journal
    }

    fn end(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The numbers that the table holds, read through the first host that answers.
pub fn rows(plan: &Plan) -> Result<BTreeSet<i64>> {
    let found = query(plan, &format!("SELECT n FROM {}", plan.table))?;
    found.iter().map(|text| text.parse().context("a number")).collect()
}

/// Runs one statement through the first host that takes the connection; the first column of
/// what it returns.
pub fn query(plan: &Plan, sql: &str) -> Result<Vec<String>> {
    runtime().block_on(async {
        let client = connect(plan).await?;
        let bound = tokio::time::timeout(Duration::from_secs(60), client.simple_query(sql));
        let messages = bound.await.context("no answer within a minute")??;
        Ok(messages.iter().filter_map(first_column).collect())
    })
}

fn first_column(message: &tokio_postgres::SimpleQueryMessage) -> Option<String> {
    match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime of one thread")
}

async fn write_rows(plan: &Plan, shared: &Shared) {
    let mut client = None;
    let mut next = tokio::time::Instant::now();
    while !shared.stopping.load(Ordering::Relaxed) {
        tokio::time::sleep_until(next).await;
        let Some(connected) = client.take() else {
            client = connect(plan).await.map_err(|error| shared.note(format!("{error:#}"))).ok();
            next = tokio::time::Instant::now();
            if client.is_none() {
                next += ROUND_PAUSE;
            }
            continue;
        };
        next = tokio::time::Instant::now() + plan.every;
        if write_one(plan, shared, &connected).await {
            client = Some(connected);
        }
    }
}

/// Writes one row; whether the connection is still of use.
async fn write_one(plan: &Plan, shared: &Shared, client: &Client) -> bool {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let insert = format!("INSERT INTO {} VALUES ({number})", plan.table);
    let sent = Instant::now();
    let outcome = tokio::time::timeout(plan.row_bound, client.simple_query(&insert)).await;
    let at = Instant::now();
    match outcome {
        Ok(Ok(_)) => {
            let row = Acknowledged { number, at, took: at - sent };
            shared.journal().acknowledged.push(row);
            return true;
        }
        Ok(Err(error)) => {
            // An ERROR rolled the row back. Anything else (FATAL, a lost connection) may have
            // come after the commit.
            let severity = error.as_db_error().and_then(|error| error.parsed_severity());
            if severity != Some(tokio_postgres::error::Severity::Error) {
                shared.journal().unclear.push((number, at));
            }
            shared.note(format!("row {number}: {}", in_words(&error)));
        }
        Err(_) => {
            shared.journal().unclear.push((number, at));
            shared.note(format!("row {number}: no answer within {:?}", plan.row_bound));
        }
    }
    false
}

async fn connect(plan: &Plan) -> Result<Client> {
    let mut refusals = Vec::new();
    for host in &plan.hosts {
        match tokio::time::timeout(plan.connect_bound, connect_from(plan.from, host)).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(Refusal(words))) => refusals.push(format!("{:?}: {words}", host.get_ports())),
            Err(_) => refusals.push(format!("{:?}: no answer", host.get_ports())),
        }
    }
    anyhow::bail!("no host takes a connection: {}", refusals.join("; "))
}

/// One host; the connection is served by a task of the runtime.
async fn connect_from(from: Option<IpAddr>, host: &Config) -> Result<Client, Refusal> {
    let Some(from) = from else {
        let (client, connection) = host.connect(NoTls).await?;
        tokio::spawn(connection);
        return Ok(client);
    };
    let port = host.get_ports().first().copied().unwrap_or(5432);
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    let (client, connection) = host.connect_raw(stream, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Why one host did not take the connection.
#[derive(Debug)]
struct Refusal(String);

impl From<tokio_postgres::Error> for Refusal {
    fn from(error: tokio_postgres::Error) -> Refusal {
        Refusal(in_words(&error))
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        Refusal(error.to_string())
    }
}

/// tokio-postgres prints only the kind; the message is in the source.
pub(crate) fn in_words(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => format!("{} {}: {}", db.severity(), db.code().code(), db.message()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}
