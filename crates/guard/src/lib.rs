//! PostgreSQL's parent: holds the write deadline and leaves no process of the instance behind.
//!
//! ```text
//! agent (tokio) ── Guard ──┐ Unix socket, one JSON line a message
//!                          ▼
//!               guard process (one loop, no runtime) ── fork ──► postmaster ──► backends ...
//!                  ▲ signalfd (SIGCHLD, SIGTERM)
//!                  ▲ timerfd  (CLOCK_BOOTTIME: the deadline)
//!                  └ watchdog (if wanted: a device that is fed until others may lead)
//! ```
//! [`run`] is the guard process; [`spawn`] starts one that outlives its starter; [`Guard`] talks
//! to it; [`sweep`] does the guard's last duty where the guard itself was killed.
//!
//! Absent on purpose: the guard never reads, writes or stats the data directory, never speaks
//! SQL, never waits for a client or a disk while a server runs.

mod client;
mod clients;
mod clock;
mod duty;
mod error;
mod instance;
mod journal;
mod lines;
mod message;
mod postmaster;
mod processes;
mod serve;
mod setup;
mod spawn;
mod watchdog;

pub use client::Guard;
pub use error::GuardError;
pub use message::{Event, Exit, ExitStatus, Phase, Refusal, Reply, Request, State, StopMode};
pub use processes::{survivors, sweep};
pub use setup::run;
pub use spawn::spawn;
pub use watchdog::{
    Device, OpenDevice, WatchdogState, Wish as WatchdogWish, open as open_watchdog,
};

use std::path::PathBuf;
use std::time::Duration;

/// So long before the deadline the postmaster gets SIGQUIT (an immediate shutdown): its
/// backends end by themselves, and clients are told.
pub const QUIT_BEFORE: Duration = Duration::from_millis(700);
/// So long before the deadline every process of the instance gets SIGKILL, again and again
/// until none is left. The time is for a loaded machine; a killed process ends in a few ms.
pub const KILL_BEFORE: Duration = Duration::from_millis(300);

/// What `howdah guard` is told on its command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens. The lock file is beside it, with `.lock` appended.
    pub socket: PathBuf,
    pub data_dir: PathBuf,
    /// Its own log; PostgreSQL's is named in [`Request::Start`].
    pub log: PathBuf,
    /// How a watchdog is started, once an agent wants one: [`open_watchdog`].
    pub watchdog: OpenDevice,
}
