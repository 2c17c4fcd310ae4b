//! The agent's end of the guard's socket (tokio).
//!
//! One task owns the connection. When it ends, for whatever reason, every waiting request gets
//! [`GuardError::Gone`] and the events end with [`Event::Gone`].

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::error::GuardError;
use crate::lines::Lines;
use crate::message::{Asked, Event, Reply, Request, Said, State, line};

/// The guard answers in microseconds unless it is frozen.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Requests on their way; a caller beyond it waits within its own [`ANSWER_WITHIN`].
const REQUESTS_MAX: usize = 16;
/// Events not yet taken. Two belong to one run of a server, so this many mean a dead reader.
const EVENTS_MAX: usize = 64;

/// A connection to a guard. Clones share it; it closes with the last of them.
#[derive(Clone, Debug)]
pub struct Guard {
    pid: Option<i32>,
    requests: mpsc::Sender<Call>,
    events: Arc<Mutex<Option<mpsc::Receiver<Event>>>>,
}

#[derive(Debug)]
struct Call {
    request: Request,
    answer: oneshot::Sender<Reply>,
}

impl Guard {
    /// Connects to the guard that listens there.
    pub async fn attach(socket: &Path) -> Result<Guard, GuardError> {
        let connecting = timeout(ANSWER_WITHIN, UnixStream::connect(socket));
        let stream = connecting
            .await
            .map_err(|_| no_answer())?
            .map_err(GuardError::io("attach to the guard", socket))?;
        let pid = stream.peer_cred().ok().and_then(|guard| guard.pid());
        let (requests, calls) = mpsc::channel(REQUESTS_MAX);
        let (events, told) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(Connection::new(stream, events).run(calls));
        Ok(Guard { pid, requests, events: Arc::new(Mutex::new(Some(told))) })
    }

    /// The guard's process id, from the kernel and not from the guard: one that is frozen answers
    /// nothing, and has to be killed before another can take its place.
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Asks, and waits for the answer at most two seconds. A refusal is an error.
    pub async fn request(&self, request: Request) -> Result<Reply, GuardError> {
        let (answer, answered) = oneshot::channel();
        let exchange = async {
            let call = Call { request, answer };
            self.requests.send(call).await.map_err(|_| GuardError::Gone)?;
            answered.await.map_err(|_| GuardError::Gone)
        };
        match timeout(ANSWER_WITHIN, exchange).await.map_err(|_| no_answer())?? {
            Reply::Refused { refusal } => Err(refusal.into()),
            reply => Ok(reply),
        }
    }

    /// What the guard knows now.
    pub async fn state(&self) -> Result<State, GuardError> {
        match self.request(Request::State).await? {
            Reply::State(state) => Ok(state),
            _ => Err(GuardError::Gone),
        }
    }

    /// Everything that the guard has told since [`Guard::attach`], and tells from now on. There
    /// is one reader: a second call gets a receiver that has already ended.
    pub fn events(&self) -> mpsc::Receiver<Event> {
        let mut held = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        held.take().unwrap_or_else(|| mpsc::channel(1).1)
    }
}

fn no_answer() -> GuardError {
    GuardError::NoAnswer { ms: u64::try_from(ANSWER_WITHIN.as_millis()).unwrap_or(u64::MAX) }
}

/// The task behind a [`Guard`].
struct Connection {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    lines: Lines,
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
    next_id: u64,
    events: mpsc::Sender<Event>,
}

impl Connection {
    fn new(stream: UnixStream, events: mpsc::Sender<Event>) -> Connection {
        let (read, write) = stream.into_split();
        Connection {
            read,
            write,
            lines: Lines::default(),
            waiting: HashMap::new(),
            next_id: 0,
            events,
        }
    }

    /// Until the guard hangs up, breaks the form, or nobody holds the [`Guard`] any more.
    async fn run(mut self, mut calls: mpsc::Receiver<Call>) {
        let mut bytes = [0; 4096];
        loop {
            let going_on = tokio::select! {
                call = calls.recv() => match call {
                    Some(call) => self.send(call).await,
                    None => return,
                },
                read = self.read.read(&mut bytes) => match read {
                    Ok(count @ 1..) => self.take(&bytes[..count]),
                    _ => None,
                },
            };
            if going_on.is_none() {
                break;
            }
        }
        // A reader that left 64 events untaken will not read this one either.
        self.events.try_send(Event::Gone).ok();
    }

    /// A frozen guard stops reading; then the write is given up, and the connection with it.
    async fn send(&mut self, call: Call) -> Option<()> {
        self.waiting.retain(|_, answer| !answer.is_closed());
        self.next_id += 1;
        self.waiting.insert(self.next_id, call.answer);
        let bytes = line(&Asked { id: self.next_id, request: call.request });
        timeout(ANSWER_WITHIN, self.write.write_all(&bytes)).await.ok()?.ok()
    }

    fn take(&mut self, bytes: &[u8]) -> Option<()> {
        for line in self.lines.take(bytes).ok()? {
            // A newer guard may say what this client has no word for. That is no reason to end.
            let Ok(said) = serde_json::from_slice(&line) else { continue };
            match said {
                Said::Reply { id, reply } => {
                    if let Some(answer) = self.waiting.remove(&id) {
                        answer.send(reply).ok();
                    }
                }
                Said::Event(event) => self.events.try_send(event).ok()?,
            }
        }
        Some(())
    }
}
