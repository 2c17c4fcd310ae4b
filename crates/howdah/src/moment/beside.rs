//! The directory that is to come, made while the cluster serves from the other one: restored, or kept from
//! before; recovered out of everybody's reach on a timeline that was reserved for it; marked as the
//! node's.

use std::fs;
use std::path::Path;

use anyhow::Context;
use howdah_archive::restore::write::{
    Destination, Over, forget_recovery, is_marked, no_server, unmark,
};
use howdah_base::{DirectoryId, Position, Timeline};
use howdah_postgres::directory::{self, DirectoryFile, DirectoryState};
use howdah_postgres::install::Install;
use howdah_postgres::recovering::Place;
use howdah_postgres::write_durably;
use howdah_repo::Lineage;
use howdah_spec::NodeSpec;

use super::ground::Ground;
use crate::adopt::take::identity;
use crate::facts;
use crate::failure::Failure;
use crate::prepare::{layout, make_dir};
use crate::restoring::alone::{Recovered, recover};
use crate::restoring::{Planned, carry_out};

/// It can take the other's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    pub id: DirectoryId,
    /// Where its own timeline began.
    pub begins: Position,
}

/// From the repository. What an interrupted one left at its place goes first.
pub async fn restored(
    ground: &Ground,
    lineage: &Lineage,
    planned: &Planned,
    to: &Destination,
) -> anyhow::Result<Ready> {
    let place = &to.data_dir;
    clear(place)?;
    make_dir(place, 0o700)?;
    let made = async {
        carry_out(lineage, planned, to, Over::Interrupted).await?;
        let wanted = ground.reserve(lineage, &[place]).await?;
        let recovered = recovered(ground, place, planned.plan.timeline, wanted, &[]).await?;
        forget_recovery(place, false)?;
        let ready = marked(ground, place, &recovered)?;
        unmark(place)?;
        Ok(ready)
    };
    made.await.map_err(|error| {
        // What is left of it is of no use, and the next one begins anew. Its log stays.
        let _ = fs::remove_dir_all(place);
        untouched(error)
    })
}

/// As whoever asked needs to hear it first.
fn untouched(error: anyhow::Error) -> anyhow::Error {
    let told = format!("{error:#}");
    let hint = match told.contains(NOT_REACHED) {
        true => {
            "no commit behind the target is in the repository: name an earlier one, or none that \
                 commits would have to follow"
        }
        false => "mend that, and give the command again",
    };
    let what = format!("the cluster serves as before, and nothing was touched: {told}");
    Failure::failed(what).hint(hint).into()
}

/// PostgreSQL's own words for a target that it has not met.
const NOT_REACHED: &str = "recovery ended before configured recovery target";

/// One that was kept: it goes on where it stopped, on a timeline of its own, so that in the repository the
/// newest timeline is the cluster's.
pub async fn kept(ground: &Ground, lineage: &Lineage, place: &Path) -> anyhow::Result<Ready> {
    no_server(place)?;
    let from = newest(ground, place)?;
    let wanted = ground.reserve(lineage, &[place]).await?;
    write_durably(&place.join("recovery.signal"), "")?;
    // All of its WAL lies in it.
    let settings = [("restore_command", "false"), ("recovery_target_timeline", "current")];
    let recovered = recovered(ground, place, from, wanted, &settings).await?;
    marked(ground, place, &recovered)
}

async fn recovered(
    ground: &Ground,
    place: &Path,
    from: Timeline,
    wanted: Timeline,
    settings: &[(&str, &str)],
) -> anyhow::Result<Recovered> {
    let own = ground.own();
    let install = install(ground, place)?;
    directory::reserve_timeline(place, from, wanted)?;
    // The node's own server has its socket in the other one.
    let socket_dir = own.state_dir.join("moment");
    make_dir(&socket_dir, 0o700)?;
    let log = layout::log_dir(own).join("recovery.log");
    let place = Place { data_dir: place, socket_dir: &socket_dir, log: &log, settings };
    let recovered = recover(&install, &place, false).await?;
    if recovered.timeline != wanted {
        let took = recovered.timeline;
        let what = format!("recovery took timeline {took} instead of the reserved `{wanted}`");
        return Err(Failure::failed(what).hint("give the command again").into());
    }
    Ok(recovered)
}

fn marked(ground: &Ground, place: &Path, recovered: &Recovered) -> anyhow::Result<Ready> {
    let id = identity(&ground.node)?;
    let last = recovered.history.forks.last().context("find where its timeline began")?;
    let begins = Position { timeline: recovered.timeline, lsn: last.1 };
    let (node, fresh, adopted) = (ground.node.clone(), false, false);
    directory::write_file(place, &DirectoryFile { id: id.clone(), node, fresh, adopted })?;
    Ok(Ready { id, begins })
}

/// The newest timeline of a directory whose server is down.
fn newest(ground: &Ground, place: &Path) -> anyhow::Result<Timeline> {
    let install = install(ground, place)?;
    match directory::read(&install, place, Path::new("/nonexistent")) {
        DirectoryState::Ready(ready) => Ok(ready.control.newest_timeline()),
        other => {
            anyhow::bail!("it is no data directory any more, {other:?}: `{}`", place.display())
        }
    }
}

fn install(ground: &Ground, place: &Path) -> anyhow::Result<Install> {
    facts::install(&ground.prepared.spec, place)
}

/// Whether a directory can be renamed in its folder.
///
/// # Errors
/// It cannot, or has tablespaces, which two directories would share.
pub fn check_movable(own: &NodeSpec) -> anyhow::Result<()> {
    let data_dir = &own.data_dir;
    let shown = data_dir.display();
    let meta = fs::symlink_metadata(data_dir).with_context(|| format!("look at `{shown}`"))?;
    let folder = data_dir.parent().unwrap_or(Path::new("/"));
    let above = fs::metadata(folder).with_context(|| format!("look at `{}`", folder.display()))?;
    use std::os::unix::fs::MetadataExt;
    if meta.is_symlink() || meta.dev() != above.dev() {
        let what = format!("the data directory is a link or a mount point of its own: `{shown}`");
        return Err(Failure::refused(what).hint(BY_HAND).into());
    }
    let spaces = data_dir.join("pg_tblspc");
    let spaces = fs::read_dir(&spaces).with_context(|| format!("list `{}`", spaces.display()))?;
    if spaces.count() > 0 {
        let what = "the cluster has tablespaces, which old and new data would share";
        return Err(Failure::refused(what).hint(BY_HAND).into());
    }
    Ok(())
}

pub const BY_HAND: &str =
    "howdah restore --into a directory of its own, and pg_dump what is wanted from there";

/// What an interrupted restore left, and nothing else.
fn clear(place: &Path) -> anyhow::Result<()> {
    if !place.exists() {
        return Ok(());
    }
    let is_empty = fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none());
    if !is_empty && !is_marked(place) && directory::read_file(place)?.is_none() {
        let what = format!("something lies where the restored data would: `{}`", place.display());
        return Err(Failure::refused(what).hint("move it away").into());
    }
    fs::remove_dir_all(place).with_context(|| format!("remove `{}`", place.display()))
}
