//! The task that learns of changes: one watch on the prefix, on the member that answered last.
//!
//! It needs no history. Each watch begins with now, and etcd tells at which revision that was:
//! whoever has seen less reads. So neither a compaction nor a lost member hides a change; they
//! only cost a read.

use std::sync::Arc;
use std::time::Duration;

use etcd_client::{ResponseHeader, WatchResponse, WatchStream};
use tokio::sync::watch::Sender;
use tokio::time::{sleep, timeout};

use super::fault::{self, Fault};
use super::keys::Keys;
use super::members::Members;
use crate::StoreError;

/// The newest that this process knows of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    revision: u64,
    /// Why there is no watch at present.
    trouble: Option<StoreError>,
}

/// Returns when something above `since` is known of; an error after each watch that failed.
pub(super) async fn wait(seen: &Sender<Seen>, since: u64) -> Result<(), StoreError> {
    let mut seen = seen.subscribe();
    while seen.borrow_and_update().revision <= since {
        // The sender lives as long as the store.
        let _ = seen.changed().await;
        if let Some(trouble) = &seen.borrow().trouble {
            return Err(trouble.clone());
        }
    }
    Ok(())
}

/// Waits until the first watch has begun, or failed.
pub(super) async fn begun(seen: &Sender<Seen>) {
    let mut seen = seen.subscribe();
    let _ = seen.wait_for(|seen| seen.revision > 0 || seen.trouble.is_some()).await;
}

/// Watches for ever.
pub(super) async fn follow(members: Arc<Members>, keys: Keys, seen: Sender<Seen>) {
    let mut preferred = members.preferred();
    loop {
        let number = *preferred.borrow_and_update();
        let watched = tokio::select! {
            fault = watch(&members, number, &keys, &seen) => Some(fault),
            // Another one answers; this one may be dead and not say so.
            _ = preferred.changed() => None,
        };
        let Some(fault) = watched else { continue };
        members.leave(number);
        let trouble = members.error(&[(number, fault)].into());
        tracing::debug!("the watch has ended: {trouble}");
        seen.send_modify(|seen| seen.trouble = Some(trouble));
        sleep(AGAIN_AFTER).await;
    }
}

/// Watches at one member until that fails.
async fn watch(members: &Members, number: usize, keys: &Keys, seen: &Sender<Seen>) -> Fault {
    let begin = async {
        let link = members.member(number).link().await?;
        link.watch(keys.prefix()).await
    };
    let mut stream = match timeout(BEGIN_MAX, begin).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(fault)) => return fault,
        Err(_) => return Fault::away("no watch began in time"),
    };
    loop {
        match next(&mut stream).await {
            Ok(answer) => publish(&answer, seen),
            Err(fault) => return fault,
        }
    }
}

/// The next message. A silent stream is asked whether it is still there.
async fn next(stream: &mut WatchStream) -> Result<WatchResponse, Fault> {
    let asked = match timeout(SILENCE_MAX, stream.message()).await {
        Ok(answer) => answer,
        Err(_) => {
            stream.request_progress().await.map_err(|error| fault::judge(&error))?;
            let answer = timeout(BEGIN_MAX, stream.message()).await;
            answer.map_err(|_| Fault::away("the watch has gone silent"))?
        }
    };
    match asked {
        Ok(Some(answer)) if answer.canceled() => Err(Fault::Away {
            why: format!("the watch was cancelled: {}", answer.cancel_reason()),
            spoken: true,
        }),
        Ok(Some(answer)) => Ok(answer),
        Ok(None) => Err(Fault::away("the watch has ended")),
        Err(error) => Err(fault::judge(&error)),
    }
}

/// A new watch tells since when it watches, later messages what they carry. The revision in the
/// header of those is the whole etcd's, and nothing of ours may have happened.
fn publish(answer: &WatchResponse, seen: &Sender<Seen>) {
    let now = answer.header().map_or(0, ResponseHeader::revision);
    let events = answer.events().iter().filter_map(|event| event.kv());
    let newest = events.map(etcd_client::KeyValue::mod_revision).max();
    let revision = if answer.created() { now } else { newest.unwrap_or(0) }.cast_unsigned();
    seen.send_if_modified(|seen| {
        let risen = revision > seen.revision;
        seen.revision = seen.revision.max(revision);
        seen.trouble = None;
        risen
    });
}

/// Before a watch that failed is made anew.
const AGAIN_AFTER: Duration = Duration::from_millis(250);
/// How long a new watch, or the answer of a silent one, is waited for.
const BEGIN_MAX: Duration = Duration::from_secs(1);
/// A watch that says nothing for so long is asked for a sign of life.
const SILENCE_MAX: Duration = Duration::from_secs(5);
