//! `howdah make-standby`: a standby's directory from the repository; started by a node, which says on
//! stdin what it wants and reads on stdout how far it is.

use std::io::Read;

use anyhow::Context;

use crate::archive::door;
use crate::archive::making::{Line, Wanted};
use crate::file::FileArg;
use crate::restoring::standby;
use crate::talk::out;

/// Make a standby's directory from the repository; a node starts it
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    file: FileArg,
}

/// Of what is wanted.
const WANTED_BYTES_MAX: u64 = 1 << 20;

pub fn run(args: &Args) -> anyhow::Result<()> {
    crate::talk::warnings();
    let file = args.file.load_running()?;
    let mut text = Vec::new();
    std::io::stdin()
        .take(WANTED_BYTES_MAX)
        .read_to_end(&mut text)
        .context("read what is wanted")?;
    let wanted: Wanted = serde_json::from_slice(&text).context("read what is wanted")?;
    let tell = |line: &Line| {
        // All that is told are words and numbers.
        out(serde_json::to_string(line).unwrap_or_default());
    };
    let made = door::runtime()?.block_on(standby::make(&file, &wanted, &tell))?;
    tell(&made);
    Ok(())
}
