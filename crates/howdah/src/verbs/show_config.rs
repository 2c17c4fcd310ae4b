//! `howdah show-config`: the cluster file in Patroni's words.

use super::ctl::settings;
use crate::file::FileArg;

/// Show the settings as patronictl does
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    settings::show(&args.file.load_running()?)
}
