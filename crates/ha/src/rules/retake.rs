//! The leader key vanished although its holder had prolonged it in time: etcd has had faults by
//! which it ends leases early. The right to write counts from the last renewal, so the holder
//! goes on and takes the key again in the same term, unless another came first.

use std::time::Duration;

use howdah_base::Tick;
use howdah_base::record::Sync;

use super::{Case, Step};
use crate::{Command, Job, Rule};

/// So much of the right to write must be left: the guard begins to end the server 700 ms before
/// the deadline, and a lease, a transaction and a renewal come before that.
const RETAKE_MARGIN: Duration = Duration::from_millis(1_000);

/// `None`: nothing is to be taken again, and the server is ended.
pub(crate) fn step(case: &Case<'_>) -> Option<Step> {
    let until = in_time(case)?;
    let sync = still_mine(case)?;
    let wait = |why: &str| Some(Step::wait(Rule::Retake, why).until(until));
    match case.view.job {
        // It is this one, or was sent by a leader and is refused.
        Some(Job::Txn) => return wait("a transaction is under way"),
        Some(Job::Start | Job::Promote | Job::Stop | Job::Switchover) => return None,
        _ => {}
    }
    if case.view.leader().is_some() {
        return wait("the store's newest picture is on its way");
    }
    if case.view.store.renewed_at.is_none() {
        return wait("a lease is being granted");
    }
    let failed = case.view.failures.retry_at(Job::Txn).filter(|at| *at > case.now);
    if let Some(at) = failed {
        return Some(Step::wait(Rule::Retake, "the last attempt failed").until(at.min(until)));
    }
    let next = Sync { revision: sync.revision + 1, ..sync.clone() };
    let detail = format!("term {}", sync.term);
    Some(Step::act(Rule::Retake, detail, Command::Retake(next)).until(until))
}

/// When it is too late, if it is not yet.
fn in_time(case: &Case<'_>) -> Option<Tick> {
    let until = case.view.store.held_until? - RETAKE_MARGIN;
    (case.now < until).then_some(until)
}

/// The record of this term, if it is this directory's, and nobody leads, is being handed the
/// term, or wants this server down.
fn still_mine<'a>(case: &'a Case<'_>) -> Option<&'a Sync> {
    let view = case.view;
    let sync = view.sync().filter(|sync| sync.term == view.store.term)?;
    let id = view.directory().map(|facts| &facts.id);
    // Its own key on a lease that it knows to be lost: an old picture.
    let vacant = view.leader().is_none_or(|l| l.node == view.me && l.term == sync.term);
    let sealed = view.intent().is_some_and(|intent| intent.sealed);
    let held_back = view.store.handover.is_some() || sealed || view.store.fenced.contains(&view.me);
    (sync.leader == view.me && Some(&sync.directory) == id && vacant && !held_back).then_some(sync)
}
