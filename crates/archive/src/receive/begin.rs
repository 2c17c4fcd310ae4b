//! Where a stream begins: where the repository ends, as far as the server went the same way, and
//! always with a whole segment, so that what is put as one was seen from its first byte.

use howdah_base::{History, Lsn, Position, Timeline};
use thiserror::Error;

/// How far the repository has WAL without a hole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Repository {
    pub end: Lsn,
    /// Of the timeline on which that is.
    pub history: History,
}

/// What the server says of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Of the timeline on which it is.
    pub history: History,
    pub end: Lsn,
    /// What the slot holds (`restart_lsn`).
    pub slot: Option<Lsn>,
    /// It is known to have no WAL from before: said once a stream was refused for that.
    pub oldest: Option<Lsn>,
}

/// Where it begins, and what is known of what is before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Begin {
    /// The start of a segment.
    pub at: Position,
    /// Of that timeline.
    pub history: History,
    /// The repository has the history of that timeline, or there is none.
    pub history_is_there: bool,
    /// Below, nothing of this timeline needs to go into chunks: it is there, or in a gap.
    pub covered: Lsn,
    /// Everything below is durable in the repository. Zero where nothing is, or where a gap has to
    /// be recorded first.
    pub durable: Lsn,
    pub gaps: Vec<Gap>,
}

/// WAL that the repository lacks and the server no longer has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    pub timeline: Timeline,
    pub from: Lsn,
    pub to: Lsn,
}

/// Why there is no place to begin at.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum Nowhere {
    /// Wait: a standby may catch up, and a primary gets a new timeline.
    #[error("the server ends at {server}, before the repository, which ends at {repository}")]
    Behind { server: Lsn, repository: Lsn },
    #[error("the repository's WAL ends on timeline {0}, which shares nothing with the server's")]
    Apart(Timeline),
}

/// Decides it. `segment`: bytes of one.
pub fn begin(
    repository: Option<&Repository>,
    server: &Server,
    segment: u64,
) -> Result<Begin, Nowhere> {
    let Some(repository) = repository else { return Ok(afresh(server, segment)) };
    let (timeline, end) =
        shared(repository, &server.history).ok_or(Nowhere::Apart(repository.history.timeline))?;
    if timeline == server.history.timeline && end > server.end {
        return Err(Nowhere::Behind { server: server.end, repository: end });
    }
    // Where the timeline was left exactly there, nothing more of it comes.
    let timeline = match server.history.leaves(timeline) {
        Some(Some(left)) if left == end => follower(&server.history, timeline),
        _ => timeline,
    };
    let has_it = repository.history.leaves(timeline).is_some();
    let first = floor(end, segment);
    let mut begin = Begin {
        at: Position { timeline, lsn: first },
        history: up_to(&server.history, timeline),
        history_is_there: timeline == FIRST || has_it,
        covered: if has_it { end } else { first },
        durable: end,
        gaps: Vec::new(),
    };
    if let Some(oldest) = server.oldest.map(|lsn| floor(lsn, segment)).filter(|lsn| *lsn > first) {
        after_a_gap(&mut begin, &server.history, end, oldest);
    }
    Ok(begin)
}

/// Of a repository without WAL: everything that the slot holds.
fn afresh(server: &Server, segment: u64) -> Begin {
    let from = server.slot.max(server.oldest).unwrap_or(server.end);
    let timeline = owner(&server.history, from);
    let lsn = floor(from, segment);
    Begin {
        at: Position { timeline, lsn },
        history: up_to(&server.history, timeline),
        history_is_there: timeline == FIRST,
        covered: lsn,
        durable: Lsn(0),
        gaps: Vec::new(),
    }
}

/// The last place that both have, and on which timeline.
fn shared(repository: &Repository, server: &History) -> Option<(Timeline, Lsn)> {
    newest_first(server).find_map(|timeline| {
        let reached = repository.history.leaves(timeline)?.unwrap_or(repository.end);
        let left = server.leaves(timeline)?.unwrap_or(reached);
        Some((timeline, reached.min(left)))
    })
}

/// Begins anew at `oldest`; between `end` and there, nothing will come, on whichever timelines.
fn after_a_gap(begin: &mut Begin, server: &History, end: Lsn, oldest: Lsn) {
    let (mut timeline, mut from) = (begin.at.timeline, end);
    while from < oldest {
        let to = server.leaves(timeline).flatten().unwrap_or(oldest).min(oldest);
        if from < to {
            begin.gaps.push(Gap { timeline, from, to });
        }
        from = to;
        if from < oldest {
            timeline = follower(server, timeline);
        }
    }
    let at = owner(server, oldest);
    begin.history_is_there &= at == begin.at.timeline;
    begin.at = Position { timeline: at, lsn: oldest };
    begin.history = up_to(server, at);
    (begin.covered, begin.durable) = (oldest, Lsn(0));
}

/// The timeline that wrote what is at `lsn`.
fn owner(history: &History, lsn: Lsn) -> Timeline {
    let left = history.forks.iter().find(|(_, fork)| lsn < *fork);
    left.map_or(history.timeline, |(timeline, _)| *timeline)
}

fn follower(history: &History, timeline: Timeline) -> Timeline {
    let after = history.forks.iter().skip_while(|(ancestor, _)| *ancestor != timeline).nth(1);
    after.map_or(history.timeline, |(next, _)| *next)
}

/// The history of one of its timelines.
fn up_to(history: &History, timeline: Timeline) -> History {
    let before = history.forks.iter().take_while(|(ancestor, _)| *ancestor != timeline);
    History { timeline, forks: before.copied().collect() }
}

fn newest_first(history: &History) -> impl Iterator<Item = Timeline> + '_ {
    let ancestors = history.forks.iter().rev().map(|(ancestor, _)| *ancestor);
    std::iter::once(history.timeline).chain(ancestors)
}

/// Where its segment begins.
pub(super) fn floor(lsn: Lsn, segment: u64) -> Lsn {
    Lsn(lsn.0 / segment * segment)
}

/// Has no history file.
pub(super) const FIRST: Timeline = Timeline(1);
