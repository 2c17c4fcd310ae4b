//! The whole running cluster to a moment: `howdah restore --cluster`.
//!
//! ```text
//! plan ─► restored and recovered beside, while the cluster serves ─► switch-over ─► the others copy
//!                                                                        │ the old data is kept
//!                                                     --confirm ◄────────┴────────► --undo
//! ```
//! The node that leads goes on leading, in another directory. Why it is done like this, and not by what agents
//! are asked for: docs/decisions/0023.

mod beside;
mod checks;
mod confirm;
mod ground;
pub mod hold;
mod journal;
mod record;
mod serves;
mod still;
mod switch;
mod undo;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use howdah_api::when;
use howdah_archive::restore::write::{Action, Destination, Over, check};
use howdah_repo::Lineage;
use howdah_spec::ClusterSpec;

use crate::archive::door;
use crate::failure::Failure;
use crate::file::ClusterFile;
use crate::prepare::account;
use crate::prepare::lock::Lock;
use crate::restoring::target::MomentArgs;
use crate::restoring::{Planned, planned};
use crate::talk::{out, say};
use ground::Ground;
use journal::{Journal, Phase};

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    To,
    Continue,
    Confirm,
    Undo,
}

/// And how.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub what: What,
    pub moment: &'a MomentArgs,
    pub dry_run: bool,
    pub yes: bool,
}

pub fn run(file: ClusterFile, asked: &Asked<'_>) -> anyhow::Result<()> {
    // Everything that it touches is the servers' user's. Before any thread starts.
    account::server_account(&file.spec.run_as)?.become_for_good()?;
    let here = ground::nodes_here(&file.spec);
    let path = journal::lock(&here).ok_or_else(|| checks::no_node_here(&file))?;
    checks::own_user(&path)?;
    let Some(_turn) = Lock::take(&path)? else {
        let pid = Lock::holder(&path).map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
        let what = format!("the cluster is being taken to a moment already, by process `{pid}`");
        return Err(Failure::failed(what).into());
    };
    door::runtime()?.block_on(async {
        let written = Journal::read(&here)?;
        // Killed when all was done but this; nobody else is at it.
        let is_under_way = written.as_ref().is_some_and(|one| one.phase == Phase::Switching);
        if hold::any(&here) && !is_under_way {
            hold::lift(&here)?;
            say("howdah: nodes were held by one that was killed, and are let go");
            if asked.what == What::Continue {
                return Ok(());
            }
        }
        let ground = Ground::open(file, written.as_ref()).await?;
        match asked.what {
            What::To => to(&ground, written, asked).await,
            What::Continue => undo::go_on(&ground, written).await,
            What::Undo => undo::run(&ground, written, asked).await,
            What::Confirm => confirm::run(&ground, written, asked),
        }
    })
}

/// What a switch-over has left on this machine, for whoever looks at the cluster.
pub fn kept(spec: &ClusterSpec) -> Option<String> {
    let journal = Journal::read(&ground::nodes_here(spec)).ok()??;
    let (kept, aside) = (&journal.kept, journal.aside.display());
    match journal.phase {
        // Its nodes are held, and whoever looks is told of that.
        Phase::Switching => None,
        Phase::Kept | Phase::Going => Some(format!(
            "kept: the cluster {kept}, in `{aside}`\n\
             hint: howdah restore --cluster --confirm removes that, --undo goes back to it"
        )),
    }
}

async fn to(ground: &Ground, written: Option<Journal>, asked: &Asked<'_>) -> anyhow::Result<()> {
    checks::nothing_kept(ground, written.as_ref())?;
    checks::moment(asked.moment)?;
    let seen = ground.seen().await?;
    ground.check_here()?;
    ground.check(&seen)?;
    let lineage = door::lineage_of(&ground.file, seen.system_identifier).await?;
    let planned = planned(&lineage, asked.moment.wish()?).await?;
    let own = ground.own();
    let place = journal::beside(own, "restoring");
    let aside = journal::beside(own, &format!("before-{}", now()));
    show(ground, &planned, asked.moment, (&place, &aside));
    let to = destination(ground, &lineage, &planned, &place)?;
    beside::check_movable(own)?;
    if !planned.about.tablespaces.is_empty() {
        let what = "the backup has tablespaces, which old and new data would share";
        return Err(Failure::refused(what).hint(beside::BY_HAND).into());
    }
    // Not where an interrupted one has left something that goes.
    let fresh = Destination { data_dir: journal::beside(own, "restoring-new"), ..to.clone() };
    check(&lineage, &planned.label, &fresh, Over::Nothing).await?;
    if asked.dry_run {
        return Ok(());
    }
    let cluster = &ground.file.spec.cluster;
    let what = format!("this takes cluster {cluster} to {}.", asked.moment.to);
    ask(
        ground,
        asked,
        &[&what, "What was committed later is not there any more, but kept aside."],
    )?;
    let ready = beside::restored(ground, &lineage, &planned, &to).await?;
    let what = format!("as it was at {}", asked.moment.to);
    let journal = ground.journal(what, ready, aside, place)?;
    switch::check(ground, &journal).await?;
    // It took its time: a pause or a fence may have been set meanwhile.
    ground.check(&ground.seen().await?)?;
    finish(ground, &journal).await
}

/// The switch-over, and what came of it.
async fn finish(ground: &Ground, journal: &Journal) -> anyhow::Result<()> {
    let begun = Instant::now();
    let ran = switch::over(ground, journal).await?;
    let typed = &ground.file.typed;
    let begins = journal.begins;
    out(format!(
        "the cluster is {}: on timeline {}, which began at {}",
        journal.what, begins.timeline, begins.lsn
    ));
    out(format!("kept, {}: `{}`", journal.kept, journal.aside.display()));
    serves::wait(ground, journal, ran > 0, begun).await?;
    say("hint: look at it, then one of both, and a backup:");
    say(format!("  howdah restore --cluster --confirm{typed}   removes what is kept"));
    say(format!("  howdah restore --cluster --undo{typed}      goes back to it"));
    Ok(())
}

fn show(ground: &Ground, planned: &Planned, moment: &MomentArgs, (place, aside): (&Path, &Path)) {
    let cluster = &ground.file.spec.cluster;
    out(format!(
        "cluster       {cluster}, on node {}; its other nodes copy from there",
        ground.node
    ));
    out(planned.shown(&moment.to, place).trim_end());
    out("timeline      one that was never used; the present one stays in the repository");
    out("writes stop   when that is ready, for a shutdown and a start: seconds, mostly");
    if ground.has_others() {
        out("then          others serve the data of before until they are made anew; \
             commits are on one machine until the first is");
    }
    out(format!("kept          the data of now, until --confirm or --undo: {}", aside.display()));
}

fn destination(
    ground: &Ground,
    lineage: &Lineage,
    planned: &Planned,
    place: &Path,
) -> anyhow::Result<Destination> {
    Ok(Destination {
        data_dir: place.to_owned(),
        tablespaces: BTreeMap::new(),
        jobs: usize::try_from(door::backup(&ground.file)?.jobs)?,
        recovery: planned.recovery(&ground.file, lineage, Action::Promote)?,
    })
}

/// Unless it was answered beforehand.
fn ask(ground: &Ground, asked: &Asked<'_>, words: &[&str]) -> anyhow::Result<()> {
    if asked.yes {
        return Ok(());
    }
    words.iter().for_each(say);
    say("Type the cluster's name to go on:");
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("read the answer")?;
    match line.trim() == ground.file.spec.cluster.as_str() {
        true => Ok(()),
        false => Err(Failure::failed("nothing was changed").into()),
    }
}

/// As a folder's name has it.
fn now() -> String {
    let now = when::rfc3339(when::now_unix_ms());
    let seconds = now.split(['.', 'Z']).next().unwrap_or_default();
    seconds.chars().filter(char::is_ascii_alphanumeric).collect()
}
