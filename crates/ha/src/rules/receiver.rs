//! A standby that is not streaming. One whose upstream has thrown away the WAL that it needs never
//! will again: its directory is replaced by a copy.

use std::time::Duration;

use super::{Case, Step, follow};
use crate::{Command, DirectoryFacts, Rule, StopMode};

/// Its upstream may be changing hands; then what it lacks is perhaps there.
const GONE_FOR: Duration = Duration::from_secs(20);

/// `name`: its upstream, for the words.
pub(crate) fn step(case: &Case<'_>, facts: &DirectoryFacts, name: String) -> Step {
    let gone = case.view.local.wal_gone && case.passed(case.memory.unstreamed_since, GONE_FOR);
    if !gone {
        return Step::wait(Rule::AwaitStream, name);
    }
    let kept = follow::kept(case, facts, "the WAL that it needs is gone from its upstream");
    kept.unwrap_or_else(|| Step::act(Rule::WalGone, name, Command::Stop(StopMode::Fast)))
}
