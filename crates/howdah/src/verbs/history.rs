//! `howdah history`: every change of leader, with its reason.

use howdah_api::render;

use crate::ask::{Asker, block_on};
use crate::file::FileArg;
use crate::talk::out;

/// Show every change of leader, and why
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let asker = Asker::of_file(&args.file.load_running()?);
    out(render::history(&block_on(asker.status())?));
    Ok(())
}
