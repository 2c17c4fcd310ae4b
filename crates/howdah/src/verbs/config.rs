//! `howdah config`: the cluster file in force, shown and edited.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use clap::Subcommand;
use howdah_api::client::Method;
use serde::{Deserialize, Serialize};

use super::apply;
use super::ctl::confirm;
use crate::ask::{Asker, block_on, read_answer};
use crate::failure::{Failure, why};
use crate::file::{self, ClusterFile, FileArg};
use crate::order::Form;
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
        form.print(&in_force.text, &in_force)
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
    let draft = Draft::new(file, &before.text)?;
    draft.open()?;
    let text = file::read(&draft.path)?;
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
    out(apply::take(file, &wanted, Some(before.revision))?);
    draft.remove()
}

/// A copy to write on.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn new(file: &ClusterFile, text: &str) -> anyhow::Result<Draft> {
        let name = format!("howdah-{}-{}.toml", file.spec.cluster, std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut draft = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("write a draft: `{}`", path.display()))?;
        draft.write_all(text.as_bytes()).context("write the draft")?;
        Ok(Draft { path })
    }

    fn open(&self) -> anyhow::Result<()> {
        let editor = ["VISUAL", "EDITOR"].into_iter().find_map(|name| std::env::var(name).ok());
        let editor = editor.filter(|editor| !editor.trim().is_empty());
        let editor = editor.unwrap_or_else(|| "vi".to_owned());
        // An editor may come with arguments, as in `code --wait`.
        let mut words = editor.split_whitespace();
        let program = words.next().unwrap_or("vi");
        let status =
            Command::new(program).args(words).arg(&self.path).status().map_err(|error| {
                Failure::failed(format!("cannot start the editor, {}: `{program}`", why(&error)))
                    .hint("set EDITOR to the one you use")
            })?;
        anyhow::ensure!(status.success(), "the editor failed, nothing changes: `{program}`");
        Ok(())
    }

    fn remove(&self) -> anyhow::Result<()> {
        let path: &Path = &self.path;
        fs::remove_file(path).with_context(|| format!("remove the draft: `{}`", path.display()))
    }
}
