//! What agent and guard say to each other: one JSON object a line.
//!
//! A request carries a number and its answer repeats it, because events come in between and an
//! answer that came too late must not be taken for the next one. A guard outlives upgrades of the
//! agent, so a field added here later needs a default.

use std::fmt;
use std::path::PathBuf;

use howdah_base::Tick;
use serde::{Deserialize, Serialize};

use crate::watchdog::{WatchdogState, Wish};

/// Longer lines are refused, and the client that sent one is dropped.
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// What a client may ask.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Request {
    /// Starts the server. The deadline is armed before the fork. Refused while a process of the
    /// instance is left, and when the deadline has passed.
    Start {
        program: PathBuf,
        args: Vec<String>,
        /// The whole environment; nothing is inherited.
        env: Vec<(String, String)>,
        /// Where stdout and stderr go, appended.
        log: PathBuf,
        /// `None`: a standby, which needs no right to write.
        deadline: Option<Tick>,
    },
    /// Moves the deadline forward, or sets one where there was none. An earlier one than the
    /// deadline in force changes nothing. Refused once the fence has begun.
    Extend {
        deadline: Tick,
    },
    /// No deadline any more: the server is a standby now. Refused once the fence has begun.
    Disarm,
    /// Stops the server. Answered at once; [`Event::Exited`] follows. After `within_ms` every
    /// process is killed.
    Stop {
        mode: StopMode,
        within_ms: u32,
    },
    /// Kills every process. Answered at once; [`Event::Exited`] follows. Refused as `NotRunning`
    /// where none is left, which is what was wanted.
    Kill,
    /// The postmaster reads its configuration files again.
    Reload,
    State,
    /// How the watchdog is to be kept from now on; `None`: not at all.
    Watch {
        wish: Option<Wish>,
    },
    /// The guard ends. Refused while a process of the instance is left.
    Leave,
}

/// PostgreSQL's shutdown modes; `smart` waits for clients and has no place here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// SIGINT: clients are cut, a checkpoint is written, standbys get the last WAL.
    Fast,
    /// SIGQUIT: recovery at the next start.
    Immediate,
}

/// The answer to a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Reply {
    Done,
    State(State),
    Refused { refusal: Refusal },
}

/// Why the guard does not do what it was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Refusal {
    #[error("processes of the instance are left: `{count}`")]
    ProcessesLeft { count: u32 },
    #[error("no server runs")]
    NotRunning,
    #[error("the deadline has passed: `{deadline}`")]
    DeadlinePassed { deadline: Tick },
    #[error("the fence has begun and is not taken back, its deadline: `{deadline}`")]
    Fencing { deadline: Tick },
    #[error("the guard is about to leave")]
    Leaving,
    #[error("the server does not start: {error}: `{}`", program.display())]
    StartFailed { program: PathBuf, error: String },
    #[error("no server may write here without the watchdog, which does not work: {error}")]
    NoWatchdog { error: String },
    #[error("not a request: {error}")]
    Malformed { error: String },
    #[error("too many clients, at most: `{max}`")]
    TooManyClients { max: u32 },
}

/// What the guard knows.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    pub guard_pid: i32,
    /// The guard's version, which may be older than the agent's.
    pub version: String,
    /// Since when the guard runs.
    pub started_at: Tick,
    pub phase: Phase,
    pub postmaster_pid: Option<i32>,
    pub server_started_at: Option<Tick>,
    /// Living processes of the instance, by `/proc`, at this moment.
    pub alive_processes: u32,
    pub deadline: Option<Tick>,
    /// How the last server of this guard ended.
    pub last_exit: Option<Exit>,
    #[serde(default)]
    pub watchdog: WatchdogState,
}

/// What the guard is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No process of the instance is left.
    Empty,
    Running,
    /// A shutdown was asked for, by a client, by SIGTERM, or by the deadline.
    Stopping,
    /// Every process is being killed.
    Killing,
}

/// How a server ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exit {
    pub pid: i32,
    pub status: ExitStatus,
    /// Always true: the guard says nothing before it has seen that none is left.
    pub no_process_left: bool,
    /// The deadline ended it.
    pub fenced: bool,
    /// When the postmaster's end was seen.
    pub ended_at: Tick,
    /// When none was left.
    pub empty_at: Tick,
}

/// What the postmaster left as its status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    Code(i32),
    Signal(i32),
}

impl ExitStatus {
    /// A shutdown that wrote its checkpoint.
    pub fn is_clean(self) -> bool {
        self == ExitStatus::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(code) => write!(f, "exit code {code}"),
            ExitStatus::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What the guard tells every attached client unasked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The server has ended and no process of the instance is left.
    Exited(Exit),
    /// The deadline was not extended in time and the fence has begun. [`Event::Exited`] follows.
    Fenced { deadline: Tick, at: Tick },
    /// The guard itself is gone (told by the client, never sent): [`crate::sweep`] now.
    Gone,
}

/// A line from a client. The request is read in a second step, so that an old guard answers even
/// what it does not know.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked<T> {
    pub id: u64,
    pub request: T,
}

/// A line from the guard.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    Reply { id: u64, reply: Reply },
    Event(Event),
}

/// One message as a line. Values of these types always serialize: no map has a key that is not text.
pub fn line(message: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
