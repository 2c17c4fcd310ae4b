//! `howdah remove`: refused; patronictl's way to forget a cluster.

use super::ctl;

/// Refused: a cluster goes by `howdah down --purge`
#[derive(clap::Args, Debug)]
pub struct Args {
    cluster: Option<String>,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    Err(ctl::remove(args.cluster.as_deref()).into())
}
