//! Roles that no user list has are asked of their server (`auth_query`), in sessions of the
//! pooler's own: nothing that a client has said reaches them but its name, as a value.
//!
//! Source: PgBouncer's CVE-2025-12819 (a client's `search_path` counted in such a session) and
//! CVE-2025-2291 (a password that had expired was taken).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use howdah_wire::{ErrorResponse, message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::arrive::database;
use super::prove::of_kept;
use super::{Alone, Asks, Database, Kept as Role, Settings};
use crate::console::DATABASE as CONSOLE;
use crate::credentials::Credentials;
use crate::opener::{Failed, Login, log_in, refused, text_of};
use crate::relay::BoxStream;

/// Databases with such a session; with more of them, all are opened anew.
const SESSIONS_MAX: usize = 64;
/// Between two attempts, whatever `server_login_retry` says.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// Bytes of one message of an answer.
const MESSAGE_MAX: usize = 64 * 1024;
/// No name of the answer comes from a schema that somebody else can write to.
const SEARCH_PATH: &str = "SET search_path TO pg_catalog";

/// One session for each database, opened when it is needed.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<String, Session>>);

type Session = Arc<tokio::sync::Mutex<Place>>;

/// A database's session, between two questions.
#[derive(Default)]
struct Place {
    kept: Option<Kept>,
    /// When a server could not be reached last, and why: many clients do not try at once.
    failed: Option<(Instant, String)>,
}

/// A session, and the settings that it was opened by: of others it knows nothing.
struct Kept {
    stream: BoxStream,
    by: Weak<Settings>,
}

impl Sessions {
    /// What was opened by other settings is of no more use; questions under way end with theirs.
    pub fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn of(&self, database: &str) -> Session {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SESSIONS_MAX && !all.contains_key(database) {
            all.clear();
        }
        all.entry(database.to_owned()).or_default().clone()
    }
}

impl Alone {
    /// What is known of a role: by the list, else by its server, for which it waits as clients
    /// wait for a server. `Ok(None)`: nothing.
    ///
    /// # Errors
    /// What the client is told: the server does not answer, or refuses to.
    pub(super) async fn known(
        &self,
        now: &Settings,
        user: &str,
        wanted: &str,
    ) -> Result<Option<Arc<Role>>, ErrorResponse> {
        let wait = now.policy.pool.times.wait.min(now.client_login_timeout);
        let mut last = "not in time".to_owned();
        let asking = async {
            loop {
                // After a reload the next attempt goes by what holds then.
                let now = self.now();
                match self.ask_once(&now, user, wanted).await {
                    Ok(known) => return Ok(known),
                    Err(Failed::Refused(word) | Failed::Lacking(word)) => {
                        return Err(text_of(&word));
                    }
                    Err(failed) => last = failed.to_string(),
                }
                self.complain(wanted, user, &last);
                tokio::time::sleep(now.policy.pool.times.retry.max(PAUSE_MIN)).await;
            }
        };
        match timeout(wait, asking).await {
            Ok(Ok(known)) => Ok(known),
            Ok(Err(why)) => {
                tracing::warn!(database = wanted, why, "auth_query is refused");
                let message = "the login cannot be checked: the server refuses auth_query";
                Err(ErrorResponse::fatal("58000", message).hint("see the log of the pooler"))
            }
            Err(_) => {
                self.complain(wanted, user, &last);
                let message = "the login cannot be checked: the server cannot be reached";
                Err(ErrorResponse::fatal("57P03", message).hint("try again later"))
            }
        }
    }

    async fn ask_once(
        &self,
        now: &Arc<Settings>,
        user: &str,
        wanted: &str,
    ) -> Result<Option<Arc<Role>>, Failed> {
        if let Some(kept) = now.roles.get(user) {
            return Ok(Some(kept.clone()));
        }
        let Some(asks) = database(now, wanted).and_then(|database| database.asks.clone()) else {
            return Ok(None);
        };
        if wanted == CONSOLE && asks.database.is_none() {
            // No server has it.
            return Ok(None);
        }
        let name = asks.database.as_deref().unwrap_or(wanted);
        let late = || Failed::Away(format!("not within {:?}", now.connect_timeout));
        let session = self.sessions.of(name);
        let mut place = session.lock().await;
        // It is put back only between two questions: whoever is cut off in the middle of one
        // leaves no answer to the next.
        if let Some(mut kept) = place.kept.take()
            && kept.by.as_ptr() == Arc::as_ptr(now)
        {
            let answer = timeout(now.connect_timeout, ask(&mut kept.stream, &asks.query, user));
            match answer.await.unwrap_or_else(|_| Err(late())) {
                Ok(answer) => {
                    place.kept = Some(kept);
                    return Ok(answer.map(Arc::new));
                }
                Err(Failed::Refused(word)) => {
                    place.kept = Some(kept);
                    return Err(Failed::Refused(word));
                }
                // One that was kept may be with a server that has ended.
                Err(_) => {}
            }
        }
        let retry = now.policy.pool.times.retry.max(PAUSE_MIN);
        if let Some((_, why)) = place.failed.as_ref().filter(|(at, _)| at.elapsed() < retry) {
            return Err(Failed::Away(why.clone()));
        }
        let opening = timeout(now.connect_timeout, self.begin_asking(now, name, &asks)).await;
        let mut stream = match opening.unwrap_or_else(|_| Err(late())) {
            Ok(stream) => stream,
            Err(refused @ (Failed::Refused(_) | Failed::Lacking(_))) => return Err(refused),
            Err(failed) => {
                place.failed = Some((Instant::now(), failed.to_string()));
                return Err(failed);
            }
        };
        place.failed = None;
        let answer = ask(&mut stream, &asks.query, user);
        let answer = timeout(now.connect_timeout, answer).await.unwrap_or_else(|_| Err(late()))?;
        place.kept = Some(Kept { stream, by: Arc::downgrade(now) });
        Ok(answer.map(Arc::new))
    }

    async fn begin_asking(
        &self,
        now: &Settings,
        place: &str,
        asks: &Asks,
    ) -> Result<BoxStream, Failed> {
        let database: Arc<Database> =
            database(now, place).ok_or_else(|| lacking(format!("no such database: `{place}`")))?;
        let name = database.name.as_deref().unwrap_or(place);
        let kept = now.roles.get(&asks.user);
        let secret = kept.map_or(Credentials::Nothing, |kept| of_kept(&kept.secret));
        let login = Login { user: &asks.user, database: name, secret: &secret, proof: false };
        let mut last = String::new();
        for address in &database.addresses {
            let begun = async {
                let mut stream = super::open::dial(now, address).await?.boxed();
                log_in(&mut stream, &login).await?;
                let mut out = Vec::new();
                message(&mut out, b'Q', &[SEARCH_PATH.as_bytes(), &[0]]);
                exchange(&mut stream, &out).await?;
                Ok::<_, Failed>(stream)
            };
            match begun.await {
                Ok(stream) => return Ok(stream),
                Err(refused @ (Failed::Refused(_) | Failed::Lacking(_))) => return Err(refused),
                Err(failed) => last = format!("{address}: {failed}"),
            }
        }
        Err(Failed::Away(last))
    }
}

/// Files do not say what is needed to ask.
fn lacking(message: String) -> Failed {
    let mut word = Vec::new();
    ErrorResponse::fatal("58000", message).encode(&mut word);
    Failed::Lacking(word)
}

/// Asks for one role. `Ok(None)`: there is none of that name.
async fn ask(stream: &mut BoxStream, query: &str, user: &str) -> Result<Option<Role>, Failed> {
    let len = |text: &str| i32::try_from(text.len()).unwrap_or(i32::MAX).to_be_bytes();
    let mut out = Vec::new();
    message(&mut out, b'P', &[&[0], query.as_bytes(), &[0], &0_u16.to_be_bytes()]);
    // No portal, no statement; one value, and texts both ways.
    let one = 1_u16.to_be_bytes();
    let none = 0_u16.to_be_bytes();
    message(&mut out, b'B', &[&[0, 0], &none, &one, &len(user), user.as_bytes(), &none]);
    message(&mut out, b'E', &[&[0], &1_u32.to_be_bytes()]);
    message(&mut out, b'S', &[]);
    let Some(row) = exchange(stream, &out).await? else { return Ok(None) };
    let short = || lacking("auth_query gives no second column".to_owned());
    let text = second_field(&row).ok_or_else(short)?;
    Ok(Some(Role::of(std::str::from_utf8(text).unwrap_or_default())))
}

/// Sends, and reads until the server is ready again: the first row, if there was one.
async fn exchange(stream: &mut BoxStream, out: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
    stream.write_all(out).await?;
    stream.flush().await?;
    let (mut row, mut error) = (None, None);
    loop {
        let kind = stream.read_u8().await?;
        let len = stream.read_u32().await? as usize;
        let len = len.checked_sub(4).filter(|len| *len <= MESSAGE_MAX);
        let mut body = vec![0; len.ok_or(io::Error::from(io::ErrorKind::InvalidData))?];
        stream.read_exact(&mut body).await?;
        match kind {
            b'D' if row.is_none() => row = Some(body),
            b'E' => error = Some(refused(&body)),
            b'Z' => return error.map_or(Ok(row), Err),
            _ => {}
        }
    }
}

/// Of a DataRow of two; empty for NULL.
fn second_field(row: &[u8]) -> Option<&[u8]> {
    let (count, mut rest) = row.split_first_chunk::<2>()?;
    if u16::from_be_bytes(*count) < 2 {
        return None;
    }
    let mut field = None;
    for _ in 0..2 {
        let (len, behind) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(i32::from_be_bytes(*len)).unwrap_or(0);
        field = Some(behind.get(..len)?);
        rest = &behind[len..];
    }
    field
}
