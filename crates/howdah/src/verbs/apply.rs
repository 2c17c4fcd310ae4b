//! `howdah apply`: takes a changed cluster file into force.

use howdah_base::NodeName;
use howdah_base::ask::Receipt;
use howdah_spec::{ClusterSpec, NodeSpec, PoolMode, to_toml};

use crate::ask::{Asker, block_on};
use crate::diff::diff;
use crate::failure::Failure;
use crate::file::{self, ClusterFile, FileArg};
use crate::order::Form;
use crate::prepare::{Caller, Layout, ports, prepare, remembered_ports, write_file};
use crate::reverts;
use crate::talk::{out, say};
use crate::verbs::config;

/// Take changes of the cluster file into force
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// Only show what would change
    #[arg(long)]
    diff: bool,
    /// Also take back what others have changed since this file was last applied
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    form: Form,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let wanted = args.file.load()?;
    let layout = Layout::new(&wanted.spec.base_dir);
    let running = running(&layout)?;
    let mut resolved = wanted.clone();
    ports::repeat(&mut resolved.spec, &remembered_ports(&layout)?.unwrap_or_default());
    // The nodes may have been told something else in the meantime; ask them while they answer.
    let in_force = config::in_force(&running).ok();
    let before = in_force.as_ref().map_or(&running.text, |in_force| &in_force.text);
    if !show(before, &resolved, args.form)? {
        say("nothing changes");
        return Ok(());
    }
    let settled = to_toml(&resolved.spec);
    let reverts = in_force.as_ref().map_or_else(String::new, |in_force| {
        reverts::of(&layout, &wanted.path, &wanted.text, &settled, in_force)
    });
    if args.diff {
        if !reverts.is_empty() {
            say(format!("warning: {}", reverts::refusal(&reverts)));
        }
        return Ok(());
    }
    check_not_resolved(&wanted, &layout)?;
    if !reverts.is_empty() && !args.force {
        return args.form.tell(Err(reverts::refusal(&reverts).into()));
    }
    let revision = in_force.as_ref().map(|in_force| in_force.revision);
    args.form.tell(take(&running, &wanted, revision))?;
    reverts::remember(&layout, &wanted.path, &settled)
}

/// Prints what differs between the text in force and the file that is wanted; false when nothing
/// does.
///
/// # Errors
/// It is more than a running cluster can change.
pub fn show(before: &str, wanted: &ClusterFile, form: Form) -> anyhow::Result<bool> {
    let layout = Layout::new(&wanted.spec.base_dir);
    let running = file::parse(&layout.file(), before).map_err(|all| file::rejected(&all))?;
    let changes = diff(&to_toml(&running), &to_toml(&wanted.spec));
    if changes.is_empty() {
        return Ok(false);
    }
    // Beside JSON, a difference is talk.
    if form.json {
        say(&changes)
    } else {
        out(&changes)
    }
    check_static(&running, &wanted.spec)?;
    if let Some(note) = waits_for_restart(&running, &wanted.spec) {
        say(note);
    }
    Ok(true)
}

/// What of a change no node follows before it is started anew, in a word to the operator.
fn waits_for_restart(running: &ClusterSpec, wanted: &ClusterSpec) -> Option<String> {
    let pools = |spec: &ClusterSpec| spec.pools.pool.mode != PoolMode::Off;
    let differs = [
        ("[pools] mode", pools(running) != pools(wanted)),
        ("[pools] threads", running.pools.threads != wanted.pools.threads),
        ("[endpoints]", running.endpoints != wanted.endpoints),
    ];
    let waiting: Vec<&str> = differs.iter().filter(|(_, is)| *is).map(|(what, _)| *what).collect();
    if waiting.is_empty() {
        return None;
    }
    let node = wanted.nodes.values().next()?;
    Some(format!(
        "note: each node follows this from its next start on: `{}`\nhint: exchange one agent after \
         the other, PostgreSQL goes on: `systemctl restart` its unit, or `kill -USR2 \"$(cat \
         {}/agent.lock)\"`",
        waiting.join("`, `"),
        node.state_dir.display()
    ))
}

/// Takes the file into force, as long as `revision` is; the node's sentence.
pub fn take(
    running: &ClusterFile,
    wanted: &ClusterFile,
    revision: Option<u64>,
) -> anyhow::Result<Receipt> {
    let layout = Layout::new(&wanted.spec.base_dir);
    let path = revision.map_or("/apply".to_owned(), |number| format!("/apply?revision={number}"));
    // A new role needs its password before a server is told of it.
    let prepared = prepare(wanted, Caller::Prepare)?;
    let answer = block_on(Asker::of(&prepared).change(&path, prepared.text.clone()));
    if answer.is_err() {
        // What the nodes have refused must not come into force at their next start.
        write_file(&layout.file(), 0o644, running.text.as_bytes())?;
    }
    answer
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
    // One more may come: `howdah token create` lets it in.
    let stays = |(name, node): (&NodeName, &NodeSpec)| {
        wanted.nodes.get(name).is_some_and(|wanted| place(wanted) == place(node))
    };
    let differs = [
        ("cluster", running.cluster != wanted.cluster),
        ("run_as", running.run_as != wanted.run_as),
        ("nodes, their hosts, ports and directories", !running.nodes.iter().all(stays)),
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
