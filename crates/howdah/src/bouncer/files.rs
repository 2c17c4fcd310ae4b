//! Open files: each client and each server is one, and a process may have only so many.

use howdah_import::pgbouncer::Settings;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Sockets that are listened on, the log, logins under way, cancel requests.
const OTHERS: u64 = 600;

/// As many as the system lets this user have.
pub fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
}

/// What to do when that is too little for what is configured.
pub fn too_few(settings: &Settings) -> Option<String> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let pool = &settings.pool;
    let servers = settings.databases.values().chain(&settings.fallback).map(|database| {
        let size = database.own.size.unwrap_or(pool.size);
        // One role for each at least; how many there are nobody knows yet.
        u64::from(size) + u64::from(database.own.reserve.unwrap_or(pool.reserve))
    });
    let needed = u64::from(pool.clients_max) + servers.sum::<u64>() + OTHERS;
    (needed > hard).then(|| {
        format!(
            "`max_client_conn` and the pools need at least {needed} open files, and this process \
             may have {hard}: raise `LimitNOFILE` of the service, or `ulimit -Hn`"
        )
    })
}
