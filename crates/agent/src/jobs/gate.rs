//! The voters' setting with its proof, and the gate before clients (PROTOCOL sections 3 and 8).

use std::collections::BTreeSet;
use std::time::Duration;

use howdah_base::record::{Change, ChangeKind, key};
use howdah_base::{DirectoryId, Lsn};
use howdah_ha::SyncSetting;
use howdah_postgres::session::Session;
use tokio::time::{Instant, sleep};

use super::Order;
use crate::conf::{ConfState, NOBODY};
use crate::event::Outcome;

/// How long the voters get to confirm the probe before the gate is tried anew.
const CONFIRM_WITHIN: Duration = Duration::from_secs(5);
const ASK_EVERY: Duration = Duration::from_millis(10);
/// Clients that have waited for a switchover are not to wait for the disk next. Nobody rewinds then:
/// the former primary has the same history.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(3);

/// Puts `ANY needed (names)` in force and proves it.
pub(crate) async fn set_sync(
    order: Order,
    names: BTreeSet<DirectoryId>,
    needed: u32,
) -> Result<Outcome, String> {
    let session = order.session().await?;
    let from_empty = order.conf.names.is_empty() && !names.is_empty();
    if from_empty {
        // The flag that makes backends wait is set by the checkpointer: a name that nobody has
        // shows that it is set, before the real names let commits through.
        let nobody: DirectoryId = NOBODY.parse().map_err(|e| format!("{e}"))?;
        put(&order, &session, BTreeSet::from([nobody]), 1).await?;
        session.prove_waiting().await.map_err(|e| e.to_string())?;
    }
    let conf = put(&order, &session, names.clone(), needed).await?;
    let counting: Vec<String> = names.iter().map(|id| id.as_str().to_owned()).collect();
    session.prove_only(&counting).await.map_err(|e| e.to_string())?;
    let known = order.sync.as_ref().is_some_and(|proved| proved.needed >= needed);
    if needed > 1 && !known {
        // A WAL sender that has not read the new number yet releases commits by the old one, and
        // nothing shows that it has: senders that began later have.
        session.renew_senders(&counting).await.map_err(|e| e.to_string())?;
    }
    let since = session.insert_lsn().await.map_err(|e| e.to_string())?;
    let sync = SyncSetting { names, needed, since };
    Ok(Outcome { conf: Some(conf), sync: Some(sync), ..Outcome::default() })
}

async fn put(
    order: &Order,
    session: &Session,
    names: BTreeSet<DirectoryId>,
    needed: u32,
) -> Result<ConfState, String> {
    let conf = ConfState { standby: false, names, needed, ..order.conf.clone() };
    let conf = order.configure(conf).await?;
    session.reload().await.map_err(|e| e.to_string())?;
    session.shows("synchronous_standby_names", &conf.setting()).await.map_err(|e| e.to_string())?;
    Ok(conf)
}

/// A probe commit, `needed` distinct voters past it, then users' rules in force.
pub(crate) async fn open(
    order: Order,
    voters: BTreeSet<DirectoryId>,
    needed: u32,
) -> Result<Outcome, String> {
    let session = order.session().await?;
    session.ensure_replicator().await.map_err(|e| e.to_string())?;
    let probe = session.probe_commit().await.map_err(|e| e.to_string())?;
    let names: Vec<String> = voters.iter().map(|id| id.as_str().to_owned()).collect();
    confirmed(&session, probe, &names, needed).await?;
    let conf = ConfState { standby: false, gate_open: true, ..order.conf.clone() };
    let conf = order.configure(conf).await?;
    session.reload().await.map_err(|e| e.to_string())?;
    let at_ease = was_planned(&order);
    tokio::spawn(async move {
        if at_ease {
            sleep(CHECKPOINT_AFTER).await;
        }
        // The end-of-recovery checkpoint, so that the control file shows the new timeline and
        // others may rewind against this server.
        if let Err(error) = session.checkpoint().await {
            tracing::warn!("the checkpoint after the gate failed: {error}");
        }
    });
    Ok(Outcome { conf: Some(conf), ..Outcome::default() })
}

/// The term began with a switchover.
fn was_planned(order: &Order) -> bool {
    let history = order.snapshot.get::<Vec<Change>>(key::HISTORY).ok().flatten();
    let last = history.and_then(|(mut history, _)| history.pop());
    last.is_some_and(|last| {
        last.kind == ChangeKind::Switchover && Some(last.term) == order.conf.leads
    })
}

async fn confirmed(
    session: &Session,
    probe: Lsn,
    voters: &[String],
    needed: u32,
) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let have = session.confirmed(probe, voters).await.map_err(|e| e.to_string())?;
        if have >= needed as usize {
            return Ok(());
        }
        if begun.elapsed() > CONFIRM_WITHIN {
            return Err(format!(
                "{have} of {needed} voters confirmed the probe commit within {CONFIRM_WITHIN:?}: \
                 `{}`",
                voters.join(", ")
            ));
        }
        sleep(ASK_EVERY).await;
    }
}
