//! What stands around the cluster is told of its changes: commands, webhooks, the virtual IP.
//!
//! ```text
//!  Seen (watch) ─┬─► vip: hold or drop ───────────► helper process (holds a deadline itself)
//!                │        │ settled
//!                └─► plan ▼ ─► queues, one a hook ─► journal ─► attempts: command | webhook
//!                     ▲            │ superseded: killed           │ outcome
//!                     └────────────┴───────────── problems ◄──────┘
//! ```
//! [`calls`] is pure: what has changed, and which call may be made now. The loop in `run` joins them to processes, sockets and the disk, and never to the agent: it reads one
//! `watch` channel and writes another.
//!
//! Absent on purpose: a shell (a command is a program and its arguments), redirects of webhooks,
//! and any way for a hook to stop or delay what it is told of.

mod action;
mod clock;
mod firing;
mod from_status;
mod journal;
mod run;
mod seen;

pub mod calls;
pub mod vip;

pub use firing::Firing;
pub use from_status::Beside;
pub use seen::{Leader, Reason, Role, Seen};

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use howdah_spec::{HookSpec, VipSpec};
use tokio::sync::watch;

/// What hooks of one node are run with.
#[derive(Clone, Debug)]
pub struct HooksConfig {
    /// By name, as the cluster file has them. To change them: [`Running::stop`], then [`start`]
    /// again; what was told is in the journal.
    pub hooks: BTreeMap<String, HookSpec>,
    /// The journal, `hooks.json`, is kept in here.
    pub state_dir: PathBuf,
    /// Where the cluster file has a `[vip]`.
    pub vip: Option<Vip>,
    /// Certificates of authorities for https; the system's when `None`.
    pub ca_file: Option<PathBuf>,
}

/// The virtual IP, and who keeps it.
#[derive(Clone, Debug)]
pub struct Vip {
    pub spec: VipSpec,
    /// The helper's socket: [`vip::HelperOptions::socket`].
    pub socket: PathBuf,
}

/// Hooks at work.
#[derive(Debug)]
pub struct Running {
    /// What is wrong with hooks and the virtual IP now, one sentence each.
    pub problems: watch::Receiver<Vec<String>>,
    stop: watch::Sender<Option<Duration>>,
    ended: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Ends all of it. What the last [`Seen`] asks for may still run, at most for `patience`;
    /// then it is killed, and tried again by the next [`start`]. The virtual IP stays with its
    /// helper until its deadline, or until a [`Seen`] has said that it must go.
    pub async fn stop(self, patience: Duration) {
        self.stop.send_replace(Some(patience));
        let _ = self.ended.await;
    }
}

/// Starts the hooks on the runtime of the caller. They fail in the open, and end with
/// [`Running::stop`] or with the last of [`Running`].
pub fn start(config: HooksConfig, seen: watch::Receiver<Seen>) -> Running {
    let (told, problems) = watch::channel(Vec::new());
    let (stop, stopped) = watch::channel(None);
    let ended = tokio::spawn(async move {
        if let Some(run) = run::Run::new(config, seen, told).await {
            run.run(stopped).await;
        }
    });
    Running { problems, stop, ended }
}
