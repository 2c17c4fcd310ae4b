//! `howdah apply`: takes a changed cluster file into force.

use howdah_spec::{ClusterSpec, NodeSpec, to_toml};

use crate::ask::{Asker, block_on};
use crate::diff::diff;
use crate::failure::Failure;
use crate::file::{self, ClusterFile, FileArg};
use crate::prepare::{Caller, Layout, ports, prepare, remembered_ports, write_file};
use crate::talk::{out, say};

/// Take changes of the cluster file into force
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Only show what would change
    #[arg(long)]
    diff: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let wanted = args.file.load()?;
    let layout = Layout::new(&wanted.spec.base_dir);
    let running = running(&layout)?;
    let mut spec = wanted.spec.clone();
    ports::repeat(&mut spec, &remembered_ports(&layout)?.unwrap_or_default());
    let changes = diff(&to_toml(&running.spec), &to_toml(&spec));
    if changes.is_empty() {
        say("nothing changes");
        return Ok(());
    }
    out(&changes);
    check_static(&running.spec, &spec)?;
    if args.diff {
        return Ok(());
    }
    check_not_resolved(&wanted, &layout)?;
    // A new role needs its password before a server is told of it.
    let before = running.text;
    let prepared = prepare(&wanted, Caller::Prepare)?;
    let answer = block_on(Asker::of(&prepared).change("/apply", prepared.text.clone()));
    if answer.is_err() {
        // What the nodes have refused must not come into force at their next start.
        write_file(&layout.file(), 0o644, before.as_bytes())?;
    }
    out(answer?);
    Ok(())
}

fn running(layout: &Layout) -> anyhow::Result<ClusterFile> {
    if !layout.file().exists() {
        return Err(Failure::bad_input("the cluster has never been started")
            .hint("howdah up")
            .into());
    }
    file::load(&layout.file())
}

/// The resolved file is Howdah's own record of what is in force.
fn check_not_resolved(wanted: &ClusterFile, layout: &Layout) -> anyhow::Result<()> {
    if wanted.path == layout.file() {
        return Err(Failure::bad_input("this file is howdah's own copy; change the one you wrote")
            .hint("howdah apply -f YOUR-FILE")
            .into());
    }
    Ok(())
}

/// What a running cluster cannot change yet.
fn check_static(running: &ClusterSpec, wanted: &ClusterSpec) -> anyhow::Result<()> {
    let place = |node: &NodeSpec| NodeSpec { tags: Default::default(), ..node.clone() };
    let nodes = |spec: &ClusterSpec| -> Vec<_> {
        spec.nodes.iter().map(|(name, node)| (name.clone(), place(node))).collect()
    };
    let differs = [
        ("cluster", running.cluster != wanted.cluster),
        ("run_as", running.run_as != wanted.run_as),
        ("nodes, their hosts, ports and directories", nodes(running) != nodes(wanted)),
        ("store", running.store != wanted.store),
        ("postgresql.major", running.postgresql.major != wanted.postgresql.major),
        ("postgresql.locale", running.postgresql.locale != wanted.postgresql.locale),
    ];
    let fixed: Vec<&str> = differs.iter().filter(|(_, is)| *is).map(|(what, _)| *what).collect();
    if fixed.is_empty() {
        return Ok(());
    }
    Err(Failure::bad_input(format!(
        "a running cluster cannot change yet: `{}`",
        fixed.join("`, `")
    ))
    .hint("put these back as they were, then howdah apply again")
    .into())
}
