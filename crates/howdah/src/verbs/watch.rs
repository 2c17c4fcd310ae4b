//! `howdah watch`: the status, anew each second.

use super::status::watch;
use crate::ask::{Asker, block_on};
use crate::file::FileArg;

/// Show the cluster anew each second, until Ctrl-C
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
    /// As JSON, one line a second
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    block_on(watch(&Asker::of_file(&args.file.load_running()?), args.json))
}
