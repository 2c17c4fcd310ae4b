//! `howdah pgbouncer`: a pooler without a cluster, run from PgBouncer's own files.

use std::path::PathBuf;

use crate::bouncer::{self, Source};
use crate::failure::Failure;

/// Run the pooler alone, from a PgBouncer ini
///
/// Reads pgbouncer.ini and the user list that it names, and pools in the foreground; the log goes
/// to standard error. Without a file it reads the variables of PgBouncer's container images
/// (DB_HOST, DATABASE_URL, POOL_MODE, PGBOUNCER_...). SIGHUP reads the files anew; SIGTERM waits
/// until all clients have gone, SIGINT until no transaction runs, SIGQUIT for nothing.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The ini [default: the environment]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Read the environment, not a file
    #[arg(long, conflicts_with = "file")]
    env: bool,
    /// Say what each key comes to, and run nothing
    #[arg(long)]
    check: bool,
    /// Threads that serve clients; their limits are one
    #[arg(long, value_name = "COUNT", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..=64))]
    threads: u32,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let source = match &args.file {
        Some(file) => Source::File(file.clone()),
        None => Source::environment().ok_or_else(no_source)?,
    };
    bouncer::run(&source, args.check, args.threads)
}

fn no_source() -> Failure {
    Failure::bad_input("no file is named, and no variable says where the database is")
        .hint("howdah pgbouncer /etc/pgbouncer/pgbouncer.ini, or set DB_HOST or DATABASE_URL")
}
