//! Guards whose node is gone: each still holds a PostgreSQL, until its deadline.

use std::time::Duration;

use anyhow::Context;
use howdah_base::NodeName;
use howdah_guard::{Guard, GuardError, Phase, Refusal, Request, StopMode};
use howdah_spec::{ClusterSpec, NodeSpec};
use tokio::time::{Instant, sleep};

use crate::failure::{Exit, Failure};
use crate::prepare::layout;
use crate::talk::say;

/// For the shutdown checkpoint; then every process is killed.
const FAST_WITHIN_MS: u32 = 60_000;
/// What the guard needs on top to see that no process is left.
const EMPTY_WITHIN: Duration = Duration::from_secs(70);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Stops them, and says whether there were any. Called when no node runs any more.
pub async fn stop_guards(spec: &ClusterSpec) -> anyhow::Result<bool> {
    let mut any = false;
    for (name, node) in &spec.nodes {
        any |= stop_guard(name, node).await?;
    }
    Ok(any)
}

/// Stops the guard of one node, if one was left.
pub async fn stop_guard(name: &NodeName, node: &NodeSpec) -> anyhow::Result<bool> {
    // A socket that nobody listens on is what a killed guard leaves.
    let Ok(guard) = Guard::attach(&layout::guard_socket(node)).await else { return Ok(false) };
    if guard.state().await.is_ok_and(|state| state.phase == Phase::Empty) {
        // Nothing to stop; it was about to leave, or is free to.
        return leave(name, &guard).await.map(|()| false);
    }
    say(format!("{name}: its guard was left behind; stopping PostgreSQL"));
    let stop = Request::Stop { mode: StopMode::Fast, within_ms: FAST_WITHIN_MS };
    match guard.request(stop).await {
        Ok(_) | Err(GuardError::Refused(Refusal::NotRunning) | GuardError::Gone) => {}
        Err(error) => return Err(error).with_context(|| format!("stop the guard of {name}")),
    }
    wait_until_empty(name, &guard).await?;
    leave(name, &guard).await.map(|()| true)
}

async fn leave(name: &NodeName, guard: &Guard) -> anyhow::Result<()> {
    match guard.request(Request::Leave).await {
        Ok(_) | Err(GuardError::Gone | GuardError::Refused(Refusal::Leaving)) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("stop the guard of {name}")),
    }
}

async fn wait_until_empty(name: &NodeName, guard: &Guard) -> anyhow::Result<()> {
    let deadline = Instant::now() + EMPTY_WITHIN;
    while Instant::now() < deadline {
        match guard.state().await {
            Ok(state) if state.phase == Phase::Empty => return Ok(()),
            Err(GuardError::Gone) => return Ok(()),
            // A guard that is busy killing answers late; the deadline bounds it.
            Ok(_) | Err(_) => sleep(LOOK_EVERY).await,
        }
    }
    let message = format!("{name}: PostgreSQL has not stopped within {} s", EMPTY_WITHIN.as_secs());
    Err(Failure::new(Exit::TimedOut, message).hint("howdah logs --postgresql").into())
}
