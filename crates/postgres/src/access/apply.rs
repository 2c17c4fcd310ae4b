//! Running a plan, one statement after the other.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, Config};

use super::change::Change;
use super::error::AccessError;
use super::session::{Session, cause};

/// Runs `changes` in their order on the primary, as the superuser that `config` names, and
/// stops at the first that fails. Each stands for itself (CREATE DATABASE allows no
/// transaction); after a failure the next plan holds what is left.
pub async fn apply(config: &Config, changes: &[Change]) -> Result<(), AccessError> {
    let mut sessions: BTreeMap<&str, Session> = BTreeMap::new();
    for change in changes {
        let database = change.database.as_deref().unwrap_or(ANY_DATABASE);
        let session = match sessions.entry(database) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(none) => none.insert(Session::open(config, database).await?),
        };
        run(&session.client, database, change).await?;
        tracing::info!(change = %change, "access changed");
    }
    Ok(())
}

async fn run(client: &Client, database: &str, change: &Change) -> Result<(), AccessError> {
    let statements = async {
        if change.is_secret() {
            client.batch_execute(QUIET).await?;
        }
        client.batch_execute(change.sql.expose()).await?;
        if change.is_secret() {
            client.batch_execute(LOUD).await?;
        }
        Ok::<(), tokio_postgres::Error>(())
    };
    match timeout(CHANGE_MAX, statements).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.as_db_error().is_some() => {
            Err(AccessError::Refused { shown: change.to_string(), why: cause(&error) })
        }
        Ok(Err(error)) => Err(unreachable(database, cause(&error))),
        // The commit waits for standbys without regard to statement_timeout.
        Err(_) => Err(unreachable(database, "no answer in time".to_owned())),
    }
}

fn unreachable(database: &str, why: String) -> AccessError {
    AccessError::Unreachable { database: database.to_owned(), why }
}

/// Roles and databases are seen from every database; this one is always there.
pub(super) const ANY_DATABASE: &str = "postgres";
const CHANGE_MAX: Duration = Duration::from_secs(360);
/// A verifier is no password, but it lets one be guessed at: it stays out of the server's log
/// and out of its statistics too.
const QUIET: &str = "SET log_statement = 'none'; SET log_min_duration_statement = -1; \
                     SET log_min_error_statement = 'panic'; \
                     SET pg_stat_statements.track_utility = off";
const LOUD: &str = "RESET log_statement; RESET log_min_duration_statement; \
                    RESET log_min_error_statement; RESET pg_stat_statements.track_utility";
