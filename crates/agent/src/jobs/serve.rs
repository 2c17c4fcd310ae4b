//! Start, follow, stop: the life of the server process.

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_base::{DirectoryId, NodeName, Term, Tick};
use howdah_ha::StopMode;
use howdah_postgres::logical;
use tokio::time::{Instant, sleep, timeout};

use super::Order;
use super::progress::Progress;
use crate::clock;
use crate::closing::Closed;
use crate::conf::ConfState;
use crate::event::{Event, Outcome};

/// Copying the state of logical slots, a few hundred bytes each, may hold a start up this long.
const SLOTS_WITHIN: Duration = Duration::from_secs(10);
/// How often a starting server is asked whether it takes connections.
const ASK_EVERY: Duration = Duration::from_millis(40);
/// A receiver ends in some 50 ms once its upstream is taken away.
const DETACHED_WITHIN: Duration = Duration::from_secs(10);
/// Looks in a row that show no receiver.
const LOOKS: u32 = 3;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A fast shutdown may take this long before the guard ends every process, milliseconds.
const STOP_WITHIN_MS: u32 = 30_000;
/// No process is left then.
const GONE_WITHIN: Duration = Duration::from_secs(35);
/// A server that hangs may hear SIGQUIT all the same; then every process is killed, milliseconds.
const END_WITHIN_MS: u32 = 1_000;

/// Start as primary, gate closed, voters' setting written before, under the write deadline.
pub(crate) async fn primary(
    order: Order,
    names: BTreeSet<DirectoryId>,
    needed: u32,
) -> Result<Outcome, String> {
    let Some(deadline) = order.deadline else {
        return Ok(too_late(None, "the lease has not been renewed yet"));
    };
    let conf = ConfState {
        standby: false,
        upstream: None,
        names,
        needed,
        gate_open: false,
        ..order.conf.clone()
    };
    start(order, conf, Some(deadline)).await
}

/// Start in recovery: no write deadline, there is nothing to write.
pub(crate) async fn standby(
    order: Order,
    upstream: Option<(NodeName, Term)>,
) -> Result<Outcome, String> {
    let conf = ConfState {
        standby: true,
        upstream,
        names: BTreeSet::new(),
        needed: 0,
        gate_open: true,
        ..order.conf.clone()
    };
    start(order, conf, None).await
}

async fn start(order: Order, conf: ConfState, deadline: Option<Tick>) -> Result<Outcome, String> {
    let conf = order.configure(conf).await?;
    clear_lock_files(&order).await?;
    if conf.standby {
        bring_logical_slots(&order).await;
    }
    if !order.shared.guard.start(&order.shared.config, deadline).await? {
        return Ok(too_late(Some(conf), "the right to write ends too soon"));
    }
    // From here on the loop extends the deadline with each renewal: recovery may take long.
    let _ = order.events.send(Event::Alive { alive: true, asked_at: clock::now() }).await;
    accepting(&order).await?;
    Ok(Outcome { conf: Some(conf), ..Outcome::default() })
}

fn too_late(conf: Option<ConfState>, why: &str) -> Outcome {
    let said = format!("the server is not started yet: {why}; it is tried again in a moment");
    Outcome { conf, late: true, said: Some(said), ..Outcome::default() }
}

/// Users' logical slots that are not here yet, while the server is down: they can be copied only
/// now. A standby without them still is one.
async fn bring_logical_slots(order: &Order) {
    let shared = &order.shared;
    let leader = order.store.leader.as_ref().map(|leader| &leader.value.node);
    let source = leader.filter(|leader| **leader != shared.config.node);
    let source = source.and_then(|leader| order.store.members.get(leader));
    let Some(source) = source.filter(|member| !member.logical_slots.is_empty()) else { return };
    let Ok(install) = shared.config.install() else { return };
    if install.major >= logical::KEPT_SINCE {
        return;
    }
    let data_dir = &shared.config.own().data_dir;
    let copied = async {
        let conninfo = shared.conninfo(&source.node, "howdah")?;
        logical::copy(install, &conninfo, data_dir, &source.logical_slots)
            .await
            .map_err(|e| e.to_string())
    };
    match timeout(SLOTS_WITHIN, copied).await {
        Ok(Ok(names)) if names.is_empty() => {}
        Ok(Ok(names)) => tracing::info!("logical slots are kept here too: {}", names.join(", ")),
        Ok(Err(error)) => tracing::warn!("logical slots are not kept here: {error}"),
        Err(_) => tracing::warn!("logical slots are not kept here: `{}` is slow", source.node),
    }
}

/// The guard refuses to start while a process of the instance is left, so a lock file that
/// is still there names nobody, or a zombie that its parent has not collected yet; PostgreSQL
/// itself cannot tell a zombie from a server and would refuse to start.
async fn clear_lock_files(order: &Order) -> Result<(), String> {
    if order.shared.guard.alive().await? {
        return Err("processes of the server are left".to_owned());
    }
    let config = &order.shared.config;
    let socket = format!(".s.PGSQL.{}.lock", config.own().postgres_port);
    for path in [config.own().data_dir.join("postmaster.pid"), config.socket_dir().join(socket)] {
        if let Err(error) = tokio::fs::remove_file(&path).await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(format!("cannot remove, {error}: `{}`", path.display()));
        }
    }
    Ok(())
}

/// Waits until the server takes connections, as long as it gets on; ends early when it has exited.
async fn accepting(order: &Order) -> Result<(), String> {
    let bound = order.shared.config.spec.ha.start_timeout.0;
    let mut progress = Progress::begin();
    loop {
        let error = match order.shared.ready().await {
            true => match order.session().await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            },
            false => "it is still in recovery".to_owned(),
        };
        if !order.shared.guard.alive().await? {
            let shared = std::sync::Arc::clone(&order.shared);
            let last = super::blocking(move || Ok(shared.server_complaint())).await?;
            return Err(format!("the server ended while it was starting: {last}"));
        }
        let postmaster = order.shared.guard.postmaster_pid().await.ok().flatten();
        if progress.still_for(postmaster).await > bound {
            order.shared.guard.stop(howdah_guard::StopMode::Immediate, STOP_WITHIN_MS).await?;
            let left = order.shared.guard.gone(GONE_WITHIN).await.err();
            let left = left.map(|left| format!("; {left}")).unwrap_or_default();
            let at = progress.words();
            return Err(format!("the server got no further for {bound:?}: {error}; `{at}`{left}"));
        }
        sleep(ASK_EVERY).await;
    }
}

/// Another upstream, or another term's slot: `primary_conninfo` is reloadable since 13.
pub(crate) async fn follow(order: Order, upstream: (NodeName, Term)) -> Result<Outcome, String> {
    let conf = ConfState {
        standby: true,
        upstream: Some(upstream),
        gate_open: true,
        ..order.conf.clone()
    };
    let conf = order.configure(conf).await?;
    order.session().await?.reload().await.map_err(|e| e.to_string())?;
    Ok(Outcome { conf: Some(conf), ..Outcome::default() })
}

/// No upstream, and no WAL receiver any more. One that the startup process had begun before it
/// read the new setting shows in a later look, so one look is not enough.
pub(crate) async fn detach(order: Order) -> Result<Outcome, String> {
    let conf = ConfState { standby: true, upstream: None, gate_open: true, ..order.conf.clone() };
    let conf = order.configure(conf).await?;
    let session = order.session().await?;
    session.reload().await.map_err(|e| e.to_string())?;
    session.shows("primary_conninfo", "").await.map_err(|e| e.to_string())?;
    let (begun, mut absent) = (Instant::now(), 0);
    while absent < LOOKS {
        if begun.elapsed() > DETACHED_WITHIN {
            return Err(format!("its WAL receiver is there after {DETACHED_WITHIN:?}"));
        }
        let probe = session.probe().await.map_err(|e| e.to_string())?;
        absent = if probe.receiver.is_none() { absent + 1 } else { 0 };
        sleep(LOOK_EVERY).await;
    }
    Ok(Outcome { conf: Some(conf), ..Outcome::default() })
}

/// Stops the server, clients on their way in first; the guard leaves no process of the instance.
pub(crate) async fn stop(
    order: Order,
    mode: StopMode,
    mut closed: Option<Closed>,
) -> Result<Outcome, String> {
    match mode {
        StopMode::Fast => {
            if let Some(closed) = &mut closed {
                closed.let_in().await;
            }
            order.shared.guard.stop(howdah_guard::StopMode::Fast, STOP_WITHIN_MS).await?;
        }
        StopMode::Immediate => {
            order.shared.guard.stop(howdah_guard::StopMode::Immediate, END_WITHIN_MS).await?;
        }
        StopMode::Fence => order.shared.guard.kill().await?,
    }
    order.shared.guard.gone(GONE_WITHIN).await?;
    Ok(Outcome::default())
}
