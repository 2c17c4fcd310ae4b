//! A connection to one database, ended with the value that holds it.

use std::error::Error;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use super::error::AccessError;

/// A superuser's connection over the server's Unix socket.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    driver: JoinHandle<()>,
}

impl Session {
    /// Connects as `config` says, but to `database`.
    pub(super) async fn open(config: &Config, database: &str) -> Result<Session, AccessError> {
        let unreachable =
            |why: String| AccessError::Unreachable { database: database.to_owned(), why };
        let mut config = config.clone();
        config.dbname(database).application_name("howdah access");
        let connected = timeout(CONNECT_MAX, config.connect(NoTls)).await;
        let connected = connected.map_err(|_| unreachable("no answer in time".to_owned()))?;
        let (client, connection) = connected.map_err(|e| unreachable(cause(&e)))?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer learns that the connection has ended.
            let _ = connection.await;
        });
        let session = Session { client, driver };
        session.client.batch_execute(LIMITS).await.map_err(|e| unreachable(cause(&e)))?;
        Ok(session)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What the server said; of other errors the innermost reason.
pub(super) fn cause(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let hint = said.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
        return format!("{}{hint}", said.message());
    }
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

const CONNECT_MAX: Duration = Duration::from_secs(5);
/// A change of access waits for nobody's long transaction.
const LIMITS: &str = "SET lock_timeout = '10s'; SET statement_timeout = '5min'";
