//! `howdah config`: the cluster file in force, shown and edited.

use anyhow::Context;
use clap::Subcommand;
use howdah_api::client::Method;
use serde::{Deserialize, Serialize};

use super::apply;
use super::ctl::confirm;
use crate::ask::{Asker, block_on, read_answer};
use crate::draft::Draft;
use crate::file::{self, ClusterFile, FileArg};
use crate::order::Form;
use crate::reverts;
use crate::talk::{out, say};

/// Show or edit the cluster file in force
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Show it; so does `howdah config` alone
    Show(Show),
    /// Edit it in $VISUAL or $EDITOR, and take it into force
    Edit(Edit),
}

#[derive(clap::Args, Debug)]
struct Show {
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

#[derive(clap::Args, Debug)]
struct Edit {
    /// Do not ask before it comes into force
    #[arg(short, long, visible_alias = "force")]
    yes: bool,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let show = |file: &FileArg, form: Form| {
        let in_force = in_force(&file.load_running()?)?;
        form.print(&(reverts::heading(in_force.revision) + &in_force.text), &in_force)
    };
    match &args.verb {
        None => show(&args.file, args.form),
        Some(Verb::Show(args)) => show(&args.file, args.form),
        Some(Verb::Edit(args)) => edit(&args.file.load_running()?, args.yes),
    }
}

/// The cluster file as the nodes have it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InForce {
    pub revision: u64,
    pub text: String,
}

pub fn in_force(file: &ClusterFile) -> anyhow::Result<InForce> {
    let answer = block_on(Asker::of_file(file).send(Method::GET, "/file", String::new()))?;
    read_answer(&answer)?;
    serde_json::from_str(&answer.body).context("read the cluster file in force")
}

/// One round in an editor. What is not valid stays in its file, and nothing changes.
pub fn edit(file: &ClusterFile, yes: bool) -> anyhow::Result<()> {
    let before = in_force(file)?;
    let draft = Draft::new(&format!("{}.toml", file.spec.cluster), &before.text)?;
    let text = draft.edited()?;
    if text == before.text {
        say("nothing changes");
        return draft.remove();
    }
    let spec = file::parse(&draft.path, &text).map_err(|mistakes| {
        let hint = format!("it is kept; howdah apply -f {}", draft.path.display());
        file::rejected(&mistakes).hint(hint)
    })?;
    let wanted = ClusterFile { path: draft.path.clone(), text, spec, ..file.clone() };
    if !apply::show(&before.text, &wanted, Form::default())? {
        say("nothing changes");
        return draft.remove();
    }
    confirm("Apply these changes?", yes)?;
    out(apply::take(file, &wanted, Some(before.revision))?.message);
    draft.remove()
}
