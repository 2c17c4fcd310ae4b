//! `howdah resume`: the end of a pause.

use serde_json::Value;

use super::pause::until_known;
use crate::ask::block_on;
use crate::file::FileArg;
use crate::order::{self, Form};

/// End a pause: Howdah acts by itself again
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Come back when every node that answers knows of it
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    form: Form,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let file = args.file.load_running()?;
    order::give(&file, "/resume", &Value::Null, args.form)?;
    if args.wait { block_on(until_known(&file, false)) } else { Ok(()) }
}
