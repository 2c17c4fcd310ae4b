//! Hooks and the virtual IP of a node: what they are told, and that what runs is what the file in
//! force says.
//!
//! ```text
//!   agent ── status, vitals ──► Seen ──► howdah-hooks ──► commands, webhooks, the helper
//!     ▲ └─── the file in force ──► what has changed is stopped and started
//!     └───── problems: notices of this node, and so its status
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use howdah_agent::{Channels, Vitals};
use howdah_base::NodeName;
use howdah_base::status::ClusterStatus;
use howdah_hooks::vip::{self, HelperOptions};
use howdah_hooks::{Beside, HooksConfig, Running, Seen, Vip};
use howdah_spec::{ClusterSpec, HookSpec, NodeKind, NodeSpec, VipSpec};
use nix::unistd::Uid;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::prepare::{Prepared, layout};
use crate::talk::say;

/// A node that stops lets its hooks tell of it for so long.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// What is under way when the file changes may end within this; then it is called anew. Short:
/// nothing newer is told meanwhile.
const CHANGE_WITHIN: Duration = Duration::from_secs(1);

/// The hooks of a node that runs.
#[derive(Debug)]
pub struct Hooks {
    stop: watch::Sender<Option<Duration>>,
    ended: JoinHandle<()>,
    /// Of the virtual IP's helper, whether there is one or not.
    helper: PathBuf,
}

impl Hooks {
    /// Starts what the file in force says, and follows it. `identity` tells this cluster from others
    /// of its name; `problems` goes where [`with_problems`] takes it from.
    pub fn start(
        serving: &Runtime,
        node: &NodeName,
        identity: String,
        channels: &Channels,
        problems: watch::Sender<Vec<String>>,
    ) -> Hooks {
        let spec = channels.spec.clone();
        let unknown = Seen::unknown(spec.borrow().cluster.clone(), node.clone());
        let first = Seen { identity, ..unknown };
        let helper = layout::vip_socket(&spec.borrow().nodes[node]);
        let (told, seen) = watch::channel(first);
        serving.spawn(see(channels.status.clone(), channels.vitals.clone(), told));
        let (stop, stopped) = watch::channel(None);
        let at_work = AtWork { node: node.clone(), spec, seen, problems };
        Hooks { stop, ended: serving.spawn(at_work.run(stopped)), helper }
    }

    /// The node's server is down, as the agent has told: hooks say so, then nothing is left of them.
    pub async fn end(self) {
        self.stop_within(LAST_WORDS).await;
    }

    /// The process starts itself anew, or ends by a fault: what is open is called by the next one.
    pub async fn leave(self) {
        self.stop_within(Duration::ZERO).await;
    }

    async fn stop_within(self, patience: Duration) {
        self.stop.send_replace(Some(patience));
        let _ = self.ended.await;
        if !patience.is_zero() {
            let helper = self.helper;
            let _ = tokio::task::spawn_blocking(move || vip::end_helper(&helper)).await;
        }
    }
}

/// What hooks of this node run with; another one means another start.
#[derive(Clone, PartialEq, Debug)]
struct Wanted {
    hooks: BTreeMap<String, HookSpec>,
    /// `None` also on a witness: it has no server that clients could reach.
    vip: Option<VipSpec>,
}

impl Wanted {
    fn of(spec: &ClusterSpec, node: &NodeName) -> Wanted {
        let vip = spec.vip.clone().filter(|_| spec.nodes.get(node).is_some_and(has_server));
        Wanted { hooks: spec.hooks.clone(), vip }
    }
}

fn has_server(node: &NodeSpec) -> bool {
    node.kind == NodeKind::Data
}

struct AtWork {
    node: NodeName,
    spec: watch::Receiver<Arc<ClusterSpec>>,
    seen: watch::Receiver<Seen>,
    problems: watch::Sender<Vec<String>>,
}

impl AtWork {
    async fn run(mut self, mut stop: watch::Receiver<Option<Duration>>) {
        let own = self.spec.borrow().nodes[&self.node].clone();
        let mut wanted = Wanted::of(&self.spec.borrow_and_update(), &self.node);
        loop {
            let socket = layout::vip_socket(&own);
            let vip = wanted.vip.clone().map(|spec| Vip { spec, socket });
            let config = HooksConfig {
                hooks: wanted.hooks.clone(),
                state_dir: own.state_dir.clone(),
                vip,
                ca_file: None,
            };
            let mut running = howdah_hooks::start(config, self.seen.clone());
            let next = tokio::select! {
                patience = stop.wait_for(Option::is_some) => {
                    Err(patience.ok().and_then(|patience| *patience).unwrap_or_default())
                }
                next = self.other_than(&wanted, &mut running) => Ok(next),
            };
            wanted = match next {
                Ok(next) => next,
                Err(patience) => return running.stop(patience).await,
            };
            tracing::info!("the file in force has other hooks: they are started anew");
            running.stop(CHANGE_WITHIN).await;
        }
    }

    /// Passes problems on until the file in force wants something else.
    async fn other_than(&mut self, wanted: &Wanted, running: &mut Running) -> Wanted {
        let (mut follows, mut runs) = (true, true);
        loop {
            let problems = running.problems.borrow_and_update().clone();
            self.problems.send_if_modified(|last| {
                let changed = *last != problems;
                *last = problems;
                changed
            });
            tokio::select! {
                changed = self.spec.changed(), if follows => follows = changed.is_ok(),
                changed = running.problems.changed(), if runs => runs = changed.is_ok(),
                // Whoever asks for the end still can.
                else => std::future::pending().await,
            }
            let next = Wanted::of(&self.spec.borrow_and_update(), &self.node);
            if next != *wanted {
                return next;
            }
        }
    }
}

/// Publishes what hooks go by, until the agent has ended; its last word is among it.
async fn see(
    mut status: watch::Receiver<Option<Arc<ClusterStatus>>>,
    mut vitals: watch::Receiver<Vitals>,
    seen: watch::Sender<Seen>,
) {
    let mut alive = true;
    loop {
        let (leads_until, reloads) = {
            let vitals = vitals.borrow_and_update();
            (vitals.leader_until, vitals.reloads)
        };
        if let Some(status) = status.borrow_and_update().as_ref() {
            let beside = Beside { leads_until, reloads, unix_ms: howdah_agent::unix_ms() };
            let now = Seen::of_status(status, beside);
            seen.send_if_modified(|last| {
                let now = Seen { identity: last.identity.clone(), ..now };
                let changed = *last != now;
                *last = now;
                changed
            });
        }
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            changed = vitals.changed(), if alive => alive = changed.is_ok(),
        }
    }
}

/// The node's notices, and what is wrong with its hooks and its virtual IP.
pub fn with_problems(
    serving: &Runtime,
    mut notices: watch::Receiver<Vec<String>>,
) -> (watch::Sender<Vec<String>>, watch::Receiver<Vec<String>>) {
    let (told, mut problems) = watch::channel(Vec::new());
    let (all, both) = watch::channel(notices.borrow().clone());
    serving.spawn(async move {
        let mut hooks = true;
        loop {
            let mut next = notices.borrow_and_update().clone();
            next.extend(problems.borrow_and_update().iter().cloned());
            all.send_if_modified(|last| {
                let changed = *last != next;
                *last = next;
                changed
            });
            tokio::select! {
                changed = notices.changed() => if changed.is_err() { return },
                changed = problems.changed(), if hooks => hooks = changed.is_ok(),
            }
        }
    });
    (told, both)
}

/// Starts the virtual IP's helper while this process is still root, if the file has a virtual IP;
/// one that runs already is left alone. Without it the node works all the same: the status says
/// what is missing.
pub fn start_helper(prepared: &Prepared, node: &NodeName) {
    let own = &prepared.spec.nodes[node];
    let Some(vip) = prepared.spec.vip.as_ref().filter(|_| has_server(own)) else { return };
    if !Uid::effective().is_root() {
        return;
    }
    let options = HelperOptions {
        socket: layout::vip_socket(own),
        address: vip.address,
        prefix: vip.prefix,
        interface: vip.interface.clone(),
        owner: Some(prepared.server.uid.as_raw()),
    };
    let exe = Path::new("/proc/self/exe");
    if let Err(error) = vip::spawn_helper(exe, &options, &layout::vip_log(own)) {
        say(format!("howdah: the virtual IP `{}` is not kept: {error}", vip.address));
    }
}
