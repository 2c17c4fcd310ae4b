//! `howdah remove`: refused; patronictl's way to forget a cluster.

use super::ctl;
use crate::file::FileArg;

/// Refused: a cluster goes by `howdah down --purge`
#[derive(clap::Args, Debug)]
pub struct Args {
    cluster: Option<String>,
    #[command(flatten)]
    file: FileArg,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let named = args.cluster.clone();
    let file = args.file.load_running().ok();
    let cluster = named.or_else(|| file.map(|file| file.spec.cluster.to_string()));
    Err(ctl::remove(cluster.as_deref()).into())
}
