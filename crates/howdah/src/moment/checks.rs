//! What keeps a cluster from being taken to a moment, found out before anything is touched.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use howdah_api::when;
use howdah_archive::restore::plan::Target;
use nix::unistd::Uid;

use super::ground::Ground;
use super::journal::{Journal, Phase};
use crate::failure::Failure;
use crate::file::ClusterFile;
use crate::restoring::target::MomentArgs;

/// Why nothing can be done on this machine.
pub fn no_node_here(file: &ClusterFile) -> anyhow::Error {
    let cluster = &file.spec.cluster;
    Failure::refused(format!("no node of cluster {cluster} lives on this machine"))
        .hint("run it on the machine whose node leads: howdah status")
        .into()
}

pub fn own_user(lock: &Path) -> anyhow::Result<()> {
    let folder = lock.parent().unwrap_or(lock);
    let owner =
        fs::metadata(folder).with_context(|| format!("look at `{}`", folder.display()))?.uid();
    if owner == Uid::effective().as_raw() {
        return Ok(());
    }
    let what = format!("the nodes are another user's: `{}`", folder.display());
    Err(Failure::refused(what).hint("run it as root, or as that user").into())
}

pub fn nothing_kept(ground: &Ground, written: Option<&Journal>) -> anyhow::Result<()> {
    let Some(journal) = written else { return Ok(()) };
    let typed = &ground.file.typed;
    Err(match journal.phase {
        Phase::Switching => {
            Failure::refused(format!("a switch-over was interrupted: {}", journal.what)).hint(
                format!("howdah restore --cluster --continue{typed} finishes it, --undo goes back"),
            )
        }
        Phase::Kept | Phase::Going => {
            let aside = journal.aside.display();
            let what = format!("the last one still keeps the cluster {}: `{aside}`", journal.kept);
            Failure::refused(what).hint(format!(
                "howdah restore --cluster --confirm{typed} removes it, --undo goes back to it"
            ))
        }
    }
    .into())
}

pub fn moment(moment: &MomentArgs) -> anyhow::Result<()> {
    let bad = |what: &str| {
        Err(Failure::bad_input(what).hint("name a moment: --to time=2030-01-31T04:00:00Z").into())
    };
    match moment.wish()?.target {
        Target::Latest if moment.target_timeline.is_none() => {
            bad("`latest` is where the cluster is now")
        }
        Target::Time(at) if at > when::now_unix_ms() => bad("that moment is yet to come"),
        _ => Ok(()),
    }
}
