//! A replication connection that runs commands, until it is turned into a stream.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use howdah_base::{Lsn, Position, Timeline};
use howdah_wire::Authentication;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::link::Link;
use super::message::{self, Row};
use super::stream::{self, Stream};
use crate::PgError;

const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// Commands that wait for nothing; between two messages of an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// No answer that is asked for here has more.
const ROWS_MAX: usize = 16;
/// First major with READ_REPLICATION_SLOT.
const READS_SLOTS: u32 = 15;
/// SQLSTATEs `duplicate_object` and `undefined_object`.
const EXISTS: &str = "42710";
const ABSENT: &str = "42704";

/// As whom it comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Login<'a> {
    pub user: &'a str,
    /// As `pg_stat_replication` shows it.
    pub application: &'a str,
}

/// A connection in command mode. Dropping it closes it.
pub struct Client {
    link: Link,
    major: u32,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("major", &self.major).finish_non_exhaustive()
    }
}

/// What IDENTIFY_SYSTEM tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    pub system_identifier: u64,
    /// Flushed on a primary, replayed on a standby.
    pub end: Position,
}

/// A physical slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotAt {
    /// WAL from here on is kept; `None`: it holds nothing, never having been used without
    /// RESERVE_WAL or having been given up by the server (`max_slot_wal_keep_size`).
    pub restart: Option<Lsn>,
    /// The timeline of that place; not told before PostgreSQL 15.
    pub timeline: Option<Timeline>,
}

/// Where a stream begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start<'a> {
    pub slot: Option<&'a str>,
    pub from: Position,
}

impl Client {
    /// The superuser's way in over the Unix socket in `socket_dir`.
    pub async fn connect(
        socket_dir: &Path,
        port: u16,
        application: &str,
    ) -> Result<Client, PgError> {
        let path = socket_dir.join(format!(".s.PGSQL.{port}"));
        let socket = match timeout(CONNECT_WITHIN, UnixStream::connect(&path)).await {
            Ok(socket) => socket.map_err(|error| PgError::Lost(error.to_string()))?,
            Err(_) => return Err(PgError::Silent(CONNECT_WITHIN)),
        };
        Client::over(socket, Login { user: "postgres", application }).await
    }

    /// Over a connection that is there, TLS say; the server must let this user in without a
    /// password.
    pub async fn over(
        socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        login: Login<'_>,
    ) -> Result<Client, PgError> {
        let mut client = Client { link: Link::new(Box::new(socket)), major: 0 };
        let startup = message::startup(&[
            ("user", login.user),
            // Not `true`: rules for `all` do not match a connection without a database, and it
            // could not be asked for settings and, on 14, for slots. Physical replication is the
            // same in both.
            ("replication", "database"),
            ("database", "postgres"),
            ("application_name", login.application),
            // Between two commands nothing may end it.
            ("options", "-c idle_session_timeout=0 -c statement_timeout=0"),
        ]);
        client.link.mouth.say(&startup).await?;
        match timeout(CONNECT_WITHIN, client.log_in()).await {
            Ok(in_) => in_.map(|()| client),
            Err(_) => Err(PgError::Silent(CONNECT_WITHIN)),
        }
    }

    async fn log_in(&mut self) -> Result<(), PgError> {
        loop {
            let (kind, body) = self.link.ear.message(CONNECT_WITHIN).await?;
            match kind {
                b'R' if Authentication::read(&body) == Some(Authentication::Ok) => {}
                b'R' => return Err(PgError::Unexpected("the server asks for a password".into())),
                b'S' => self.learn(&body)?,
                b'E' => return Err(message::refusal(&body)),
                b'Z' => return Ok(()),
                b'K' | b'N' | b'v' => {}
                _ => return Err(message::unexpected("a message in the login")),
            }
        }
    }

    fn learn(&mut self, body: &[u8]) -> Result<(), PgError> {
        if let Some(("server_version", version)) = message::parameter(body) {
            // `18.4`, `19beta1`.
            let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
            let major = version[..digits].parse();
            self.major = major.map_err(|_| message::unexpected("its version"))?;
        }
        Ok(())
    }

    /// Of the server's version.
    pub fn major(&self) -> u32 {
        self.major
    }

    pub async fn identify(&mut self) -> Result<Identity, PgError> {
        let rows = self.run("IDENTIFY_SYSTEM").await?;
        let row = only(&rows)?;
        let end = Position {
            timeline: Timeline(message::number(row, 1)?),
            lsn: message::number(row, 2)?,
        };
        Ok(Identity { system_identifier: message::number(row, 0)?, end })
    }

    /// Bytes of a WAL segment.
    pub async fn segment_size(&mut self) -> Result<u64, PgError> {
        self.setting("wal_segment_size").await
    }

    /// After how long without a word the server gives a stream up; zero: never.
    pub async fn sender_timeout(&mut self) -> Result<Duration, PgError> {
        self.setting("wal_sender_timeout").await.map(Duration::from_millis)
    }

    /// A number, in the unit in which the server counts it.
    async fn setting(&mut self, name: &str) -> Result<u64, PgError> {
        let sql = format!("SELECT setting FROM pg_catalog.pg_settings WHERE name = '{name}'");
        message::number(only(&self.run(&sql).await?)?, 0)
    }

    /// A physical slot that holds WAL from the last checkpoint's redo on; one that is there is left
    /// as it is.
    pub async fn create_slot(&mut self, slot: &str) -> Result<(), PgError> {
        let name = slot_name(slot)?;
        // The older of two spellings, which all majors take.
        match self.run(&format!("CREATE_REPLICATION_SLOT {name} PHYSICAL RESERVE_WAL")).await {
            Err(error) if error.is_refused(EXISTS) => Ok(()),
            created => created.map(drop),
        }
    }

    /// Drops a slot that nobody uses; one that is not there is dropped.
    pub async fn drop_slot(&mut self, slot: &str) -> Result<(), PgError> {
        match self.run(&format!("DROP_REPLICATION_SLOT {}", slot_name(slot)?)).await {
            Err(error) if error.is_refused(ABSENT) => Ok(()),
            dropped => dropped.map(drop),
        }
    }

    /// What a physical slot holds; `None`: there is none of that name.
    pub async fn slot(&mut self, slot: &str) -> Result<Option<SlotAt>, PgError> {
        let name = slot_name(slot)?;
        let asked = if self.major >= READS_SLOTS {
            format!("READ_REPLICATION_SLOT {name}")
        } else {
            format!(
                "SELECT slot_type, restart_lsn, NULL FROM pg_catalog.pg_replication_slots \
                 WHERE slot_name = '{slot}'"
            )
        };
        let rows = self.run(&asked).await?;
        // The command answers with a row of NULLs for a slot that is not there.
        let Some(row) = rows.first().filter(|row| matches!(row.first(), Some(Some(_)))) else {
            return Ok(None);
        };
        let is_there = |column: usize| matches!(row.get(column), Some(Some(_)));
        let restart = is_there(1).then(|| message::number(row, 1)).transpose()?;
        let timeline = is_there(2).then(|| message::number(row, 2)).transpose()?.map(Timeline);
        Ok(Some(SlotAt { restart, timeline }))
    }

    /// The history file of a timeline, as the server has it; the first one has none.
    pub async fn history(&mut self, timeline: Timeline) -> Result<Vec<u8>, PgError> {
        let mut rows = self.run(&format!("TIMELINE_HISTORY {timeline}")).await?;
        let content = rows.first_mut().and_then(|row| row.get_mut(1)).and_then(Option::take);
        content.ok_or_else(|| message::unexpected("no history"))
    }

    /// Begins a stream. That the server no longer has the segment ([`super::SEGMENT_REMOVED`]) or
    /// has not come so far yet, it says as the stream's first event.
    pub async fn start(mut self, start: Start<'_>) -> Result<Stream, PgError> {
        let timeout = self.sender_timeout().await?;
        let slot = start.slot.map(slot_name).transpose()?;
        let slot = slot.map(|name| format!("SLOT {name} ")).unwrap_or_default();
        let Position { timeline, lsn } = start.from;
        let text = format!("START_REPLICATION {slot}PHYSICAL {lsn} TIMELINE {timeline}");
        self.link.mouth.say(&message::query(&text)).await?;
        loop {
            let (kind, body) = self.link.ear.message(ANSWER_WITHIN).await?;
            match kind {
                b'W' => return Ok(stream::begin(self, timeout)),
                // Nothing is left of this timeline: the server does not even enter COPY.
                b'T' => {
                    let ends = message::next_timeline(&self.rows().await?)?;
                    return Ok(stream::ended(self, ends));
                }
                b'E' => return Err(message::refusal(&body)),
                b'S' | b'N' => {}
                _ => return Err(message::unexpected("an answer to START_REPLICATION")),
            }
        }
    }

    async fn run(&mut self, text: &str) -> Result<Vec<Row>, PgError> {
        self.link.mouth.say(&message::query(text)).await?;
        self.rows().await
    }

    /// Everything up to ReadyForQuery.
    pub(super) async fn rows(&mut self) -> Result<Vec<Row>, PgError> {
        let (mut rows, mut refused) = (Vec::new(), None);
        loop {
            let (kind, body) = match self.link.ear.message(ANSWER_WITHIN).await {
                Ok(message) => message,
                // Its last word says more than that it hung up.
                Err(error) => return Err(refused.unwrap_or(error)),
            };
            match kind {
                b'D' if rows.len() < ROWS_MAX => rows.push(message::row(&body)?),
                b'E' => refused = Some(message::refusal(&body)),
                b'Z' => return refused.map_or(Ok(rows), Err),
                b'T' | b'C' | b'S' | b'N' | b'I' => {}
                _ => return Err(message::unexpected("an answer")),
            }
        }
    }

    pub(super) fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}

fn only(rows: &[Row]) -> Result<&Row, PgError> {
    rows.first().ok_or_else(|| message::unexpected("no row"))
}

/// `ReplicationSlotValidateName`: with it, nothing needs to be escaped.
fn slot_name(name: &str) -> Result<&str, PgError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.is_empty() && name.len() < 64 && name.chars().all(allowed) {
        return Ok(name);
    }
    Err(PgError::Unexpected(format!("not the name of a replication slot: `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_need_no_quotes_are_slots() {
        assert!(slot_name("howdah_archive_1").is_ok());
        let long = "s".repeat(64);
        for bad in ["", "A", "s t", "s;", "s'", long.as_str()] {
            assert!(slot_name(bad).is_err(), "{bad}");
        }
    }
}
