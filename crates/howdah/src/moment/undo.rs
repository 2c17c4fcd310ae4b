//! `--undo`: back to the data that was kept; and what becomes of a switch-over that was interrupted.

use super::ground::Ground;
use super::journal::{self, Journal, Phase};
use super::{Asked, ask, beside, finish, now, still, switch};
use crate::archive::door;
use crate::failure::Failure;
use crate::talk::out;

/// The same switch-over once more, with the directories the other way round.
pub async fn run(
    ground: &Ground,
    written: Option<Journal>,
    asked: &Asked<'_>,
) -> anyhow::Result<()> {
    let refused = |what: &str| Failure::refused(what.to_owned());
    let Some(kept) = written else {
        return Err(refused("no data of before is kept: there is nothing to go back to").into());
    };
    match kept.phase {
        Phase::Switching => return give_up(ground, &kept, asked).await,
        Phase::Going => {
            let hint = format!("howdah restore --cluster --confirm{}", ground.file.typed);
            return Err(refused("a part of the data of before is removed").hint(hint).into());
        }
        Phase::Kept => {}
    }
    let seen = ground.seen().await?;
    if ground.node != kept.node {
        let what = format!("the data of before lies with {}, and {} leads", kept.node, ground.node);
        let hint = format!("howdah switchover {}{}", kept.node, ground.file.typed);
        return Err(refused(&what).hint(hint).into());
    }
    ground.check_here()?;
    ground.check(&seen)?;
    beside::check_movable(ground.own())?;
    let aside = journal::beside(ground.own(), &format!("before-{}", now()));
    out(format!("cluster       {}, on node {}", ground.file.spec.cluster, ground.node));
    out(format!("to            {}: {}", kept.kept, kept.aside.display()));
    out("timeline      one that was never used; the present one stays in the repository");
    out("writes stop   for a shutdown and a start: seconds, mostly");
    out(format!("kept          the data of now, until --confirm or --undo: {}", aside.display()));
    if asked.dry_run {
        return Ok(());
    }
    ask(ground, asked, &["What was committed since is not there any more, but kept aside."])?;
    let lineage = door::lineage_of(&ground.file, seen.system_identifier).await?;
    let ready = beside::kept(ground, &lineage, &kept.aside).await?;
    let journal = ground.journal(kept.kept.clone(), ready, aside, kept.aside.clone())?;
    let journal = Journal { before: Some(Box::new(kept)), ..journal };
    switch::check(ground, &journal).await?;
    ground.check(&ground.seen().await?)?;
    finish(ground, &journal).await
}

/// A switch-over that was killed, to its end.
pub async fn go_on(ground: &Ground, written: Option<Journal>) -> anyhow::Result<()> {
    match written {
        Some(journal) if journal.phase == Phase::Switching => finish(ground, &journal).await,
        _ => Err(Failure::refused("no switch-over was interrupted").into()),
    }
}

/// Or back, as long as it is not done.
async fn give_up(ground: &Ground, journal: &Journal, asked: &Asked<'_>) -> anyhow::Result<()> {
    let typed = &ground.file.typed;
    if ground.seen().await?.sync.0.directory == journal.new {
        return Err(Failure::refused("the switch-over was interrupted when it was all but done")
            .hint(format!("howdah restore --cluster --continue{typed}; then --undo goes back"))
            .into());
    }
    out(format!("given up      the switch-over after which it would be {}", journal.what));
    if asked.dry_run {
        return Ok(());
    }
    ground.hush(journal).await?;
    let still = still::all(ground).await?;
    switch::back(ground, journal, Some(still)).await?;
    out("it is given up; the cluster goes on as it was");
    Ok(())
}
