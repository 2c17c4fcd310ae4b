//! SIGUSR2: the agent goes, PostgreSQL stays. Another agent of the node takes up the guard and
//! the lease where this one left them; when none comes, the guard ends PostgreSQL with the lease.
//!
//! An agent may end at any moment without harm, killed or not. So to leave is to end at once:
//! nothing is handed over that the next one would not find.

use anyhow::Context;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::journal::Journal;

/// How an agent that has left ends (EX_TEMPFAIL): a service manager starts the next one.
pub const LEFT: u8 = 75;

/// Listens from now on.
pub fn listen(serving: &Runtime, journal: &Journal) -> anyhow::Result<()> {
    let _entered = serving.enter();
    let mut asked = signal(SignalKind::user_defined2()).context("listen for SIGUSR2")?;
    let journal = journal.clone();
    serving.spawn(async move {
        if asked.recv().await.is_some() {
            tracing::info!(
                "asked to leave: PostgreSQL goes on under its guard, for the next agent"
            );
            journal.flush();
            std::process::exit(LEFT.into());
        }
    });
    Ok(())
}
