//! What nobody needs any more: by reachability over the timelines, never by names or age alone.
//!
//! ```text
//! backups that stay ─► their packs, their WAL from start to stop
//! the window's base ─► all WAL from its start on, on its timeline and on all that descend from it
//! what is left      ─► goes, unless it is younger than somebody may still be writing it
//! ```

use std::collections::{BTreeMap, BTreeSet};

use howdah_base::{History, Lsn, Position, Timeline};

/// A backup that is complete.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Whole {
    pub label: String,
    pub start: Position,
    pub stop: Position,
    /// When it was complete, milliseconds since 1970.
    pub stopped_at: u64,
    /// Packs with pages of it, its own and others'.
    pub packs: Vec<String>,
}

/// A segment of WAL, or a piece of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wal {
    pub name: String,
    pub timeline: Timeline,
    pub from: Lsn,
    pub to: Lsn,
    /// When it was written, milliseconds since 1970.
    pub written_at: u64,
}

/// A pack that lies there, whoever needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pack {
    pub name: String,
    pub written_at: u64,
}

/// All that a lineage holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Inventory {
    pub backups: Vec<Whole>,
    pub wal: Vec<Wal>,
    pub packs: Vec<Pack>,
    pub histories: BTreeMap<Timeline, History>,
}

/// What may go.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Removal {
    /// Labels. Their manifests go first, so that nobody begins to read what is about to go.
    pub backups: Vec<String>,
    pub wal: Vec<String>,
    pub packs: Vec<String>,
}

/// Until when something counts as being made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moments {
    /// The recovery window begins here, milliseconds since 1970.
    pub window_from: u64,
    /// What was written later may belong to a backup that is not complete.
    pub settled_before: u64,
}

/// The backups from which the moments of the window are reached: for each timeline that was gone on
/// within it, the newest that leads there and was complete when the window begins, and all later ones.
pub fn bases(all: &Inventory, window_from: u64) -> BTreeSet<String> {
    let ways = ways(all, &all.backups.iter().collect::<Vec<_>>(), window_from);
    let later = all.backups.iter().filter(|backup| backup.stopped_at >= window_from);
    ways.iter().map(|way| way.base).chain(later).map(|backup| backup.label.clone()).collect()
}

/// What may go when the backups of `stay` do not, among which are the [`bases`].
pub fn removal(all: &Inventory, stay: &BTreeSet<String>, moments: Moments) -> Removal {
    let (kept, given_up): (Vec<_>, Vec<_>) =
        all.backups.iter().partition(|backup| stay.contains(&backup.label));
    if kept.is_empty() {
        // Rules that keep nothing are a mistake somewhere: nothing goes.
        return Removal::default();
    }
    let packs: BTreeSet<&String> = kept.iter().flat_map(|backup| &backup.packs).collect();
    let ways = ways(all, &kept, moments.window_from);
    let young = moments.window_from.min(moments.settled_before);
    let needed = |wal: &Wal| {
        wal.written_at >= young
            || ways.iter().any(|way| way.comes_by(wal))
            || kept.iter().any(|backup| is_of(all, wal, backup))
    };
    let settled = |pack: &Pack| pack.written_at < moments.settled_before;
    let free = all.packs.iter().filter(|pack| settled(pack) && !packs.contains(&pack.name));
    Removal {
        backups: given_up.iter().map(|backup| backup.label.clone()).collect(),
        wal: all.wal.iter().filter(|wal| !needed(wal)).map(|wal| wal.name.clone()).collect(),
        packs: free.map(|pack| pack.name.clone()).collect(),
    }
}

/// From a backup to the end of a timeline.
struct Way<'a> {
    base: &'a Whole,
    /// Its timelines, and where each is left.
    path: Vec<(Timeline, Option<Lsn>)>,
}

impl Way<'_> {
    fn comes_by(&self, wal: &Wal) -> bool {
        let Some((_, left)) = self.path.iter().find(|(timeline, _)| *timeline == wal.timeline)
        else {
            return false;
        };
        let begun = wal.timeline != self.base.start.timeline || wal.to > self.base.start.lsn;
        begun && left.is_none_or(|left| wal.from < left)
    }
}

/// The ways to all timelines that were gone on within the window, and to the newest.
fn ways<'a>(all: &Inventory, backups: &[&'a Whole], window_from: u64) -> Vec<Way<'a>> {
    let newest = all.wal.iter().map(|wal| wal.timeline).max();
    let gone_on = all.wal.iter().filter(|wal| wal.written_at >= window_from);
    let live: BTreeSet<_> = gone_on.map(|wal| wal.timeline).chain(newest).collect();
    live.into_iter().filter_map(|timeline| way(all, backups, timeline, window_from)).collect()
}

fn way<'a>(
    all: &Inventory,
    backups: &[&'a Whole],
    timeline: Timeline,
    window_from: u64,
) -> Option<Way<'a>> {
    let root = || History::root(timeline);
    let history = all.histories.get(&timeline).cloned().unwrap_or_else(root);
    let leads = |backup: &&&Whole| history.contains(backup.stop);
    let leading = || backups.iter().filter(leads);
    let old = leading().filter(|backup| backup.stopped_at <= window_from);
    let first = || leading().min_by_key(|backup| backup.stopped_at);
    let base = *old.max_by_key(|backup| backup.stopped_at).or_else(first)?;
    let forks = history.forks.iter().map(|(timeline, fork)| (*timeline, Some(*fork)));
    let path = forks.chain([(timeline, None)]);
    let path = path.skip_while(|(timeline, _)| *timeline != base.start.timeline).collect();
    Some(Way { base, path })
}

/// Whether a backup is inconsistent without it.
fn is_of(all: &Inventory, wal: &Wal, backup: &Whole) -> bool {
    let (start, stop) = (backup.start, backup.stop);
    let between = wal.to > start.lsn && wal.from < stop.lsn;
    let passed = || {
        let history = all.histories.get(&stop.timeline);
        let mut path = history.into_iter().flat_map(|history| &history.forks);
        path.any(|(timeline, left)| *timeline == wal.timeline && wal.from < *left)
    };
    between && (wal.timeline == stop.timeline || wal.timeline == start.timeline || passed())
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
