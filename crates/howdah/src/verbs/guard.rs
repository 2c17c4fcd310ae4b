//! `howdah guard`: PostgreSQL's parent, started by a node and by nobody else.

use std::path::PathBuf;

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

pub fn run(_args: &Args) -> anyhow::Result<()> {
    anyhow::bail!("not wired yet")
}
