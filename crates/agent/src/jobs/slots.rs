//! Replication slots: one a directory and term, no others of ours.

use std::collections::BTreeSet;

use howdah_base::{DirectoryId, Term};
use howdah_postgres::session::Session;

use super::Order;
use crate::event::Outcome;

/// Makes the slots of `directories` for `term` and drops every other slot of ours.
pub(crate) async fn make(
    order: Order,
    term: Term,
    directories: BTreeSet<DirectoryId>,
) -> Result<Outcome, String> {
    let session = order.session().await?;
    let others = add(&session, term, &directories).await?;
    for slot in &others {
        // A slot in use belongs to a receiver of an older term: it is ended first.
        session.drop_slot(slot).await.map_err(|e| e.to_string())?;
    }
    Ok(Outcome::default())
}

/// Makes the slots of `directories` for `term`; answers which others of ours there were.
pub(super) async fn add(
    session: &Session,
    term: Term,
    directories: &BTreeSet<DirectoryId>,
) -> Result<BTreeSet<String>, String> {
    let there = session.slots().await.map_err(|e| e.to_string())?.into_iter();
    let there = there.map(|slot| slot.name).filter(|name| name.starts_with("howdah_"));
    let mut there: BTreeSet<String> = there.collect();
    for slot in directories.iter().map(|id| id.slot(term)) {
        if !there.remove(&slot) {
            session.create_slot(&slot).await.map_err(|e| e.to_string())?;
        }
    }
    Ok(there)
}
