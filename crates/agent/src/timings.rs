//! How long the parts of a change of leader took: noted by the new leader turn by turn, and
//! written into the history once clients are let in.

use std::sync::Arc;

use howdah_base::record::{Change, Timings, key};
use howdah_base::{Term, Tick};
use howdah_ha::View;
use howdah_store::Txn;

use crate::agent::Agent;
use crate::shared::Shared;

/// What has been seen of the present change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopwatch {
    /// The first sign that the last leader was gone or ending.
    suspected: Option<Tick>,
    /// This node was seen not to lead: only then is the next takeover its own to measure.
    followed: bool,
    took_over: Option<(Term, Tick)>,
    writes: Option<Tick>,
}

/// Takes in one turn of the agent.
pub(crate) fn note(agent: &mut Agent, view: &View, now: Tick) {
    if !view.store.reachable || crate::publish::retakes(agent) {
        return;
    }
    let signs = [agent.memory.leaderless, agent.memory.leader_ended];
    let watch = &mut agent.stopwatch;
    if !view.store.leader_mine {
        let sign = signs.iter().flatten().map(|(_, at)| *at).min();
        *watch = Stopwatch { suspected: sign, followed: true, ..Stopwatch::default() };
        return;
    }
    let Some(term) = view.leader().map(|leader| leader.term).filter(|_| watch.followed) else {
        return;
    };
    let (_, took_over) = *watch.took_over.get_or_insert((term, now));
    let primary = view.running().is_some_and(|running| running.primary);
    if !primary {
        return;
    }
    let writes = *watch.writes.get_or_insert(now);
    if !view.local.gate_open {
        return;
    }
    let between = |from: Tick, to: Tick| Some(to.0.saturating_sub(from.0));
    let timings = Timings {
        deciding_ms: watch.suspected.and_then(|suspected| between(suspected, took_over)),
        promoting_ms: between(took_over, writes),
        opening_ms: between(writes, now),
    };
    *watch = Stopwatch::default();
    let shared = Arc::clone(&agent.shared);
    tokio::spawn(async move {
        if let Err(error) = keep(&shared, term, timings).await {
            tracing::debug!("the timings of term {term} are not in the history: {error}");
        }
    });
}

/// The term's own entry, if it is there and has none yet.
async fn keep(shared: &Shared, term: Term, timings: Timings) -> Result<(), String> {
    let store = &shared.config.store;
    let seen = store.snapshot().await.map_err(|e| e.to_string())?;
    let history = seen.get::<Vec<Change>>(key::HISTORY).map_err(|e| e.to_string())?;
    let (mut history, revision) = history.ok_or("there is no history")?;
    let entry = history.iter_mut().rev().find(|change| change.term == term);
    let entry = entry.filter(|change| change.timings == Timings::default());
    entry.ok_or("its entry is gone, or has been measured")?.timings = timings;
    let txn = Txn::new().at(key::HISTORY, revision).put(key::HISTORY, &history);
    store.txn(txn).await.map_err(|e| e.to_string())?;
    Ok(())
}
