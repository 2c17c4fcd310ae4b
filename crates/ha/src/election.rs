//! Who may become the leader when there is none, and who is best (PROTOCOL section 5).
//!
//! Judged only from reports: positions read after the lease of the last term was over, when no
//! commit of that term could be acknowledged any more.

use std::time::Duration;

use howdah_base::record::{IntentKind, Member, Report, ServerState, Sync};
use howdah_base::{History, NodeName, Position, Tick};

use crate::{Durability, Memory, View};

/// WAL, in bytes, that a candidate for a switchover may lack when it is asked for.
const SWITCHOVER_LAG_MAX: u64 = 64 << 20;

/// How long, in `async`, nodes get to report before those that have done so decide.
const REPORT_WAIT: Duration = Duration::from_secs(2);
/// How long, in `async`, a better candidate gets to act.
const DEFER_WAIT: Duration = Duration::from_secs(5);

/// What this node makes of an election.
#[derive(Clone, PartialEq, Debug)]
pub enum Verdict {
    /// It holds the most: the reports that show it, its own included.
    Best { reports: Vec<(Member, Report)> },
    /// Not enough reports yet.
    Await(String),
    /// Another is better or preferred.
    Defer(String),
    /// It may not.
    Barred(String),
}

/// Judges this node's chance, given its own report.
pub fn verdict(view: &View, memory: &Memory, own: &Report, now: Tick) -> Verdict {
    let Some((sync, me)) = view.sync().zip(view.store.members.get(&view.me)) else {
        return Verdict::Await("this node's own record is not in the store yet".to_owned());
    };
    if let Some(why) = barred(view, memory, me, own) {
        return Verdict::Barred(why);
    }
    let reports = reports(view, own);
    let waited = memory.leaderless.is_some_and(|(_, since)| now.since(since) >= REPORT_WAIT);
    if let Some(missing) = missing_reports(view, sync, &reports, waited) {
        return Verdict::Await(missing);
    }
    let wanted = wanted(view);
    let tired = memory.leaderless.is_some_and(|(_, since)| now.since(since) >= DEFER_WAIT);
    for (member, report) in reports.iter().filter(|(m, _)| m.node != view.me) {
        if !counts(sync, member) {
            continue;
        }
        let more = rank(&report.position) > rank(&own.position);
        let bar = barred(view, memory, member, report);
        if more && let Some(why) = bar.as_ref().filter(|_| !sync.voters.is_empty()) {
            let holds = format!("`{}` holds more, up to {}", member.node, report.position);
            return Verdict::Barred(format!("{holds}, and cannot lead: {why}"));
        }
        let better = preference(&wanted, member, report, &me.node)
            > preference(&wanted, me, own, &member.node);
        if bar.is_none() && better && (!tired || !sync.voters.is_empty()) {
            return Verdict::Defer(format!(
                "to `{}`, which holds {}",
                member.node, report.position
            ));
        }
    }
    Verdict::Best { reports }
}

/// The node that an operator ordered to take over.
fn wanted(view: &View) -> Option<NodeName> {
    match &view.intent()?.kind {
        IntentKind::Failover { to, .. } => Some(to.clone()),
        IntentKind::Switchover { .. } => None,
    }
}

/// What the greater candidate is greater in: WAL, an operator's wish, priority, and the earlier
/// name, for which each is compared by the name of the other.
fn preference<'a>(
    wanted: &Option<NodeName>,
    member: &Member,
    report: &Report,
    other: &'a NodeName,
) -> ((u32, u64), bool, u32, &'a NodeName) {
    let wish = wanted.as_ref() == Some(&member.node);
    (rank(&report.position), wish, member.failover_priority, other)
}

/// Why `member` may not lead, whatever it holds; `None` when it may.
pub fn unfit(view: &View, member: &Member) -> Option<String> {
    if let Some(why) = &member.watchdog {
        return Some(why.clone());
    }
    if member.no_failover {
        return Some("it is tagged no_failover".to_owned());
    }
    if view.store.fenced.contains(&member.node) {
        return Some("it is fenced".to_owned());
    }
    member.disk.clone()
}

/// Why `member` may not become the leader, given its report; `None` when it may.
pub fn barred(view: &View, memory: &Memory, member: &Member, report: &Report) -> Option<String> {
    let sync = view.sync()?;
    if let Some(why) = unfit(view, member) {
        return Some(why);
    }
    if !report.history.past(report.position.lsn, sync.floor) {
        return Some(format!(
            "its WAL, {}, does not reach {} of term {}",
            report.position, sync.floor, sync.term
        ));
    }
    if !sync.voters.is_empty() {
        return (!counts(sync, member)).then(|| format!("it was no voter in term {}", sync.term));
    }
    match view.settings.durability {
        Durability::Quorum => Some(format!(
            "`{}` stood alone in term {}: only its directory has every commit",
            sync.leader, sync.term
        )),
        Durability::Async => behind(view, memory, report),
    }
}

/// In `async` a standby that lacks more than allowed is not promoted on its own.
fn behind(view: &View, memory: &Memory, report: &Report) -> Option<String> {
    let (_, leader, seen) = memory.leader_seen.as_ref()?;
    let lag = seen.bytes_past(report.position.lsn);
    (lag > view.settings.max_lag_on_failover).then(|| {
        format!(
            "it lacks {lag} bytes of what `{leader}` had at {seen}; more than max_lag_on_failover"
        )
    })
}

/// Why a node that is not standing now could not become the leader, for `explain`.
pub fn not_promotable(view: &View, memory: &Memory, member: &Member) -> Option<String> {
    let nothing_yet = match member.server {
        ServerState::Creating => "it has no data directory yet",
        ServerState::Starting => "it is starting",
        _ => "where its WAL ends is not known yet",
    };
    let (Some(position), Some(history)) = (member.position, &member.history) else {
        return Some(nothing_yet.to_owned());
    };
    if !matches!(member.server, ServerState::Streaming | ServerState::Standby) {
        return Some("its server is not a running standby".to_owned());
    }
    let (term, history) = (view.store.term, history.clone());
    let report = Report { term, position, history, revision: None };
    barred(view, memory, member, &report)
}

/// What an operator's failover to `member` would lose, while nobody leads; `None` when it cannot
/// be ordered there at all.
pub fn failover_loses(view: &View, memory: &Memory, member: &Member) -> Option<String> {
    let (position, history) = member.position.zip(member.history.clone())?;
    if view.leader().is_some() || member.witness || view.store.fenced.contains(&member.node) {
        return None;
    }
    let report = Report { term: view.store.term, position, history, revision: None };
    let acknowledged = view.sync().is_some_and(|sync| !sync.voters.is_empty());
    let bar = barred(view, memory, member, &report);
    if bar.is_none() && acknowledged {
        return Some("none, once enough voters have said what they hold".to_owned());
    }
    Some(loss_bound(view.sync(), memory, &report))
}

/// What the last leader had and one that holds what it reports may lack.
pub(crate) fn loss_bound(sync: Option<&Sync>, memory: &Memory, report: &Report) -> String {
    let Report { position, history, .. } = report;
    let holds = |timeline| {
        history.timeline == timeline || history.forks.iter().any(|(older, _)| *older == timeline)
    };
    // Positions of two timelines cannot be compared by their numbers.
    if let Some(sync) = sync.filter(|sync| !holds(sync.floor.timeline)) {
        let Position { timeline, lsn } = sync.floor;
        return format!(
            "everything that `{}` wrote on timeline {timeline}, which began at {lsn}: none of it is here",
            sync.leader
        );
    }
    match &memory.leader_seen {
        Some((_, leader, seen)) => format!(
            "at most what `{leader}` wrote after {}; {} bytes of that were seen",
            position.lsn,
            seen.bytes_past(position.lsn)
        ),
        None => format!("what the last leader wrote after {}", position.lsn),
    }
}

/// Why a live leader cannot hand over to `member` now: for asking before it is tried. What it
/// lacks at this moment it still receives; far behind it would take too long.
pub fn not_switchable(view: &View, member: &Member) -> Option<String> {
    if member.witness {
        return Some("it has no PostgreSQL".to_owned());
    }
    if let Some(why) = unfit(view, member) {
        return Some(why);
    }
    if member.server != ServerState::Streaming {
        return Some("it is not streaming".to_owned());
    }
    let leader = view.leader().and_then(|leader| view.store.members.get(&leader.node));
    // Just after a change of the leader a standby is still on the timeline before: it goes on to
    // the leader's by itself, unless it has WAL that the leader's history lacks.
    let leaders = leader.and_then(|leader| leader.history.as_ref());
    let own = member.history.as_ref().zip(member.position);
    let own = own.map(|(history, at)| Position { timeline: history.timeline, lsn: at.lsn });
    if let Some((at, theirs)) = own.zip(leaders).filter(|(at, theirs)| !theirs.contains(*at)) {
        return Some(format!(
            "it is at {at}, which is not on the leader's timeline {}",
            theirs.timeline
        ));
    }
    let end = leader.and_then(|leader| leader.position).map(|p| p.lsn);
    let lag = end.zip(member.position).map(|(end, at)| end.bytes_past(at.lsn));
    let far = lag.filter(|lag| *lag > SWITCHOVER_LAG_MAX)?;
    Some(format!("it is {far} bytes behind"))
}

/// The reports for the last term, this node's own fresh one among them.
fn reports(view: &View, own: &Report) -> Vec<(Member, Report)> {
    let of = |member: &Member| {
        if member.node == view.me {
            return Some((member.clone(), own.clone()));
        }
        let same = |r: &&Report| r.term == own.term && r.revision == own.revision;
        let report = member.report.as_ref().filter(same)?;
        Some((member.clone(), report.clone()))
    };
    view.store.members.values().filter_map(of).collect()
}

/// With voters: any `|V| - needed + 1` of them include one that has each acknowledged commit.
fn missing_reports(
    view: &View,
    sync: &Sync,
    reports: &[(Member, Report)],
    waited: bool,
) -> Option<String> {
    if sync.voters.is_empty() {
        let standing = |m: &Member| {
            matches!(m.server, ServerState::Streaming | ServerState::Standby)
                && !reports.iter().any(|(r, _)| r.node == m.node)
        };
        let silent = view.store.members.values().find(|m| standing(m)).filter(|_| !waited)?;
        return Some(format!("`{}` has not said what it holds", silent.node));
    }
    let have = reports.iter().filter(|(m, _)| counts(sync, m)).count();
    let want = (sync.voters.len() + 1).saturating_sub(sync.needed as usize);
    (have < want).then(|| match want {
        1 => "the 1 voter that must answer has not".to_owned(),
        _ => format!("{have} of the {want} voters that must answer have"),
    })
}

/// Without voters everyone's report counts.
fn counts(sync: &Sync, member: &Member) -> bool {
    sync.voters.is_empty() || member.directory.as_ref().is_some_and(|id| sync.voters.contains(id))
}

/// Among those past the floor the later timeline holds more, then the greater LSN.
fn rank(position: &Position) -> (u32, u64) {
    (position.timeline.0, position.lsn.0)
}

/// Whether a standby at `position` can follow, without repair, one whose history is `history`
/// and whose WAL ends at `end`.
pub fn can_follow(history: &History, end: Position, position: Position) -> bool {
    history.contains(position) && (position.timeline != end.timeline || position.lsn <= end.lsn)
}
