//! Roles that no user list has are asked of their server (`auth_query`), in sessions of the
//! pooler's own: nothing that a client has said reaches them but its name, as a value.
//!
//! Source: PgBouncer's CVE-2025-12819 (a client's `search_path` counted in such a session) and
//! CVE-2025-2291 (a password that had expired was taken).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use howdah_wire::{Message, message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::arrive::database;
use super::prove::of_kept;
use super::{Alone, Asks, Database, Kept, Settings};
use crate::credentials::Credentials;
use crate::opener::{Failed, Login, log_in};
use crate::relay::BoxStream;

/// Databases with such a session; with more of them, all are opened anew.
const SESSIONS_MAX: usize = 64;
/// Bytes of one message of an answer.
const MESSAGE_MAX: usize = 64 * 1024;
/// No name of the answer comes from a schema that somebody else can write to.
const SEARCH_PATH: &str = "SET search_path TO pg_catalog";

/// One session for each database, opened when it is needed.
#[derive(Default)]
pub(super) struct Sessions(Mutex<BTreeMap<String, Session>>);

type Session = Arc<tokio::sync::Mutex<Option<BoxStream>>>;

impl Sessions {
    fn of(&self, database: &str) -> Session {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= SESSIONS_MAX && !all.contains_key(database) {
            all.clear();
        }
        all.entry(database.to_owned()).or_default().clone()
    }
}

impl Alone {
    /// What is known of a role: by the list, else by its server. `None`: nothing.
    pub(super) async fn known(
        &self,
        now: &Settings,
        user: &str,
        wanted: &str,
    ) -> Option<Arc<Kept>> {
        if let Some(kept) = now.roles.get(user) {
            return Some(kept.clone());
        }
        let asks = database(now, wanted)?.asks.clone()?;
        let place = asks.database.as_deref().unwrap_or(wanted);
        let session = self.sessions.of(place);
        let asking = async {
            let mut session = session.lock().await;
            // It is put back only between two questions: whoever is cut off in the middle of one
            // leaves no answer to the next.
            if let Some(mut kept) = session.take()
                && let Ok(answer) = ask(&mut kept, &asks.query, user).await
            {
                *session = Some(kept);
                return Ok(answer);
            }
            // One that was kept may be with a server that has ended.
            let mut stream = self.begin_asking(now, place, &asks).await?;
            let answer = ask(&mut stream, &asks.query, user).await;
            let answer = answer.map_err(|error| error.to_string())?;
            *session = Some(stream);
            Ok::<_, String>(answer)
        };
        match timeout(now.connect_timeout, asking).await {
            Ok(Ok(kept)) => kept.map(Arc::new),
            Ok(Err(error)) => {
                tracing::warn!(database = place, error, "auth_query has no answer");
                None
            }
            Err(_) => {
                tracing::warn!(database = place, "auth_query has no answer in time");
                None
            }
        }
    }

    async fn begin_asking(
        &self,
        now: &Settings,
        place: &str,
        asks: &Asks,
    ) -> Result<BoxStream, String> {
        let database: Arc<Database> =
            database(now, place).ok_or_else(|| format!("no such database: `{place}`"))?;
        let name = database.name.as_deref().unwrap_or(place);
        let kept = now.roles.get(&asks.user);
        let secret = kept.map_or(Credentials::Nothing, |kept| of_kept(&kept.secret));
        let login = Login { user: &asks.user, database: name, secret: &secret, proof: false };
        let mut last = String::new();
        for address in &database.addresses {
            let begun = async {
                let mut stream = super::open::dial(now, address).await?.boxed();
                log_in(&mut stream, &login).await?;
                Ok::<_, Failed>(stream)
            };
            match begun.await {
                Ok(mut stream) => {
                    let mut out = Vec::new();
                    message(&mut out, b'Q', &[SEARCH_PATH.as_bytes(), &[0]]);
                    let set = exchange(&mut stream, &out).await;
                    return set.map(|_| stream).map_err(|error| error.to_string());
                }
                Err(failed) => last = format!("{address}: {failed}"),
            }
        }
        Err(last)
    }
}

/// Asks for one role. `Ok(None)`: there is none of that name.
async fn ask(stream: &mut BoxStream, query: &str, user: &str) -> io::Result<Option<Kept>> {
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
    let text = second_field(&row).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some(Kept::of(std::str::from_utf8(text).unwrap_or_default())))
}

/// Sends, and reads until the server is ready again: the first row, if there was one.
async fn exchange(stream: &mut BoxStream, out: &[u8]) -> io::Result<Option<Vec<u8>>> {
    stream.write_all(out).await?;
    stream.flush().await?;
    let (mut row, mut error) = (None, None);
    loop {
        let kind = stream.read_u8().await?;
        let len = stream.read_u32().await? as usize;
        let len = len.checked_sub(4).filter(|len| *len <= MESSAGE_MAX);
        let mut body = vec![0; len.ok_or(io::ErrorKind::InvalidData)?];
        stream.read_exact(&mut body).await?;
        match kind {
            b'D' if row.is_none() => row = Some(body),
            b'E' => error = Some(said(&body)),
            b'Z' => return error.map_or(Ok(row), |error| Err(io::Error::other(error))),
            _ => {}
        }
    }
}

fn said(body: &[u8]) -> String {
    let state = Message { kind: b'E', body }.sqlstate().unwrap_or_default();
    format!("the server says {}", String::from_utf8_lossy(state))
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
