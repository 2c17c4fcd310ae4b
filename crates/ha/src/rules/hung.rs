//! A server that lives and does nothing: its postmaster was stopped or hangs, or its processes hang
//! on each other. It is ended, and what follows is what follows a crash.

use super::{Case, Step};
use crate::{Command, Job, Rule, Server, StopMode};

/// Also a standby: it is started anew. One that starts or recovers is its start's affair.
pub(crate) fn step(case: &Case<'_>) -> Option<Step> {
    let (local, bound) = (&case.view.local, case.view.settings.hung_after);
    let runs = matches!(local.server, Server::Running(_) | Server::Unknown { .. });
    (runs && local.silent_for >= bound).then(|| {
        let detail = format!("for more than {} s", bound.as_secs());
        let end = Command::Stop(StopMode::Immediate);
        case.paced(Job::Stop, Step::act(Rule::EndHung, detail, end))
    })
}
