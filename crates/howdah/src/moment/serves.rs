//! The nodes come back, whoever keeps them, and the primary serves from the other directory.

use std::time::{Duration, Instant};

use howdah_base::record::{Leader, Member, ServerState, key};
use tokio::time::sleep;

use super::ground::Ground;
use super::journal::Journal;
use crate::failure::{Exit, Failure};
use crate::prepare::layout;
use crate::prepare::lock::Lock;
use crate::talk::{out, say};

const SERVES_WITHIN: Duration = Duration::from_secs(120);
/// Whoever keeps the nodes starts them again within this: a supervisor's longest pause, and some.
const COMES_WITHIN: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// `ran`: nodes ran before. `begun`: when writes stopped.
pub async fn wait(
    ground: &Ground,
    journal: &Journal,
    ran: bool,
    begun: Instant,
) -> anyhow::Result<()> {
    let typed = &ground.file.typed;
    let start = format!("howdah up{typed}, or start the nodes' services");
    let is_kept = || Lock::is_held(&ground.prepared.layout.up_pid());
    if !ran && !is_kept() {
        say(format!("hint: no node runs: {start}"));
        return Ok(());
    }
    let since = Instant::now();
    loop {
        if serves(ground, journal).await {
            let seconds = begun.elapsed().as_secs_f64();
            out(format!("{} serves; writes stopped for {seconds:.1} s", journal.node));
            return Ok(());
        }
        let late = |hint: String| {
            let what =
                format!("{} does not serve yet; the switch-over itself is done", journal.node);
            Err(Failure::new(Exit::TimedOut, what).hint(hint).into())
        };
        let mut nodes = ground.here.nodes.values();
        if since.elapsed() > COMES_WITHIN
            && !is_kept()
            && !nodes.any(|own| Lock::is_held(&layout::node_lock(own)))
        {
            return late(start);
        }
        if since.elapsed() > SERVES_WITHIN {
            return late(format!("howdah explain{typed}, howdah logs{typed}"));
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            _ = tokio::signal::ctrl_c() => return late(format!("howdah status{typed}")),
        }
    }
}

async fn serves(ground: &Ground, journal: &Journal) -> bool {
    let Ok(snapshot) = ground.store.snapshot().await else { return false };
    let leader = snapshot.get::<Leader>(key::LEADER).ok().flatten();
    let member =
        snapshot.get::<Member>(&format!("{}{}", key::MEMBERS, journal.node)).ok().flatten();
    let leads = leader.is_some_and(|(leader, _)| leader.node == journal.node);
    leads
        && member.is_some_and(|(member, _)| {
            member.server == ServerState::Primary && member.directory.as_ref() == Some(&journal.new)
        })
}
