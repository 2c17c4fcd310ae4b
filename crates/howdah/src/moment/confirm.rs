//! `--confirm`: the cluster stays as it is, and the data that was kept goes.

use std::fs;

use anyhow::Context;
use howdah_archive::restore::write::no_server;

use super::ground::Ground;
use super::journal::{Journal, Phase, sync_parent};
use super::{Asked, ask};
use crate::failure::Failure;
use crate::talk::out;

pub fn run(ground: &Ground, written: Option<Journal>, asked: &Asked<'_>) -> anyhow::Result<()> {
    let spec = &ground.here;
    let journal = kept(ground, written)?;
    let aside = &journal.aside;
    out(format!("cluster       {}, stays {}", spec.cluster, journal.what));
    out(format!("goes          the cluster {}: {}", journal.kept, aside.display()));
    if asked.dry_run {
        return Ok(());
    }
    ask(ground, asked, &["This removes the data of before for good."])?;
    if spec.nodes.values().any(|node| node.data_dir.starts_with(aside)) {
        anyhow::bail!("it is a node's data directory: `{}`", aside.display());
    }
    no_server(aside)?;
    // From here on nobody goes back to half of it.
    Journal { phase: Phase::Going, ..journal.clone() }.write(spec)?;
    if aside.exists() {
        fs::remove_dir_all(aside).with_context(|| format!("remove: `{}`", aside.display()))?;
        sync_parent(aside)?;
    }
    Journal::forget(spec)?;
    out("it is removed");
    Ok(())
}

/// What there is to be confirmed.
fn kept(ground: &Ground, written: Option<Journal>) -> anyhow::Result<Journal> {
    let typed = &ground.file.typed;
    match written {
        Some(journal) if journal.phase != Phase::Switching => Ok(journal),
        Some(_) => Err(Failure::refused("a switch-over was interrupted")
            .hint(format!("howdah restore --cluster --continue{typed}, or --undo"))
            .into()),
        None => {
            Err(Failure::refused("no data of before is kept: there is nothing to confirm").into())
        }
    }
}
