//! Who confirms commits, and how that changes without a moment in which an acknowledged commit
//! would be missing from every set that can be read (PROTOCOL section 3).
//!
//! The record says V and k, the server has `ANY w (S)` in force. At every instant
//! `w - |S \ V| >= k` holds. In this version `needed` is always 1.

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_base::DirectoryId;
use howdah_base::record::Sync;

use crate::rules::{Case, Step};
use crate::{Command, Durability, Job, Rule, Running, SyncSetting, View};

/// How long no voter may stream before the leader goes on alone (`strict` off).
const ALONE_AFTER: Duration = Duration::from_secs(10);

/// How long a voter may not stream before it stops being one while another is left.
const ABSENT_AFTER: Duration = Duration::from_secs(20);

/// Last voter lost: the record first, then the setting. Never in `strict`.
pub(crate) fn stand_alone(case: &Case<'_>, running: &Running, sync: &Sync) -> Option<Step> {
    if sync.voters.is_empty() {
        return None;
    }
    let to_async = case.view.settings.durability == Durability::Async;
    let may = !case.view.settings.strict;
    let asked = may
        && sync.voters.iter().all(|id| is_asked_to_leave(case, id))
        && joining(case, running, sync).is_empty();
    let lost = may && case.passed(case.memory.voterless_since, ALONE_AFTER);
    (to_async || asked || lost).then(|| {
        let detail = match (to_async, asked) {
            (true, _) => "durability is async",
            (_, true) => "an operator's order, or a directory to be repaired",
            _ => "strict is off",
        };
        let next = Sync {
            revision: sync.revision + 1,
            voters: BTreeSet::new(),
            needed: 0,
            ..sync.clone()
        };
        case.paced(Job::Txn, Step::act(Rule::StandAlone, detail, Command::WriteSync(next)))
    })
}

/// The next step towards the voters that there should be; one change at a time.
pub(crate) fn change(case: &Case<'_>, running: &Running, sync: &Sync) -> Option<Step> {
    let Some(setting) = &case.view.local.sync else {
        return Some(put_in_force(case, &sync.voters, "after a restart"));
    };
    let joining = joining(case, running, sync);
    if sync.voters.is_empty() {
        return end_alone(case, running, sync, setting, joining);
    }
    if let Some(id) = joining.difference(&sync.voters).next() {
        let mut next = sync.clone();
        next.revision += 1;
        next.voters.insert(id.clone());
        let step = Step::act(Rule::AddVoter, format!("`{id}`"), Command::WriteSync(next));
        return Some(case.paced(Job::Txn, step));
    }
    let gone: BTreeSet<DirectoryId> =
        sync.voters.iter().filter(|id| must_leave(case, id)).cloned().collect();
    if !gone.is_empty() && gone.len() < sync.voters.len() {
        return Some(remove(case, running, sync, setting, &gone));
    }
    (setting.names != sync.voters).then(|| put_in_force(case, &sync.voters, ""))
}

/// Standbys that stream this timeline, have flushed past the floor and may be voters.
fn joining(case: &Case<'_>, running: &Running, sync: &Sync) -> BTreeSet<DirectoryId> {
    if case.view.settings.durability == Durability::Async {
        return BTreeSet::new();
    }
    let fit = running.senders.iter().filter(|sender| {
        sender.streaming
            && sender.flushed >= sync.floor.lsn
            && case.view.member_of(&sender.directory).is_some_and(|m| {
                !m.no_sync && !m.leaving && !case.view.store.fenced.contains(&m.node)
            })
    });
    fit.map(|sender| sender.directory.clone()).collect()
}

/// The setting first; then the record, once all that was committed before it is confirmed too.
fn end_alone(
    case: &Case<'_>,
    running: &Running,
    sync: &Sync,
    setting: &SyncSetting,
    joining: BTreeSet<DirectoryId>,
) -> Option<Step> {
    if setting.names.is_empty() && joining.is_empty() {
        return None;
    }
    // A setting that is under way is finished with the standbys that still stream.
    let kept: BTreeSet<DirectoryId> = setting.names.intersection(&joining).cloned().collect();
    let names = if kept.is_empty() { joining } else { kept };
    if setting.names != names {
        return Some(put_in_force(case, &names, "before the record"));
    }
    Some(record_confirmed(case, running, sync, setting, Rule::EndAlone, names))
}

/// The setting without them first, its proof, then the record with a new floor.
fn remove(
    case: &Case<'_>,
    running: &Running,
    sync: &Sync,
    setting: &SyncSetting,
    gone: &BTreeSet<DirectoryId>,
) -> Step {
    let rest: BTreeSet<DirectoryId> = sync.voters.difference(gone).cloned().collect();
    if setting.names != rest {
        return put_in_force(case, &rest, "before the record");
    }
    record_confirmed(case, running, sync, setting, Rule::RemoveVoter, rest)
}

/// The floor rule: the record may say `voters` only after `needed` of them have flushed past
/// an insert LSN that was read after the setting's proof; that LSN becomes the floor.
fn record_confirmed(
    case: &Case<'_>,
    running: &Running,
    sync: &Sync,
    setting: &SyncSetting,
    rule: Rule,
    voters: BTreeSet<DirectoryId>,
) -> Step {
    let confirmed = running
        .senders
        .iter()
        .filter(|s| s.streaming && voters.contains(&s.directory) && s.flushed >= setting.since)
        .count();
    if confirmed == 0 {
        return Step::wait(Rule::AwaitVoters, format!("past {}", setting.since));
    }
    let mut next = sync.clone();
    next.revision += 1;
    next.needed = 1;
    next.floor.timeline = running.history.timeline;
    next.floor.lsn = setting.since;
    let detail = listed(&voters);
    next.voters = voters;
    case.paced(Job::Txn, Step::act(rule, detail, Command::WriteSync(next)))
}

fn put_in_force(case: &Case<'_>, names: &BTreeSet<DirectoryId>, detail: &str) -> Step {
    let needed = u32::from(!names.is_empty());
    let command = Command::SetSync { names: names.clone(), needed };
    let detail = format!("{} {detail}", listed(names));
    case.paced(Job::SetSync, Step::act(Rule::SetVoters, detail.trim(), command))
}

fn listed(names: &BTreeSet<DirectoryId>) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(DirectoryId::as_str).collect::<Vec<_>>().join(", ")
}

/// Replaced, about to be made anew, or away for so long that an election would miss its answer.
fn must_leave(case: &Case<'_>, id: &DirectoryId) -> bool {
    is_replaced(case.view, id)
        || is_asked_to_leave(case, id)
        || case.passed(case.memory.absent.get(id).copied(), ABSENT_AFTER)
}

/// Its own node asks for it, it is to stay down, or the file forbids it: one that led and handed
/// over is a voter whatever its tags say.
fn is_asked_to_leave(case: &Case<'_>, id: &DirectoryId) -> bool {
    let member = case.view.member_of(id);
    member.is_some_and(|m| m.leaving || m.no_sync || case.view.store.fenced.contains(&m.node))
}

/// Whether the node that made this directory announces another one now.
pub(crate) fn is_replaced(view: &View, id: &DirectoryId) -> bool {
    view.store
        .members
        .values()
        .any(|m| id.is_of(&m.node) && m.directory.as_ref().is_some_and(|now| now != id))
}
