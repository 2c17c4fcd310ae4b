//! `howdah up` after everything is prepared: one process a node, kept running, stopped in order.
//!
//! ```text
//!             stop (one watch a node)
//! supervise ------------------------> keep(n1)  keep(n2)  keep(n3)
//!     \--ask--> status (for progress, and for who is stopped last)
//! ```

mod backoff;
mod given_up;
mod keep;
mod process;
mod ready;
mod relay;
mod screen;

pub mod leftover;

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use howdah_base::NodeName;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

use crate::ask::Asker;
use crate::failure::Failure;
use crate::keeper;
use crate::prepare::Prepared;
use crate::renew;
use crate::talk::say;

use given_up::GivenUp;
use keep::Told;
use screen::print_welcome;

pub use process::{signal_found, try_again};
pub use ready::{Outcome, until_ready};
pub use relay::Relay;
pub use screen::{print_outcome, print_running};

/// Whether somebody reads along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Audience {
    /// A terminal: progress, then how to connect.
    Operator,
    /// A log file: whoever started this process tells the operator.
    Log,
}

/// One node's keeper.
struct Keeper {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// Runs all nodes until SIGINT or SIGTERM, then stops them.
pub fn run(prepared: Prepared, audience: Audience) -> anyhow::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build().context("start a runtime")?;
    runtime.block_on(supervise(Arc::new(prepared), audience))
}

async fn supervise(prepared: Arc<Prepared>, audience: Audience) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let asker = Asker::of(&prepared);
    let (given_up, again) = (GivenUp::new(), watch::Sender::new(()));
    let keepers = start(&prepared, &given_up, &again);
    tokio::spawn(renew_daily(prepared.clone()));
    let is_refused = tokio::select! {
        () = signals.stop(&again) => false,
        () = given_up.all(keepers.len()) => true,
        () = welcome(&prepared, &asker, audience, &given_up) => false,
    };
    stop(&prepared, &asker, keepers, &mut signals).await?;
    if is_refused {
        let message = format!("no node of cluster {} can be started", prepared.spec.cluster);
        return Err(Failure::refused(message)
            .hint("mend what is said above, then howdah up")
            .into());
    }
    Ok(())
}

/// Says how to connect, where somebody reads it; never ends.
async fn welcome(prepared: &Prepared, asker: &Asker, audience: Audience, given_up: &GivenUp) {
    if audience == Audience::Operator {
        let outcome = until_ready(&prepared.spec, asker, given_up).await;
        print_welcome(prepared, &outcome);
    }
    std::future::pending().await
}

/// `up` may be root where its nodes are not, and then only it can read the CA's key.
async fn renew_daily(prepared: Arc<Prepared>) {
    loop {
        sleep(renew::EVERY).await;
        let spec = prepared.spec.clone();
        match spawn_blocking(move || renew::renew(&spec, false)).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => say(format!("howdah: certificates were not renewed: {error:#}")),
            Err(error) => say(format!("howdah: certificates were not renewed: {error}")),
        }
    }
}

fn start(
    prepared: &Arc<Prepared>,
    given_up: &GivenUp,
    again: &watch::Sender<()>,
) -> BTreeMap<NodeName, Keeper> {
    let keep_one = |node: &NodeName| {
        let (stop, stopped) = watch::channel(false);
        let told = Told { stop: stopped, again: again.subscribe() };
        let task = tokio::spawn(keep::keep(prepared.clone(), node.clone(), told, given_up.clone()));
        (node.clone(), Keeper { stop, task })
    };
    prepared.spec.nodes.keys().map(keep_one).collect()
}

/// The primary first: its shutdown sends the standbys everything, so that each of them stands
/// where it stands. It keeps its lease to the end, so nobody takes over in the meantime.
async fn stop(
    prepared: &Prepared,
    asker: &Asker,
    mut keepers: BTreeMap<NodeName, Keeper>,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    say(format!("stopping cluster {}; start it again with `howdah up`", prepared.spec.cluster));
    let leader = asker.status().await.ok().and_then(|status| status.leader);
    let first = leader.and_then(|leader| keepers.remove(&leader));
    let in_order = async {
        stop_all(first.into_iter().collect()).await;
        stop_all(keepers.into_values().collect()).await;
    };
    tokio::pin!(in_order);
    loop {
        tokio::select! {
            () = &mut in_order => break,
            () = signals.stop_again() => say("still stopping; PostgreSQL is writing its last checkpoint"),
        }
    }
    leftover::stop_guards(&prepared.spec).await?;
    keeper::end_all(&prepared.spec, &prepared.server).await?;
    Ok(())
}

async fn stop_all(keepers: Vec<Keeper>) {
    for keeper in &keepers {
        // A keeper that has ended by itself is not there to be told.
        let _ = keeper.stop.send(true);
    }
    for keeper in keepers {
        if let Err(error) = keeper.task.await {
            say(format!("howdah: a keeper failed: {error}"));
        }
    }
}

/// The signals that stop a cluster. SIGHUP does not: a terminal may be closed. SIGUSR1 asks to try
/// the nodes again that were refused.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    again: Signal,
    _hangup: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Signals {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            again: listen(SignalKind::user_defined1())?,
            // Received and dropped, which is how it is ignored.
            _hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the end, and passes on meanwhile what is to be tried again.
    async fn stop(&mut self, again: &watch::Sender<()>) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.again.recv() => again.send_replace(()),
            };
        }
    }

    async fn stop_again(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
