//! `howdah topology`: who streams from whom.

use howdah_api::{patroni, render};

use crate::ask::{Asker, block_on};
use crate::file::FileArg;
use crate::order::Form;

/// Show who streams from whom
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
    args.form.print(&render::topology(&status), &patroni::cluster(&status))
}
