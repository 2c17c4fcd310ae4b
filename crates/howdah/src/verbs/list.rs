//! `howdah list`: the members in patronictl's table.

use super::ctl::list;
use super::ctl::members;
use crate::ask::{Asker, block_on};
use crate::file::FileArg;
use crate::output::Format;

/// List the members as patronictl does
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Show some extra information
    #[arg(short, long)]
    extended: bool,
    /// Output format
    #[arg(long, value_enum, default_value = "pretty")]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    let format = if args.json { Format::Json } else { args.format };
    list::again(None, || {
        let status = block_on(Asker::of_file(&file).status())?;
        let mut text = members::table(&status, args.extended, format).print(format);
        if format == Format::Pretty {
            text += &members::service_info(&status);
        }
        Ok(text)
    })
}
