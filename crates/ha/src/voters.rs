//! Who confirms commits, and how that changes without a moment in which an acknowledged commit
//! would be missing from every set that can be read (PROTOCOL section 3).
//!
//! The record says V and k, the server has `ANY w (S)` in force. At every instant
//! `w - |S \ V| >= k` holds, S and w being the union and the minimum of all that any process of
//! the server may have in force.

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

/// How long fewer voters than are needed may stream before fewer are asked for.
const SHORT_AFTER: Duration = Duration::from_secs(10);

/// How long enough voters must have streamed before more of them are asked for: a receiver that is
/// ended then connects again at once, and not after `wal_retrieve_retry_interval`.
const STEADY_FOR: Duration = Duration::from_secs(2);

/// How long voters whose WAL senders were begun anew for it get to stream again, before as many are
/// asked for as were.
const RAISED_WITHIN: Duration = Duration::from_secs(5);

/// How many of so many voters confirm a commit (PROTOCOL section 3): one of up to two, else a
/// majority, so that the loss of any minority of voters stops neither commits nor an election.
pub fn needed_of(voters: usize) -> u32 {
    let needed = if voters > 2 { voters / 2 + 1 } else { voters.min(1) };
    u32::try_from(needed).unwrap_or(u32::MAX)
}

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

/// Fewer voters stream than are needed, and for long: the record first, then the setting. An
/// election then asks more of them.
pub(crate) fn lower(case: &Case<'_>, running: &Running, sync: &Sync) -> Option<Step> {
    if sync.needed < 2 || !case.passed(case.memory.short_since, SHORT_AFTER) {
        return None;
    }
    let streaming = u32::try_from(streaming(running, sync).count()).unwrap_or(u32::MAX);
    (1..sync.needed).contains(&streaming).then(|| need_less(case, sync, streaming))
}

fn need_less(case: &Case<'_>, sync: &Sync, needed: u32) -> Step {
    let next = Sync { revision: sync.revision + 1, needed, ..sync.clone() };
    let detail = format!("{needed} of {}", sync.voters.len());
    case.paced(Job::Txn, Step::act(Rule::LowerNeeded, detail, Command::WriteSync(next)))
}

/// Voters that stream from here.
pub(crate) fn streaming<'a>(
    running: &'a Running,
    sync: &'a Sync,
) -> impl Iterator<Item = &'a DirectoryId> {
    sync.voters.iter().filter(|id| {
        running.senders.iter().any(|sender| sender.streaming && sender.directory == **id)
    })
}

/// The next step towards the voters that there should be; one change at a time.
pub(crate) fn change(case: &Case<'_>, running: &Running, sync: &Sync) -> Option<Step> {
    let Some(setting) = &case.view.local.sync else {
        return Some(put_in_force(case, &sync.voters, sync.needed, "after a restart"));
    };
    let joining = joining(case, running, sync);
    if sync.voters.is_empty() {
        return end_alone(case, running, sync, setting, joining);
    }
    if !setting.names.is_subset(&sync.voters) {
        // Names that are no voters go first; until they are gone as many must confirm.
        let most = setting.needed.min(u32::try_from(sync.voters.len()).unwrap_or(u32::MAX));
        return Some(put_in_force(case, &sync.voters, sync.needed.max(most), "no others"));
    }
    if let Some(id) = joining.difference(&sync.voters).next() {
        let mut next = sync.clone();
        next.revision += 1;
        next.voters.insert(id.clone());
        let step = Step::act(Rule::AddVoter, format!("`{id}`"), Command::WriteSync(next));
        return Some(case.paced(Job::Txn, step));
    }
    let far = streaming(running, sync).any(|id| is_far(case, id));
    let near = |id: &DirectoryId| far && !is_far(case, id);
    let gone: BTreeSet<DirectoryId> =
        sync.voters.iter().filter(|id| must_leave(case, id) || near(id)).cloned().collect();
    if !gone.is_empty() && gone.len() < sync.voters.len() {
        return Some(remove(case, running, sync, setting, &gone));
    }
    raise(case, running, sync, setting).or_else(|| {
        let stands = setting.names == sync.voters && setting.needed == sync.needed;
        (!stands).then(|| put_in_force(case, &sync.voters, sync.needed, ""))
    })
}

/// More voters than before: the setting first, then the record, once all that was committed
/// before it is confirmed by as many.
fn raise(case: &Case<'_>, running: &Running, sync: &Sync, setting: &SyncSetting) -> Option<Step> {
    let needed = needed_of(sync.voters.len());
    if sync.needed >= needed {
        return None;
    }
    if setting.names != sync.voters || setting.needed != needed {
        let steady = case.passed(case.memory.enough_since, STEADY_FOR);
        return steady.then(|| put_in_force(case, &sync.voters, needed, "before the record"));
    }
    let enough = streaming(running, sync).count() >= needed as usize;
    let until = case.memory.raising_since.map(|since| since + RAISED_WITHIN);
    if !enough && until.is_none_or(|until| case.now >= until) {
        return None;
    }
    let voters = sync.voters.clone();
    Some(record_confirmed(case, running, sync, setting, Rule::RaiseNeeded, voters))
}

/// Standbys that stream this timeline, have flushed past the floor and may be voters. On which
/// timeline one is its own record says: its first reply counts before PostgreSQL has compared the
/// histories.
fn joining(case: &Case<'_>, running: &Running, sync: &Sync) -> BTreeSet<DirectoryId> {
    if case.view.settings.durability == Durability::Async {
        return BTreeSet::new();
    }
    let fit = running.senders.iter().filter(|sender| {
        sender.streaming
            && sender.flushed >= sync.floor.lsn
            && case.view.member_of(&sender.directory).is_some_and(|m| {
                let here = m.position.is_some_and(|p| p.timeline == running.history.timeline);
                here && !m.no_sync && !m.leaving && !case.view.store.fenced.contains(&m.node)
            })
    });
    let fit: BTreeSet<DirectoryId> = fit.map(|sender| sender.directory.clone()).collect();
    let far: BTreeSet<DirectoryId> = fit.iter().filter(|id| is_far(case, id)).cloned().collect();
    if far.is_empty() { fit } else { far }
}

/// It stands in another zone than the leader. Where such standbys stream, only they are voters:
/// then the loss of the leader's whole zone costs no voter, and an election finds all of them.
fn is_far(case: &Case<'_>, id: &DirectoryId) -> bool {
    let own = case.view.store.members.get(&case.view.me).and_then(|me| me.zone.as_ref());
    let zone = case.view.member_of(id).and_then(|member| member.zone.as_ref());
    own.zip(zone).is_some_and(|(own, zone)| own != zone)
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
    let needed = needed_of(names.len());
    if setting.names != names || setting.needed != needed {
        return Some(put_in_force(case, &names, needed, "before the record"));
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
    if sync.needed as usize > rest.len() {
        return need_less(case, sync, needed_of(rest.len()));
    }
    if setting.names != rest || setting.needed != sync.needed {
        return put_in_force(case, &rest, sync.needed, "before the record");
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
    let needed = setting.needed.min(needed_of(voters.len()));
    if confirmed < needed as usize {
        let detail = format!("{confirmed} of {needed} are past {}", setting.since);
        return Step::wait(Rule::AwaitVoters, detail);
    }
    let mut next = sync.clone();
    next.revision += 1;
    next.needed = needed;
    next.floor.timeline = running.history.timeline;
    next.floor.lsn = setting.since;
    let detail = listed(&voters);
    next.voters = voters;
    case.paced(Job::Txn, Step::act(rule, detail, Command::WriteSync(next)))
}

fn put_in_force(case: &Case<'_>, names: &BTreeSet<DirectoryId>, needed: u32, detail: &str) -> Step {
    let command = Command::SetSync { names: names.clone(), needed };
    let count = if needed > 1 { format!("{needed} of ") } else { String::new() };
    let detail = format!("{count}{} {detail}", listed(names));
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
