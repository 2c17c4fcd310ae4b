//! WAL as it comes, and what is reported back.
//!
//! A task of its own holds the socket, so that status updates go on while the caller is busy:
//! `wal_sender_timeout` runs whether or not anybody has time for the next piece. What the caller
//! does not take fills the queue, then the socket, and then the server waits.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use howdah_base::{Lsn, Timeline};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::client::Client;
use super::link::{Ear, Link, Mouth};
use super::message::{self, Report};
use crate::PgError;

/// Pieces of at most 128 KiB that wait for the caller: two megabytes.
const EVENTS_MAX: usize = 16;
/// Without a change a status goes out this often, and sooner where the server is less patient.
const REPORT_EVERY: Duration = Duration::from_secs(10);
const REPORT_EVERY_MIN: Duration = Duration::from_millis(20);
/// Three statuses asked for a reply, and none came.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// What is left to be read of a connection that is closed.
const LAST_WORDS_WITHIN: Duration = Duration::from_secs(1);
/// Microseconds between 1970 and 2000, where PostgreSQL's time begins.
const EPOCH_2000_US: u128 = 946_684_800_000_000;

/// What the server said.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// WAL from `start` on, cut anywhere. `end`: how far the server's WAL goes.
    Wal { start: Lsn, end: Lsn, bytes: Vec<u8> },
    /// How far everything was sent. It is answered here, whether it asks for that or not.
    KeepAlive { end: Lsn, reply: bool },
    /// Nothing more comes of this timeline; the last event of a stream.
    TimelineEnds { next: Timeline, switchpoint: Lsn },
}

/// A stream that runs. Dropping it closes the connection.
#[derive(Debug)]
pub struct Stream {
    events: mpsc::Receiver<Result<Event, PgError>>,
    feedback: Feedback,
    task: JoinHandle<Option<Client>>,
}

/// Where what is durable is told. Clones tell the same stream.
#[derive(Clone, Debug)]
pub struct Feedback {
    report: Arc<watch::Sender<Report>>,
}

impl Feedback {
    /// Everything below `flushed` is durable, and everything below `written` has been taken. The
    /// server hears of it at once, may throw WAL away for it and acknowledge commits; neither
    /// ever goes back. Until the first call nothing is reported at all.
    pub fn report(&self, written: Lsn, flushed: Lsn) {
        self.report.send_if_modified(|known| {
            let flushed = known.flushed.max(flushed);
            let next = Report { written: known.written.max(written).max(flushed), flushed };
            std::mem::replace(known, next) != next
        });
    }
}

impl Stream {
    /// The next event; may be given up and called again. After [`Event::TimelineEnds`] or an error
    /// nothing comes.
    pub async fn next(&mut self) -> Result<Event, PgError> {
        let over = || Err(PgError::Lost("the stream is over".to_owned()));
        self.events.recv().await.unwrap_or_else(over)
    }

    pub fn feedback(&self) -> Feedback {
        self.feedback.clone()
    }

    /// After [`Event::TimelineEnds`]: the connection, which runs commands again.
    pub async fn end(mut self) -> Result<Client, PgError> {
        self.events.close();
        match self.task.await {
            Ok(Some(client)) => Ok(client),
            _ => Err(PgError::Lost("the stream ended before its timeline".to_owned())),
        }
    }
}

/// `client` has just entered COPY.
pub(super) fn begin(client: Client, sender_timeout: Duration) -> Stream {
    let every = match sender_timeout {
        Duration::ZERO => REPORT_EVERY,
        timeout => REPORT_EVERY.min(timeout / 3).max(REPORT_EVERY_MIN),
    };
    let (told, reports) = watch::channel(Report::default());
    let (events, queue) = mpsc::channel(EVENTS_MAX);
    let task = tokio::spawn(async move {
        let closed = events.clone();
        tokio::select! {
            client = run(client, &events, reports, every) => client,
            () = closed.closed() => None,
        }
    });
    Stream { events: queue, feedback: Feedback { report: Arc::new(told) }, task }
}

/// `client` never entered COPY: its timeline had ended.
pub(super) fn ended(client: Client, ends: Event) -> Stream {
    let (told, _) = watch::channel(Report::default());
    let (events, queue) = mpsc::channel(1);
    let task = tokio::spawn(async move { events.send(Ok(ends)).await.ok().map(|()| client) });
    Stream { events: queue, feedback: Feedback { report: Arc::new(told) }, task }
}

type Events = mpsc::Sender<Result<Event, PgError>>;

/// The connection, when it is in command mode again.
async fn run(
    mut client: Client,
    events: &Events,
    reports: watch::Receiver<Report>,
    every: Duration,
) -> Option<Client> {
    let streamed = converse(client.link(), events, reports, every).await;
    let ends = match streamed {
        Ok(()) => leave(&mut client).await,
        Err(error) => Err(error),
    };
    let whole = ends.is_ok();
    // `closed()` beside this ends it when nobody takes it.
    events.send(ends).await.ok()?;
    whole.then_some(client)
}

/// Both halves, up to CopyDone.
async fn converse(
    link: &mut Link,
    events: &Events,
    reports: watch::Receiver<Report>,
    every: Duration,
) -> Result<(), PgError> {
    let shared = Shared::default();
    let mut listening = std::pin::pin!(listen(&mut link.ear, events, &shared));
    tokio::select! {
        heard = &mut listening => heard,
        // A server that ends has said why before it hung up.
        said = report(&mut link.mouth, reports, every, &shared) => {
            timeout(LAST_WORDS_WITHIN, listening).await.unwrap_or(said)
        }
    }
}

/// What the two halves know of each other.
#[derive(Default)]
struct Shared {
    /// The server wants to hear of us now.
    asked: Notify,
    /// The caller is busy: nothing is read, so no answer may be asked for.
    busy: AtomicBool,
}

/// Up to CopyDone.
async fn listen(ear: &mut Ear, events: &Events, shared: &Shared) -> Result<(), PgError> {
    loop {
        let (kind, body) = ear.message(SILENT_MAX).await?;
        let event = match kind {
            b'd' => message::copied(body)?,
            b'c' => return Ok(()),
            b'E' => return Err(message::refusal(&body)),
            // The server is shut down, and everything was sent and reported.
            b'C' => return Err(PgError::Lost("the server is shutting down".to_owned())),
            b'S' | b'N' => continue,
            _ => return Err(message::unexpected("a message in a stream")),
        };
        if let Event::KeepAlive { reply: true, .. } = event {
            shared.asked.notify_one();
        }
        shared.busy.store(true, Ordering::Relaxed);
        if events.send(Ok(event)).await.is_err() {
            return Err(PgError::Lost("nobody takes what is streamed".to_owned()));
        }
        shared.busy.store(false, Ordering::Relaxed);
    }
}

/// At once when something is told or asked, else every so often.
async fn report(
    mouth: &mut Mouth,
    mut reports: watch::Receiver<Report>,
    every: Duration,
    shared: &Shared,
) -> Result<(), PgError> {
    let mut ask = false;
    loop {
        let known = *reports.borrow_and_update();
        mouth.say(&message::status(known, now(), ask)).await?;
        ask = tokio::select! {
            // Never an error: the stream that the caller holds has a sender.
            _ = reports.changed() => false,
            () = shared.asked.notified() => false,
            () = tokio::time::sleep(every) => !shared.busy.load(Ordering::Relaxed),
        };
    }
}

/// Ends our side of COPY, and hears which timeline follows.
async fn leave(client: &mut Client) -> Result<Event, PgError> {
    client.link().mouth.say(&message::copy_done()).await?;
    let rows = timeout(SILENT_MAX, client.rows()).await;
    message::next_timeline(&rows.map_err(|_| PgError::Silent(SILENT_MAX))??)
}

/// Microseconds since 2000.
fn now() -> i64 {
    let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    i64::try_from(unix.saturating_sub(EPOCH_2000_US)).unwrap_or(i64::MAX)
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Wal { start, end, bytes } => {
                write!(f, "Wal {{ {start}, {} bytes, server at {end} }}", bytes.len())
            }
            Event::KeepAlive { end, reply } => write!(f, "KeepAlive {{ {end}, reply: {reply} }}"),
            Event::TimelineEnds { next, switchpoint } => {
                write!(f, "TimelineEnds {{ {next} from {switchpoint} }}")
            }
        }
    }
}
