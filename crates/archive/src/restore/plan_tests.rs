//! Plans in words.

use super::*;

/// Backup a [100, 200] at moment 10 and b [300, 350] at 20 on timeline 1, left for 3 at 400 (and for
/// 2, on which nobody went on, at 250); c [500, 600] at 40 on timeline 3.
fn holding() -> Holding {
    let backup = |label: &str, timeline, start, stop, stopped_at| BackupFacts {
        label: label.to_owned(),
        start: Position { timeline: Timeline(timeline), lsn: Lsn(start) },
        stop: Position { timeline: Timeline(timeline), lsn: Lsn(stop) },
        stopped_at,
    };
    let root = History::root(Timeline(1));
    let histories = [root.promoted(Lsn(250), Timeline(2)), root.promoted(Lsn(400), Timeline(3))];
    let wal = [(1, vec![(90, 400)]), (2, vec![(240, 260)]), (3, vec![(390, 700), (700, 900)])];
    let pieces = |pieces: Vec<(u64, u64)>| -> Vec<(Lsn, Lsn)> {
        pieces.into_iter().map(|(from, to)| (Lsn(from), Lsn(to))).collect()
    };
    Holding {
        backups: vec![
            backup("b", 1, 300, 350, 20),
            backup("a", 1, 100, 200, 10),
            backup("c", 3, 500, 600, 40),
        ],
        histories: histories.into_iter().map(|history| (history.timeline, history)).collect(),
        wal: wal.into_iter().map(|(number, all)| (Timeline(number), pieces(all))).collect(),
    }
}

fn wish(target: Target) -> Wish {
    Wish { target, timeline: None, backup: None }
}

/// `b 1:300-400 3:400-900`, or what is said against it.
fn says(holding: &Holding, wish: &Wish) -> String {
    match plan(holding, wish) {
        Ok(plan) => {
            let wal = plan.wal.iter().map(|(number, from, to)| {
                let (from, to) = (from.0, to.0);
                format!(" {number}:{from}-{to}")
            });
            format!("{}{}", plan.backup, wal.collect::<String>())
        }
        Err(refusal) => format!("{refusal:?}"),
    }
}

#[test]
fn the_newest_backup_before_the_target_is_taken() {
    let all = holding();
    for (target, plan) in [
        (Target::Latest, "c 3:500-900"),
        (Target::Immediate, "c 3:500-600"),
        (Target::Time(39), "b 1:300-400 3:400-900"),
        (Target::Time(40), "c 3:500-900"),
        (Target::Time(19), "a 1:100-400 3:400-900"),
        (Target::Lsn(Lsn(600)), "c 3:500-600"),
        (Target::Lsn(Lsn(599)), "b 1:300-400 3:400-599"),
        (Target::Lsn(Lsn(210)), "a 1:100-210"),
        (Target::Name("x".into()), "a 1:100-400 3:400-900"),
        (Target::Xid(7), "a 1:100-400 3:400-900"),
    ] {
        assert_eq!(says(&all, &wish(target.clone())), plan, "{target:?}");
    }
}

#[test]
fn a_backup_must_lie_on_the_way_to_its_timeline() {
    let all = holding();
    let on = |timeline, backup: Option<&str>| Wish {
        timeline: Some(Timeline(timeline)),
        backup: backup.map(str::to_owned),
        ..wish(Target::Latest)
    };
    assert_eq!(says(&all, &on(2, None)), "a 1:100-250 2:250-260", "b was complete behind the fork");
    assert_eq!(says(&all, &on(1, None)), "b 1:300-400");
    assert!(says(&all, &on(2, Some("b"))).starts_with("OtherBranch"));
    assert!(says(&all, &on(1, Some("c"))).starts_with("OtherBranch"));
    assert!(says(&all, &on(7, None)).starts_with("UnknownTimeline"));
    assert!(says(&all, &on(1, Some("z"))).starts_with("UnknownBackup"));
}

#[test]
fn what_cannot_be_reached_is_refused() {
    let mut all = holding();
    let refusal = |all: &Holding, target| plan(all, &wish(target)).expect_err("refused");
    assert!(
        matches!(refusal(&all, Target::Time(9)), Refusal::BeforeFirst { first, .. } if first == "a")
    );
    assert!(matches!(refusal(&all, Target::Lsn(Lsn(199))), Refusal::BeforeFirst { .. }));
    let end = Position { timeline: Timeline(3), lsn: Lsn(900) };
    assert_eq!(refusal(&all, Target::Lsn(Lsn(901))), Refusal::BeyondEnd { end });
    let named = Wish { backup: Some("c".into()), ..wish(Target::Time(39)) };
    assert!(matches!(plan(&all, &named), Err(Refusal::BackupIsLater { .. })));
    all.wal.insert(Timeline(3), vec![(Lsn(390), Lsn(650)), (Lsn(700), Lsn(900))]);
    let gap = Refusal::Gap { timeline: Timeline(3), from: Lsn(650), to: Lsn(700) };
    assert_eq!(refusal(&all, Target::Latest), gap);
    assert_eq!(refusal(&all, Target::Lsn(Lsn(800))), gap);
    assert_eq!(says(&all, &wish(Target::Lsn(Lsn(650)))), "c 3:500-650", "before the hole");
    // It may lie before the hole; PostgreSQL says so where it does not.
    assert_eq!(says(&all, &wish(Target::Time(50))), "c 3:500-650");
    assert_eq!(
        refusal(&all, Target::Xid(5)),
        gap,
        "nobody knows on which side of the hole it lies"
    );
    let named = Wish { backup: Some("a".into()), ..wish(Target::Xid(5)) };
    assert_eq!(says(&all, &named), "a 1:100-400 3:400-650");
    // As expiry leaves it: of the oldest backup there is its own WAL, and later WAL is whole.
    let own = vec![(Lsn(90), Lsn(210)), (Lsn(290), Lsn(400))];
    let wal = [(Timeline(1), own), (Timeline(3), vec![(Lsn(390), Lsn(900))])].into();
    let expired = Holding { wal, ..all.clone() };
    assert_eq!(says(&expired, &wish(Target::Name("x".into()))), "b 1:300-400 3:400-900");
    all.wal.remove(&Timeline(1));
    let missing = Refusal::Gap { timeline: Timeline(1), from: Lsn(300), to: Lsn(350) };
    assert_eq!(refusal(&all, Target::Time(39)), missing, "the backup's own");
    all.backups.clear();
    assert_eq!(refusal(&all, Target::Latest), Refusal::NoBackup);
}

#[test]
fn a_backup_over_a_fork_needs_both_sides() {
    let mut all = holding();
    let stop = Position { timeline: Timeline(3), lsn: Lsn(450) };
    let start = Position { timeline: Timeline(1), lsn: Lsn(380) };
    all.backups = vec![BackupFacts { label: "d".to_owned(), start, stop, stopped_at: 30 }];
    assert_eq!(says(&all, &wish(Target::Immediate)), "d 1:380-400 3:400-450");
    assert_eq!(says(&all, &wish(Target::Latest)), "d 1:380-400 3:400-900");
    let first = Wish { timeline: Some(Timeline(1)), ..wish(Target::Latest) };
    assert_eq!(says(&all, &first), "NoBackup", "it is consistent on the other branch only");
    // What timeline 3 took along of the segment in which it began does for 1's end.
    all.wal.insert(Timeline(1), vec![(Lsn(90), Lsn(390))]);
    assert_eq!(says(&all, &wish(Target::Immediate)), "d 1:380-400 3:400-450");
    all.wal.insert(Timeline(1), vec![(Lsn(90), Lsn(385))]);
    let gap = Refusal::Gap { timeline: Timeline(1), from: Lsn(385), to: Lsn(400) };
    assert_eq!(plan(&all, &wish(Target::Time(50))), Err(gap));
    all.wal.insert(Timeline(1), vec![(Lsn(90), Lsn(400))]);
    all.wal.insert(Timeline(3), vec![(Lsn(390), Lsn(440)), (Lsn(445), Lsn(900))]);
    let gap = Refusal::Gap { timeline: Timeline(3), from: Lsn(440), to: Lsn(445) };
    assert_eq!(plan(&all, &wish(Target::Time(50))), Err(gap));
}

#[test]
fn a_backup_without_its_own_wal_is_none() {
    let mut all = holding();
    all.wal.insert(Timeline(3), vec![(Lsn(390), Lsn(550))]);
    let gap = Refusal::Gap { timeline: Timeline(3), from: Lsn(550), to: Lsn(600) };
    assert_eq!(plan(&all, &wish(Target::Latest)), Err(gap));
}
