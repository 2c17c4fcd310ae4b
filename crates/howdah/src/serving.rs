//! The threads of a process that serves clients: a node, the pooler in the place of PgBouncer, a proxy
//! on a host without a node.

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};

/// Who lets clients in, relays those without a pool, reaches servers and answers HTTP.
const THREADS: usize = 2;

/// Starts them; pools have threads of their own.
pub fn start() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("serving")
        .enable_all()
        .build()
        .context("start the serving threads")
}
