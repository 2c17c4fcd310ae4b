//! `howdah history`: every change of leader, with its reason.

use howdah_api::render;

use crate::ask::{Asker, block_on};
use crate::file::FileArg;
use crate::order::Form;

/// Show every change of leader, and why
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let asker = Asker::of_file(&args.file.load_running()?);
    let status = block_on(asker.status())?;
    args.form.print(&render::history(&status), &status.history)
}
