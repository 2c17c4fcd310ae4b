//! The switch-over: writes stop here, and go on in the other directory.
//!
//! ```text
//! pause, journal, marks ─► nodes end, guards gone ─► old aside, new in its place ─► one transaction ─► kept
//!                                                └─ refused: back, as it was
//! ```
//! The transaction is the point of no return. Before it every failure leads back; after it only forward. Two
//! servers that write are impossible: no node runs while a directory moves, and afterwards the
//! record names the new directory, which the old one is not.

use std::fs;
use std::path::Path;

use anyhow::Context;
use howdah_api::when;
use howdah_archive::restore::write::no_server;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ground::{Ground, timelines};
use super::hold;
use super::journal::{Journal, Phase, sync_parent};
use super::record::Seen;
use super::still::{self, Still};
use crate::failure::Failure;
use crate::talk::say;

/// Carries it out, or goes back. How many nodes ran before.
///
/// # Errors
/// The cluster is as it was, or the error says what to run.
pub async fn over(ground: &Ground, journal: &Journal) -> anyhow::Result<usize> {
    let spec = &ground.here;
    let _deaf = Deaf::begin()?;
    // Before anything else: this may be refused.
    ground.hush(journal).await?;
    journal.write(spec)?;
    let exchanged = exchange(ground, journal).await;
    match exchanged {
        Ok(still) => {
            let ran = still.ran;
            Journal { phase: Phase::Kept, before: None, ..journal.clone() }.write(spec)?;
            // Locks first: a node that waits for the mark to go finds its own free.
            drop(still);
            // The switch-over itself has ended the pause, but for one that was done already.
            let resumed = ground.resume(journal).await;
            hold::lift(spec)?;
            resumed.map_err(|error| {
                Failure::failed(format!("the switch-over is done, and its pause stands: {error:#}"))
                    .hint(format!("howdah resume{}", ground.file.typed))
            })?;
            Ok(ran)
        }
        Err((error, still)) => match back(ground, journal, still).await {
            Ok(()) => Err(error.context("nothing was changed; the cluster goes on as it was")),
            Err(worse) => {
                let typed = ground.file.typed.clone();
                let what = format!("{error:#}; and the way back is not clear: {worse:#}");
                Err(Failure::failed(what)
                    .hint(format!(
                        "no node starts until this is finished: howdah restore --cluster \
                         --continue{typed}, or --undo to go back"
                    ))
                    .into())
            }
        },
    }
}

type Stopped = (anyhow::Error, Option<Still>);

async fn exchange(ground: &Ground, journal: &Journal) -> Result<Still, Stopped> {
    let still = still::all(ground).await.map_err(|e| (e, None))?;
    let exchanged = async {
        let data_dir = &ground.own().data_dir;
        no_server(&journal.beside)?;
        if committed(ground, journal).await? {
            return forward(data_dir, journal);
        }
        // The transaction compares it once more.
        check(ground, journal).await?;
        not_begun(data_dir, journal)?;
        forward(data_dir, journal)?;
        commit(ground, journal).await
    };
    match exchanged.await {
        Ok(()) => Ok(still),
        Err(error) => Err((error, Some(still))),
    }
}

/// What would be refused is refused before a node ends for it.
pub async fn check(ground: &Ground, journal: &Journal) -> anyhow::Result<()> {
    let seen = ground.seen().await?;
    let refused = seen.switched(journal, ground.here.nodes.keys(), 0).err();
    refused.map_or(Ok(()), |why| Err(Failure::refused(why).hint(AGAIN).into()))
}

/// A promotion that was under way when the number was reserved may have taken it: then two histories would
/// have one name.
fn not_begun(data_dir: &Path, journal: &Journal) -> anyhow::Result<()> {
    // What lies in its place may be the new one already.
    if !journal.beside.exists() || !is_there(data_dir) {
        return Ok(());
    }
    let begins = journal.begins.timeline;
    if timelines(data_dir)?.into_iter().any(|timeline| timeline >= begins) {
        let what = format!("the server has begun timeline {begins} meanwhile");
        return Err(Failure::refused(what).hint(AGAIN).into());
    }
    Ok(())
}

const AGAIN: &str = "give the command again: it begins with the cluster as it is now";

/// Whether the record names the new directory.
async fn committed(ground: &Ground, journal: &Journal) -> anyhow::Result<bool> {
    Ok(ground.seen().await?.sync.0.directory == journal.new)
}

async fn commit(ground: &Ground, journal: &Journal) -> anyhow::Result<()> {
    let change = |seen: &Seen| {
        if seen.sync.0.directory == journal.new {
            return Ok(None);
        }
        let ended = ground.here.nodes.keys();
        let txn = seen.switched(journal, ended, when::now_unix_ms());
        Ok(Some(txn.map_err(Failure::failed)?))
    };
    ground.write(change).await
}

fn forward(data_dir: &Path, journal: &Journal) -> anyhow::Result<()> {
    change_places(data_dir, &journal.aside, &journal.beside)
}

fn backward(data_dir: &Path, journal: &Journal) -> anyhow::Result<()> {
    change_places(data_dir, &journal.beside, &journal.aside)
}

/// What lies in `data_dir` goes to `out`, and what lies at `into` comes in its place. Whatever was done of
/// it before, it is done then.
fn change_places(data_dir: &Path, out: &Path, into: &Path) -> anyhow::Result<()> {
    let lost = || {
        format!(
            "directories are not where they should be: look for `{}` and `{}`",
            out.display(),
            into.display()
        )
    };
    if into.exists() && !out.exists() {
        anyhow::ensure!(is_there(data_dir), lost());
        rename(data_dir, out)?;
    }
    if into.exists() && !is_there(data_dir) {
        rename(into, data_dir)?;
    }
    anyhow::ensure!(is_there(data_dir) && out.exists() && !into.exists(), lost());
    Ok(())
}

/// Everything is where it was, and the nodes go on. Only as long as the record names the old directory; and
/// directories move only while no node runs.
pub async fn back(ground: &Ground, journal: &Journal, still: Option<Still>) -> anyhow::Result<()> {
    let spec = &ground.here;
    let data_dir = &ground.own().data_dir;
    let has_moved = !is_there(data_dir) || journal.aside.exists();
    if has_moved {
        anyhow::ensure!(still.is_some(), "directories have moved, and not every node is stopped");
        bar(ground, journal).await?;
        backward(data_dir, journal)?;
    }
    if still.is_none() {
        // One that ends late, and finds no mark then, would not be started again.
        still::ended(ground).await?;
    }
    ground.resume(journal).await?;
    match &journal.before {
        Some(before) => before.write(spec)?,
        None => Journal::forget(spec)?,
    }
    drop(still);
    hold::lift(spec)?;
    if journal.before.is_none() {
        // It was restored for this alone; what an undo wanted is still kept.
        let _ = fs::remove_dir_all(&journal.beside);
    }
    Ok(())
}

/// An answer of the store's may have been lost, and its transaction be on its way: it must not come any
/// more.
async fn bar(ground: &Ground, journal: &Journal) -> anyhow::Result<()> {
    let change = |seen: &Seen| {
        let is_done = seen.sync.0.directory == journal.new;
        anyhow::ensure!(!is_done, "the record names the new directory");
        Ok(Some(seen.barred()))
    };
    ground.write(change).await
}

/// An empty one is as good as none: whoever prepares a node makes it, and a rename replaces it.
fn is_there(data_dir: &Path) -> bool {
    fs::read_dir(data_dir).is_ok_and(|mut entries| entries.next().is_some())
}

fn rename(from: &Path, to: &Path) -> anyhow::Result<()> {
    let renamed = fs::rename(from, to);
    renamed.with_context(|| format!("rename `{}` to `{}`", from.display(), to.display()))?;
    sync_parent(to)
}

/// While it lives, Ctrl-C and SIGTERM do nothing: a switch-over is short, and half of one is worse.
struct Deaf {
    _signals: [Signal; 2],
}

impl Deaf {
    fn begin() -> anyhow::Result<Deaf> {
        let listen = |kind| signal(kind).context("listen for signals");
        let signals = [listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?];
        say("switching over; this is not interrupted by Ctrl-C");
        Ok(Deaf { _signals: signals })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use howdah_base::{Lsn, Position, Timeline};

    use super::*;

    fn journal(base: &Path) -> Journal {
        Journal {
            phase: Phase::Switching,
            what: String::new(),
            node: "n1".parse().expect("a name"),
            old: "n1_0000000a".parse().expect("an id"),
            aside: base.join("data.before-x"),
            kept: String::new(),
            new: "n1_0000000b".parse().expect("an id"),
            beside: base.join("data.restoring"),
            begins: Position { timeline: Timeline(2), lsn: Lsn(1) },
            before: None,
        }
    }

    /// Which data lies where: of `data`, `data.before-x`, `data.restoring`.
    fn lie(base: &Path) -> [Option<String>; 3] {
        let read = |name: &str| fs::read_to_string(base.join(name).join("which")).ok();
        ["data", "data.before-x", "data.restoring"].map(read)
    }

    /// Wherever it was cut short, both ways lead to their ends.
    #[test]
    fn directories_find_their_places_from_everywhere() {
        let root = std::env::temp_dir().join(format!("howdah-switch-{}", std::process::id()));
        let states = [
            [Some("old"), None, Some("new")],
            [None, Some("old"), Some("new")],
            [Some("new"), Some("old"), None],
        ];
        type Way = fn(&Path, &Journal) -> anyhow::Result<()>;
        let ways: [(Way, usize); 2] = [(forward, 2), (backward, 0)];
        for (number, state) in states.iter().enumerate() {
            for ((way, end), prepared) in
                ways.iter().zip([false, true]).chain(ways.iter().zip([true, false]))
            {
                let base: PathBuf = root.join(format!("{number}-{end}-{prepared}"));
                if prepared {
                    // A node that is held was prepared before it was held.
                    fs::create_dir_all(base.join("data")).expect("made");
                }
                for (name, which) in ["data", "data.before-x", "data.restoring"].iter().zip(state) {
                    let Some(which) = which else { continue };
                    fs::create_dir_all(base.join(name)).expect("made");
                    fs::write(base.join(name).join("which"), which).expect("written");
                }
                way(&base.join("data"), &journal(&base)).expect("it gets there");
                assert_eq!(
                    lie(&base),
                    states[*end].map(|w| w.map(str::to_owned)),
                    "{number} {end}"
                );
                way(&base.join("data"), &journal(&base)).expect("and stays there");
            }
        }
        let lost = root.join("lost");
        fs::create_dir_all(lost.join("data")).expect("made");
        assert!(forward(&lost.join("data"), &journal(&lost)).is_err(), "what is to come is gone");
        fs::remove_dir_all(root).expect("removed");
    }
}
