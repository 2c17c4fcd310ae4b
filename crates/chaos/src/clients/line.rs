//! One connection, with a bound on everything that it waits for.

use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

/// A connection attempt to one host is given up after this.
const CONNECT_BOUND: Duration = Duration::from_secs(2);
/// A statement without an answer is given up after this, with its connection.
const STATEMENT_BOUND: Duration = Duration::from_secs(8);

/// An open connection. Its socket is closed on drop, whatever it waits for.
#[derive(Debug)]
pub struct Line {
    client: tokio_postgres::Client,
    task: JoinHandle<()>,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a statement brought no rows.
#[derive(Debug)]
pub enum Trouble {
    /// The server said that the statement failed; its transaction is rolled back.
    Refused(String),
    /// Nobody knows.
    Unclear(String),
}

impl Trouble {
    pub fn words(&self) -> &str {
        match self {
            Trouble::Refused(words) | Trouble::Unclear(words) => words,
        }
    }
}

impl Line {
    /// To the first host that takes it.
    pub async fn open(hosts: &[Config]) -> Result<Line, String> {
        let mut last = "no host".to_owned();
        for host in hosts {
            match tokio::time::timeout(CONNECT_BOUND, host.connect(NoTls)).await {
                Ok(Ok((client, connection))) => {
                    let task = tokio::spawn(async {
                        // How it ends, the statement that waits is told.
                        connection.await.ok();
                    });
                    return Ok(Line { client, task });
                }
                Ok(Err(error)) => last = in_words(&error),
                Err(_) => last = "no answer to a connection".to_owned(),
            }
        }
        Err(last)
    }

    /// The rows of the last statement in `sql` that has any.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>, Trouble> {
        self.rows_within(sql, STATEMENT_BOUND).await
    }

    /// As [`Line::rows`], for what takes longer.
    pub async fn rows_within(
        &self,
        sql: &str,
        bound: Duration,
    ) -> Result<Vec<Vec<String>>, Trouble> {
        let answer = tokio::time::timeout(bound, self.client.simple_query(sql)).await;
        let Ok(answer) = answer else {
            return Err(Trouble::Unclear("no answer to a statement".to_owned()));
        };
        match answer {
            Ok(messages) => Ok(messages.iter().filter_map(values).collect()),
            Err(error) => {
                // An ERROR rolled it back. A FATAL, or a lost connection, may have come after
                // the commit.
                let severity = error.as_db_error().and_then(|error| error.parsed_severity());
                let words = in_words(&error);
                let refused = severity == Some(Severity::Error);
                Err(if refused { Trouble::Refused(words) } else { Trouble::Unclear(words) })
            }
        }
    }
}

fn values(message: &SimpleQueryMessage) -> Option<Vec<String>> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    Some((0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect())
}

/// tokio-postgres prints only the kind; the message is in the source.
fn in_words(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => format!("{} {}: {}", db.severity(), db.code().code(), db.message()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

/// For one thread; it inherits the network of the thread that makes it.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().context("make a runtime of one thread")
}
