//! Every small world: whatever goes, each backup that stays and each moment of the window is reached
//! afterwards as before, by the same judge that a restore asks.

use super::*;
use crate::restore::plan::{BackupFacts, Holding, Target, Wish, plan};

/// WAL positions are hours, and so are moments: WAL of hour h is written at h.
const HOURS: u64 = 12;

/// Which hours have a backup that starts then and is complete an hour later, and where the line
/// forks: timeline 2 leaves 1 at `fork`, at the moment `left`.
struct World {
    on_first: u32,
    on_second: u32,
    fork: u64,
    left: u64,
}

impl World {
    fn inventory(&self) -> Inventory {
        let mut all = Inventory::default();
        let second = Timeline(2);
        let history = History::root(Timeline(1)).promoted(Lsn(self.fork), second);
        all.histories.insert(second, history);
        let mut add = |timeline: u32, from: u64, written_at: u64| {
            let name = format!("{timeline}/{from}");
            let (timeline, to) = (Timeline(timeline), Lsn(from + 1));
            all.wal.push(Wal { name, timeline, from: Lsn(from), to, written_at });
        };
        (0..self.left).for_each(|hour| add(1, hour, hour));
        let behind = self.left - self.fork;
        (self.left..HOURS).for_each(|hour| add(2, hour - behind, hour));
        for (timeline, hours, behind) in [(1, self.on_first, 0), (2, self.on_second, behind)] {
            let alive = if timeline == 1 { 0..self.left } else { self.left..HOURS };
            for hour in alive.filter(|hour| hours & (1 << hour) != 0) {
                let label = format!("b{hour}");
                let pack = format!("{label}/pack");
                all.packs.push(Pack { name: pack.clone(), written_at: hour });
                // Each but the first goes on from the one before.
                let packs = all.backups.last().map(|before: &Whole| before.packs[0].clone());
                all.backups.push(Whole {
                    label,
                    start: Position { timeline: Timeline(timeline), lsn: Lsn(hour - behind) },
                    stop: Position { timeline: Timeline(timeline), lsn: Lsn(hour - behind + 1) },
                    stopped_at: hour + 1,
                    packs: [pack].into_iter().chain(packs).collect(),
                });
            }
        }
        all
    }
}

fn holding(all: &Inventory, gone: &Removal) -> Holding {
    let mut holding = Holding { histories: all.histories.clone(), ..Holding::default() };
    for backup in all.backups.iter().filter(|backup| !gone.backups.contains(&backup.label)) {
        let (label, start, stop) = (backup.label.clone(), backup.start, backup.stop);
        holding.backups.push(BackupFacts { label, start, stop, stopped_at: backup.stopped_at });
    }
    for wal in all.wal.iter().filter(|wal| !gone.wal.contains(&wal.name)) {
        holding.wal.entry(wal.timeline).or_default().push((wal.from, wal.to));
    }
    holding
}

/// Of each kept backup by itself, and of each moment from the window's beginning on, on the timeline
/// that was gone on then and on the newest.
fn wishes(world: &World, stay: &BTreeSet<String>, window_from: u64) -> Vec<Wish> {
    let all = world.inventory();
    let own = stay.iter().map(|label| {
        let backup = all.backups.iter().find(|backup| backup.label == *label).expect("it is there");
        let timeline = Some(backup.start.timeline);
        Wish { target: Target::Immediate, timeline, backup: Some(label.clone()) }
    });
    let moments = (window_from..=HOURS).flat_map(|moment| {
        let then = Timeline(if moment < world.left { 1 } else { 2 });
        [None, Some(then)].map(|timeline| Wish {
            target: Target::Time(moment),
            timeline,
            backup: None,
        })
    });
    own.chain(moments).collect()
}

/// What of `world` cannot be reached any more.
fn lost(world: &World, stay: impl Fn(&Whole) -> bool, window_from: u64) -> Vec<Wish> {
    let all = world.inventory();
    let mut kept = bases(&all, window_from);
    kept.extend(all.backups.iter().filter(|b| stay(b)).map(|b| b.label.clone()));
    let gone = removal(&all, &kept, Moments { window_from, settled_before: HOURS });
    let (before, after) = (holding(&all, &Removal::default()), holding(&all, &gone));
    for backup in all.backups.iter().filter(|backup| kept.contains(&backup.label)) {
        let missing = backup.packs.iter().find(|pack| gone.packs.contains(pack));
        assert_eq!(missing, None, "a pack of `{}`", backup.label);
    }
    let mut wishes = wishes(world, &kept, window_from);
    wishes.retain(|wish| plan(&before, wish).is_ok() && plan(&after, wish).is_err());
    wishes
}

#[test]
fn whatever_goes_what_is_kept_is_reached() {
    let mut worlds = 0_u32;
    for (fork, left) in [(2, 2), (2, 5), (4, 7), (6, 6), (7, 9), (1, 11)] {
        for backups in 0..1_u32 << HOURS {
            let world = World { on_first: backups, on_second: backups, fork, left };
            let window_from = u64::from(backups.count_ones() + backups) % HOURS;
            let every = u64::from(backups % 4 + 1);
            let lost = lost(&world, |backup| backup.stopped_at % every == 0, window_from);
            assert!(
                lost.is_empty(),
                "fork {fork}, left {left}, {backups:b}, from {window_from}: {lost:?}"
            );
            worlds += 1;
        }
    }
    assert_eq!(worlds, 6 << HOURS);
}

#[test]
fn what_nobody_needs_goes() {
    let world = World { on_first: 0b11, on_second: 1 << 6 | 1 << 10, fork: 4, left: 4 };
    let all = world.inventory();
    let bases = bases(&all, 9);
    assert_eq!(bases.iter().collect::<Vec<_>>(), ["b10", "b6"]);
    let gone = removal(&all, &bases, Moments { window_from: 9, settled_before: 11 });
    assert_eq!(gone.backups, ["b0", "b1"]);
    // b6 goes on from b1, whose pack stays; of the line before it nothing does.
    assert_eq!(gone.packs, ["b0/pack"]);
    assert_eq!(gone.wal, ["1/0", "1/1", "1/2", "1/3", "2/4", "2/5"]);
}

#[test]
fn the_branch_that_was_given_up_keeps_a_way_to_what_came_after_it() {
    // At 5 the cluster went back to 2, before backup b3.
    let world = World { on_first: 0b1001, on_second: 0, fork: 2, left: 5 };
    let bases = bases(&world.inventory(), 4);
    assert_eq!(
        bases.iter().collect::<Vec<_>>(),
        ["b0", "b3"],
        "from b3 no way leads to timeline 2"
    );
}

#[test]
fn rules_that_keep_nothing_remove_nothing() {
    let all = World { on_first: 1, on_second: 0, fork: 4, left: 4 }.inventory();
    let moments = Moments { window_from: 9, settled_before: 11 };
    assert_eq!(removal(&all, &BTreeSet::new(), moments), Removal::default());
}
