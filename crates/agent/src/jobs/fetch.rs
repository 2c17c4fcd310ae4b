//! The tail of a hand-over: WAL that lies on the old leader's disk alone comes into this standby
//! (PROTOCOL section 6.3).
//!
//! All files are here before the first is replayed, so a fetch that fails has changed nothing.
//! Whatever comes of it, the server takes nothing from there any more when the job has ended: a
//! promise to receive nothing must hold.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::{Lsn, NodeName, Position, Term, WalFile};
use howdah_postgres::room;
use howdah_postgres::wal::tail;
use tokio::time::{Instant, sleep, timeout};

use super::{Order, blocking};
use crate::conf::ConfState;
use crate::event::Outcome;
use crate::{WalFrom, WalPart};

const ASK_EVERY: Duration = Duration::from_millis(5);
/// The startup process sleeps `wal_retrieve_retry_interval`, five seconds, after it has found
/// nothing; a reload wakes it. So long nothing may be replayed before it is woken once more.
const WAKE_AFTER: Duration = Duration::from_millis(200);

/// Fetches what this standby lacks up to `end`, and replays it.
pub(crate) async fn fetch(
    order: Order,
    from: NodeName,
    term: Term,
    end: Position,
    within: Duration,
) -> Result<Outcome, String> {
    let begun = Instant::now();
    let detached = ConfState { standby: true, upstream: None, ..order.conf.clone() };
    let caught_up = timeout(within, catch_up(&order, &from, term, end, &detached)).await;
    let caught_up = caught_up.unwrap_or_else(|_| {
        Err(format!("it is not there after {within:?}, with what `{from}` has"))
    });
    // A standby that has failed follows as before; one that has not is promoted next.
    let after = if caught_up.is_ok() { detached } else { order.conf.clone() };
    let conf = order.configure(ConfState { restores: false, ..after }).await?;
    order.session().await?.reload().await.map_err(|e| e.to_string())?;
    let bytes = caught_up?;
    let said = format!(
        "fetched {bytes} bytes of WAL from `{from}` and replayed up to {end} in {} ms",
        begun.elapsed().as_millis()
    );
    Ok(Outcome { conf: Some(conf), said: Some(said), ..Outcome::default() })
}

/// Answers with the bytes that were fetched.
async fn catch_up(
    order: &Order,
    from: &NodeName,
    term: Term,
    end: Position,
    detached: &ConfState,
) -> Result<u64, String> {
    let session = order.session().await?;
    // What was received is in pg_wal, whether it is replayed or not, and PostgreSQL finds there
    // what is not in the folder.
    let have = session.probe().await.map_err(|e| e.to_string())?.position();
    let segment = begin(order).await?;
    let files = WalFile::between(end.timeline, have.lsn, end.lsn, segment);
    let bytes = files.len() as u64 * segment;
    let shared = Arc::clone(&order.shared);
    blocking(move || room::fits_wal(&shared.config.own().data_dir, bytes)).await?;
    for file in &files {
        get(order, from, term, file, segment).await?;
    }
    order.configure(ConfState { restores: true, ..detached.clone() }).await?;
    session.reload().await.map_err(|e| e.to_string())?;
    let (mut seen, mut moved) = (Lsn(0), Instant::now());
    loop {
        let replayed = session.replayed().await.map_err(|e| e.to_string())?;
        if replayed == end.lsn {
            return Ok(bytes);
        }
        if replayed > end.lsn {
            return Err(format!("it has replayed up to {replayed}, beyond {end}"));
        }
        if replayed > seen {
            (seen, moved) = (replayed, Instant::now());
        } else if moved.elapsed() > WAKE_AFTER {
            session.reload().await.map_err(|e| e.to_string())?;
            moved = Instant::now();
        }
        sleep(ASK_EVERY).await;
    }
}

/// An empty folder for the files; how long each is, bytes.
async fn begin(order: &Order) -> Result<u64, String> {
    let shared = Arc::clone(&order.shared);
    blocking(move || {
        let data_dir = &shared.config.own().data_dir;
        tail::begin(data_dir).map_err(|e| e.to_string())?;
        let control = howdah_postgres::control::read(shared.config.install()?, data_dir);
        Ok(control.map_err(|e| e.to_string())?.segment)
    })
    .await
}

/// One file, under its name only once it is whole.
async fn get(
    order: &Order,
    from: &NodeName,
    term: Term,
    file: &WalFile,
    len: u64,
) -> Result<(), String> {
    let config = &order.shared.config;
    let member = order.store.members.get(from).ok_or("the leader's record is gone")?;
    let (part, whole) = tail::places(&config.own().data_dir, file);
    let (from, host) = (from.clone(), member.host.clone());
    let source = WalFrom { from, host, peer_port: member.peer_port, term };
    let wanted = WalPart { file: file.clone(), len, into: part.clone() };
    config.wal.fetch(source, wanted).await?;
    rename(part, whole).await
}

async fn rename(part: PathBuf, whole: PathBuf) -> Result<(), String> {
    let renamed = tokio::fs::rename(&part, &whole).await;
    renamed.map_err(|error| format!("cannot rename, {error}: `{}`", part.display()))
}
