//! Before the cluster exists: exactly one node creates it.

use std::collections::BTreeSet;

use howdah_base::record::Sync;
use howdah_base::{Lsn, Position, Term};

use super::{Case, Step};
use crate::{Command, Directory, DirectoryFacts, Job, Rule};

pub(crate) fn step(case: &Case<'_>) -> Option<Step> {
    let view = case.view;
    if view.store.initialize.is_some() {
        return None;
    }
    let facts = match &view.local.directory {
        Directory::Ready(facts) if !facts.fresh => {
            let detail = format!(
                "hint: if the store is lost for good, name this directory's node \
                 as the new beginning: `{}`",
                facts.id
            );
            return Some(Step::wait(Rule::StoreForgot, detail));
        }
        Directory::Ready(facts) => Some(facts),
        Directory::Missing => None,
        Directory::Refused(why) | Directory::Unusable(why) => {
            return Some(Step::wait(Rule::RefusedDirectory, why.clone()));
        }
    };
    if let Some(first) = view.settings.first_node.as_ref().filter(|first| **first != view.me) {
        return Some(Step::wait(Rule::AwaitInitialize, format!("`{first}`, by the cluster file")));
    }
    Some(match (&view.store.initializing, facts) {
        // The right hangs on this node's lease.
        (None, _) if view.store.renewed_at.is_none() => {
            Step::wait(Rule::AwaitInitialize, "this node has no lease yet")
        }
        (None, _) => {
            let step = Step::act(Rule::ClaimInitialize, "", Command::ClaimInitialize);
            case.paced(Job::Txn, step)
        }
        (Some(node), _) if *node != view.me => {
            Step::wait(Rule::AwaitInitialize, format!("`{node}`"))
        }
        (Some(_), None) => case.paced(Job::Initdb, Step::act(Rule::Initdb, "", Command::Initdb)),
        (Some(_), Some(facts)) => record(case, facts),
    })
}

fn record(case: &Case<'_>, facts: &DirectoryFacts) -> Step {
    let sync = Sync {
        revision: 1,
        term: Term(1),
        leader: case.view.me.clone(),
        directory: facts.id.clone(),
        floor: Position { timeline: facts.history.timeline, lsn: Lsn(0) },
        voters: BTreeSet::new(),
        needed: 0,
    };
    let system_identifier = facts.system_identifier;
    let command = Command::RecordInitialize { system_identifier, sync };
    case.paced(Job::Txn, Step::act(Rule::RecordInitialize, "", command))
}
