//! `howdah guard`: PostgreSQL's parent, started by a node and by nobody else.

use std::path::PathBuf;

use howdah_guard::Options;

/// PostgreSQL's parent; a node starts it
#[derive(clap::Args, Debug)]
pub struct Args {
    #[arg(long)]
    socket: PathBuf,
    #[arg(long)]
    data_dir: PathBuf,
    #[arg(long)]
    log: PathBuf,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let Args { socket, data_dir, log } = args;
    let (socket, data_dir, log) = (socket.clone(), data_dir.clone(), log.clone());
    let options = Options { socket, data_dir, log, watchdog: howdah_guard::open_watchdog };
    Ok(howdah_guard::run(&options)?)
}
