//! `howdah edit-config`: settings are changed in Patroni's words, or the file in an editor.

use super::ctl::settings::{self, Edit};
use crate::file::FileArg;

/// Change settings as patronictl does
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    edit: Edit,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    settings::edit(&args.file.load_running()?, &args.edit)
}
