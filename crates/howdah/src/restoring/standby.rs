//! A directory that is to be a standby's: restored from the newest backup that lies on the leader's
//! history, and brought up to the end of the WAL that is there, by a server that nobody else reaches.
//!
//! Past the place where a timeline was left nothing is replayed: the timeline is named, and it is only
//! begun with when its own WAL is there. PostgreSQL takes the WAL of an older timeline only where that of a
//! newer one is missing, and never goes back to it (xlogrecovery.c, XLogFileReadAnyTLI).

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use anyhow::Context;
use howdah_archive::restore::holding;
use howdah_archive::restore::plan::{Holding, Plan, Refusal, Target, Wish, plan};
use howdah_archive::restore::write::{
    Action, Along, Destination, Progress, Recovery, forget_recovery, restore,
};
use howdah_base::{History, Lsn};
use howdah_postgres::control;
use howdah_postgres::recovering::{Place, Recovering};
use howdah_repo::Lineage;
use howdah_repo::name::Label;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::archive::door;
use crate::archive::making::{Line, Wanted};
use crate::facts;
use crate::failure::Failure;
use crate::file::ClusterFile;
use howdah_api::render::size;

/// A repository that gives no answer for so long is passed by.
const OPENED_WITHIN: Duration = Duration::from_secs(60);
/// The WAL of a timeline that has just begun may take so long to get there.
const NEW_TIMELINE_WITHIN: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const TELL_EVERY: Duration = Duration::from_secs(5);
/// What it holds meanwhile is listed so often.
const HELD_EVERY: Duration = Duration::from_secs(60);
/// Nothing comes from it for so long.
const STALLED_AFTER: Duration = Duration::from_secs(300);

/// Makes it in `wanted.into`. The last line tells what was made.
pub async fn make(
    file: &ClusterFile,
    wanted: &Wanted,
    tell: &impl Fn(&Line),
) -> anyhow::Result<Line> {
    let opened = timeout(OPENED_WITHIN, door::lineage_of(file, wanted.system_identifier)).await;
    let lineage = opened.map_err(|_| silent())??;
    let (plan, label) = way(&lineage, &wanted.history).await?;
    let segment = u64::from(lineage.about().await?.segment_bytes);
    let destination = Destination {
        data_dir: wanted.into.clone(),
        tablespaces: BTreeMap::new(),
        jobs: usize::try_from(door::backup(file)?.jobs)?,
        recovery: Recovery {
            restore_command: door::standby_command(file, lineage.id())?,
            target: Target::Latest,
            timeline: Along::Of(wanted.history.timeline),
            action: Action::Shutdown,
        },
    };
    if !lineage.about_backup(&label).await?.tablespaces.is_empty() {
        // They lie beside nothing: what a restore that is given up left there would be in the way of
        // every other copy.
        let what =
            format!("backup {label} has tablespaces, and standbys with them are only copied");
        return Err(Failure::refused(what).into());
    }
    tell(&Line::Told { said: format!("backup {label}"), held: held(&plan, segment) });
    restored(&lineage, &label, &destination, (&wanted.history, segment), tell).await?;
    let replayed = recovered(file, wanted, (&lineage, segment), tell).await?;
    Ok(Line::Made { said: format!("backup {label} and WAL up to {replayed}"), replayed })
}

fn silent() -> Failure {
    Failure::failed(format!("the repository gave no answer within {OPENED_WITHIN:?}"))
        .hint("howdah backups")
}

/// The way from a backup to the end of the leader's own timeline.
async fn way(lineage: &Lineage, history: &History) -> anyhow::Result<(Plan, Label)> {
    let begun = Instant::now();
    loop {
        let looked = timeout(OPENED_WITHIN, holding::look(lineage)).await;
        let found = looked.map_err(|_| silent())??;
        match planned(&found, history) {
            Ok(plan) => {
                let label = plan.backup.parse()?;
                return Ok((plan, label));
            }
            Err(Unfit::Yet(_)) if begun.elapsed() < NEW_TIMELINE_WITHIN => sleep(LOOK_AGAIN).await,
            Err(Unfit::Yet(why) | Unfit::Never(why)) => {
                return Err(Failure::refused(why).hint("howdah backups; howdah verify").into());
            }
        }
    }
}

/// Why nothing can be made of what is there.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Unfit {
    /// The leader's timeline is not there yet.
    Yet(String),
    Never(String),
}

/// Pure.
fn planned(found: &Holding, history: &History) -> Result<Plan, Unfit> {
    let timeline = history.timeline;
    if let Some(theirs) = found.histories.get(&timeline)
        && theirs.forks != history.forks
    {
        return Err(Unfit::Never(format!(
            "its timeline {timeline} is another one than the leader's: it left others at other places"
        )));
    }
    let wish = Wish { target: Target::Latest, timeline: Some(timeline), backup: None };
    let plan = plan(found, &wish).map_err(|refusal| match refusal {
        Refusal::UnknownTimeline { .. } => Unfit::Yet(refusal.to_string()),
        Refusal::NoBackup if !found.backups.is_empty() => {
            Unfit::Never(format!("none of its backups lies on the history of timeline {timeline}"))
        }
        _ => Unfit::Never(refusal.to_string()),
    })?;
    match plan.wal.last() {
        Some((last, from, to)) if *last == timeline && to > from => Ok(plan),
        _ => Err(Unfit::Yet(format!("no WAL of timeline {timeline} is there"))),
    }
}

/// Where the WAL ends that it leads to.
fn end(plan: &Plan) -> Option<Lsn> {
    plan.wal.last().map(|(_, _, end)| *end)
}

/// Up to where no server has to keep WAL: a standby asks for the whole segment in which it ends.
fn held(plan: &Plan, segment: u64) -> Option<Lsn> {
    end(plan).map(|end| Lsn(end.0.saturating_sub(segment)))
}

/// Restores, and says how far it is, and what the repository holds by then.
async fn restored(
    lineage: &Lineage,
    label: &Label,
    destination: &Destination,
    (history, segment): (&History, u64),
    tell: &impl Fn(&Line),
) -> anyhow::Result<()> {
    let (told, progress) = watch::channel(Progress::default());
    let follow = async {
        let (mut before, mut moved) = (0, Instant::now());
        let (mut looked, mut kept) = (Instant::now(), None);
        loop {
            sleep(TELL_EVERY).await;
            let now = *progress.borrow();
            if now.done > before {
                (before, moved) = (now.done, Instant::now());
            }
            if moved.elapsed() > STALLED_AFTER {
                return Failure::failed(format!("nothing more came of backup {label}"));
            }
            if looked.elapsed() >= HELD_EVERY {
                looked = Instant::now();
                // One that cannot be listed now is found out by whoever reads from it.
                let look = timeout(OPENED_WITHIN, holding::look(lineage)).await;
                let found = look.ok().and_then(Result::ok);
                let plan = found.and_then(|found| planned(&found, history).ok());
                kept = plan.and_then(|plan| held(&plan, segment)).max(kept);
            }
            let percent = now.done * 100 / now.total.max(1);
            let said = format!("{percent} % of {}, backup {label}", size(now.total));
            tell(&Line::Told { said, held: kept });
        }
    };
    tokio::select! {
        restored = restore(lineage, label, destination, &told) => drop(restored?),
        stalled = follow => return Err(stalled.into()),
    }
    Ok(())
}

/// Lets a server replay what is there by now; what was told to be held before is part of that.
async fn recovered(
    file: &ClusterFile,
    wanted: &Wanted,
    (lineage, segment): (&Lineage, u64),
    tell: &impl Fn(&Line),
) -> anyhow::Result<Lsn> {
    let (plan, _) = way(lineage, &wanted.history).await?;
    let goal = end(&plan).context("find the end of the WAL")?;
    let data_dir = &wanted.into;
    howdah_postgres::write_durably(&data_dir.join("standby.signal"), "")?;
    let mut folder = DirBuilder::new();
    folder.recursive(true).mode(0o700).create(&wanted.socket_dir).context("make its folder")?;
    let install = facts::install(&file.spec, data_dir)?;
    let mut sizes = control::read(&install, data_dir)?.sizes;
    for (name, size) in &wanted.sizes {
        let known = sizes.entry(name.clone()).or_insert(*size);
        *known = (*known).max(*size);
    }
    let (socket_dir, log) = (wanted.socket_dir.as_path(), wanted.log.as_path());
    let place = Place { data_dir, socket_dir, log, settings: &[] };
    let mut server = Recovering::start_standby(&install, &place, &sizes)?;
    tell(&Line::Told { said: format!("WAL up to {goal} is replayed"), held: None });
    let told = |at: &str| {
        tell(&Line::Told { said: format!("WAL is replayed, {at} of {goal}"), held: None });
    };
    let replayed = server.replayed(goal, segment, told).await?;
    server.stop().await?;
    forget_recovery(data_dir, false)?;
    std::fs::remove_file(data_dir.join("recovery.signal")).context("end its recovery")?;
    Ok(replayed)
}

#[cfg(test)]
mod tests {
    use howdah_archive::restore::plan::BackupFacts;
    use howdah_base::{Position, Timeline};

    use super::*;

    fn at(timeline: u32, lsn: u64) -> Position {
        Position { timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    /// A backup on timeline 1 at 100 to 120, left at 200 for timeline 3.
    fn held(wal: &[(u32, u64, u64)]) -> (Holding, History) {
        let history = History::root(Timeline(1)).promoted(Lsn(200), Timeline(3));
        let backup = BackupFacts {
            label: "b".to_owned(),
            start: at(1, 100),
            stop: at(1, 120),
            stopped_at: 0,
        };
        let mut holding = Holding { backups: vec![backup], ..Holding::default() };
        holding.histories.insert(Timeline(3), history.clone());
        for (timeline, from, to) in wal {
            holding.wal.entry(Timeline(*timeline)).or_default().push((Lsn(*from), Lsn(*to)));
        }
        (holding, history)
    }

    fn way_of(wal: &[(u32, u64, u64)]) -> String {
        let (holding, history) = held(wal);
        match planned(&holding, &history) {
            Ok(plan) => format!("{:?}", end(&plan).map(|end| end.0)),
            Err(why) => format!("{why:?}"),
        }
    }

    #[test]
    fn it_leads_to_the_end_of_the_leaders_own_wal() {
        assert_eq!(way_of(&[(1, 50, 200), (3, 200, 260)]), "Some(260)");
        // What the old primary wrote past the fork counts for nothing, and is not waited for.
        assert_eq!(way_of(&[(1, 50, 400), (3, 200, 260)]), "Some(260)");
    }

    #[test]
    fn without_the_leaders_own_wal_the_old_timelines_would_be_replayed_past_the_fork() {
        assert!(way_of(&[(1, 50, 400)]).starts_with("Yet"));
    }

    #[test]
    fn holes_and_other_branches_are_refused() {
        assert!(way_of(&[(1, 50, 150), (3, 200, 260)]).starts_with("Never(\"WAL is missing"));
        let (mut holding, history) = held(&[(1, 50, 200), (3, 200, 260)]);
        holding.backups[0].stop = at(1, 201);
        let why = planned(&holding, &history);
        assert!(format!("{why:?}").contains("none of its backups lies on the history"), "{why:?}");
        let other = History::root(Timeline(1)).promoted(Lsn(190), Timeline(3));
        let why = planned(&held(&[(1, 50, 200), (3, 200, 260)]).0, &other);
        assert!(format!("{why:?}").contains("another one than the leader's"), "{why:?}");
        holding.backups.clear();
        assert!(format!("{:?}", planned(&holding, &history)).contains("no backup"));
    }
}
