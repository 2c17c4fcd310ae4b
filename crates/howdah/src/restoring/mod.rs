//! What the verbs have in common that bring a backup back: the plan, the restore with its progress, and
//! the recovery that is finished before anybody is let in.

pub mod alone;
mod expected;
pub mod kept;
pub mod standby;
pub mod target;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_api::render::size;
use howdah_api::when;
use howdah_archive::restore::holding;
use howdah_archive::restore::plan::{Plan, Refusal, Target, Wish, plan};
use howdah_archive::restore::write::{
    Action, Along, Destination, Over, Progress, Recovery, restore_over,
};
use howdah_repo::Lineage;
use howdah_repo::manifest::About;
use howdah_repo::name::Label;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::archive::{door, words};
use crate::failure::Failure;
use crate::file::ClusterFile;
use crate::talk::say;
use target::Tablespace;

const TELL_EVERY: Duration = Duration::from_secs(2);

/// The way to a moment, and what is said of its backup.
#[derive(Debug)]
pub struct Planned {
    pub wish: Wish,
    pub plan: Plan,
    pub label: Label,
    pub about: About,
    /// Milliseconds until the server takes clients, as far as anybody knows.
    pub expected_ms: Option<u64>,
}

/// Finds the way; nothing is touched.
pub async fn planned(lineage: &Lineage, wish: Wish) -> anyhow::Result<Planned> {
    if let Target::Time(at) = wish.target
        && at > when::now_unix_ms()
    {
        let what = format!("that moment is yet to come: {}", when::rfc3339(at));
        return Err(Failure::refused(what).hint("howdah backups; or --to latest").into());
    }
    let found = holding::look(lineage).await?;
    let plan = match plan(&found, &wish) {
        Ok(plan) => plan,
        Err(refusal) => {
            let parent = lineage.about().await?.parent;
            let hint = match parent {
                Some(parent) => format!(
                    "howdah backups; what was before this cluster began has --lineage {}",
                    parent.lineage
                ),
                None => "howdah backups; nothing was touched".to_owned(),
            };
            return Err(Failure::refused(said(&refusal)).hint(hint).into());
        }
    };
    let label: Label = plan.backup.parse()?;
    let about = lineage.about_backup(&label).await?;
    let expected = expected::time(lineage, about.statistics.bytes, plan.wal_bytes()).await;
    // Only said: a proof that cannot be read keeps nobody from his data.
    let expected_ms = expected.ok().flatten();
    Ok(Planned { wish, plan, label, about, expected_ms })
}

/// With the moment, for whoever asked for one.
fn said(refusal: &Refusal) -> String {
    match refusal {
        Refusal::BeforeFirst { stopped_at, .. } | Refusal::BackupIsLater { stopped_at, .. } => {
            format!("{refusal}, on {}", when::rfc3339(*stopped_at))
        }
        _ => refusal.to_string(),
    }
}

impl Planned {
    /// In words; `to` is the target as it was typed.
    pub fn shown(&self, to: &str, into: &Path) -> String {
        let plan = &self.plan;
        let bytes = size(self.about.statistics.bytes);
        let made = when::rfc3339(u64::try_from(self.about.stopped_ms).unwrap_or(0) / 1000 * 1000);
        let mut text = format!("from backup   {}, {bytes}, complete at {made}\n", plan.backup);
        text += &format!("to            {to} on timeline {}\n", plan.timeline);
        for (timeline, from, end) in &plan.wal {
            text += &format!("WAL           {from} to {end} on timeline {timeline}\n");
        }
        if plan.stops_early
            && let Some((_, _, end)) = plan.wal.last()
        {
            text += &format!(
                "              up to {end}; recovery fails if the target lies behind it\n"
            );
        }
        let most = if plan.stops_early { "at most " } else { "" };
        text += &format!("              {most}{}\n", size(plan.wal_bytes()));
        text += &format!("time          {}\n", self.expected());
        text + &format!("into          {}\n", into.display())
    }

    fn expected(&self) -> String {
        match self.expected_ms {
            Some(ms) => format!("about {}, by the last drill", words::time(ms)),
            None => "nobody knows: nothing was drilled lately (howdah drill restore)".to_owned(),
        }
    }

    /// Tablespaces by their OIDs, as they were named on the command line.
    pub fn tablespaces(&self, named: &[String]) -> anyhow::Result<BTreeMap<u32, PathBuf>> {
        let mut mapped = BTreeMap::new();
        for text in named {
            let (which, to) = target::tablespace(text)?;
            let oid = match which {
                Tablespace::Oid(oid) => oid,
                Tablespace::At(path) => {
                    let there = &self.about.tablespaces;
                    let known = there.iter().find(|there| Path::new(&there.path) == path);
                    let all: Vec<&str> = there.iter().map(|there| there.path.as_str()).collect();
                    known.map(|known| known.oid).ok_or_else(|| {
                        let what = format!("the backup has no tablespace at `{}`", path.display());
                        Failure::bad_input(what)
                            .hint(format!("it has these: `{}`", all.join("` `")))
                    })?
                }
            };
            mapped.insert(oid, to);
        }
        Ok(mapped)
    }

    /// How the server gets there, once it is started on the directory.
    pub fn recovery(
        &self,
        file: &ClusterFile,
        lineage: &Lineage,
        action: Action,
    ) -> anyhow::Result<Recovery> {
        Ok(Recovery {
            restore_command: door::restore_command(file, lineage.id())?,
            target: self.wish.target.clone(),
            timeline: Along::Of(self.plan.timeline),
            action,
        })
    }
}

/// Restores, and says how far it is.
pub async fn carry_out(
    lineage: &Lineage,
    planned: &Planned,
    destination: &Destination,
    over: Over,
) -> anyhow::Result<()> {
    let (told, progress) = watch::channel(Progress::default());
    let sees = told.subscribe();
    tokio::select! {
        restored = restore_over(lineage, &planned.label, destination, over, &told) => drop(restored?),
        () = follow(progress) => anyhow::bail!("nobody tells how far the restore is"),
    }
    let last = *sees.borrow();
    if matches!(over, Over::Directory { .. }) || last.kept > 0 {
        let fetched = last.total.saturating_sub(last.kept);
        let fetched = if fetched < 1_000_000 {
            format!("{:.1} kB", fetched as f64 / 1e3)
        } else {
            size(fetched)
        };
        say(format!("howdah: {} were right and stay, {fetched} were fetched", size(last.kept)));
    }
    Ok(())
}

async fn follow(mut progress: watch::Receiver<Progress>) {
    loop {
        sleep(TELL_EVERY).await;
        let now = *progress.borrow_and_update();
        let percent = now.done * 100 / now.total.max(1);
        say(format!("howdah: {percent} % of {} are there", size(now.total)));
    }
}
