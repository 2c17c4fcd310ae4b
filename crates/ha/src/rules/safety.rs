//! What comes before everything: no server without the right to write, nothing on a directory
//! that must not be used, nothing new while the store is silent or an operation runs.

use super::{Case, Step, retake, revoke};
use crate::{Command, Directory, Job, Rule, Server, StopMode};

pub(crate) fn step(case: &Case<'_>) -> Option<Step> {
    let view = case.view;
    if view.store.reachable && view.may_write() && !view.store.leader_mine {
        return Some(retake::step(case).unwrap_or_else(|| fence(case)));
    }
    if let Directory::Refused(why) = &view.local.directory {
        return Some(Step::wait(Rule::RefusedDirectory, why.clone()));
    }
    if !view.store.reachable {
        return Some(Step::wait(Rule::StoreAway, ""));
    }
    if view.settings.witness {
        return Some(Step::wait(Rule::Witness, ""));
    }
    if let Some(step) = revoke::instead_of_start(case) {
        return Some(step);
    }
    if let Some(job) = view.job {
        return Some(Step::wait(Rule::Busy, job.to_string()));
    }
    match view.local.server {
        Server::Stopping => Some(Step::wait(Rule::Busy, "the server is shutting down")),
        _ => None,
    }
}

/// Ends a primary that has lost its right; any other operation gives way.
fn fence(case: &Case<'_>) -> Step {
    if case.view.job == Some(Job::Stop) {
        return Step::wait(Rule::Busy, "the server is being ended");
    }
    let command = Command::Stop(StopMode::Fence);
    match case.view.leader() {
        Some(leader) => Step::act(
            Rule::FenceDeposed,
            format!("`{}` leads term {}", leader.node, leader.term),
            command,
        ),
        None => Step::act(Rule::FenceLeaseless, "", command),
    }
}
