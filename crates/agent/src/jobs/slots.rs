//! Replication slots: one a directory and term, no others of ours.

use std::collections::BTreeSet;

use howdah_base::{DirectoryId, Term};

use super::Order;
use crate::event::Outcome;

/// Makes the slots of `directories` for `term` and drops every other slot of ours.
pub(crate) async fn make(
    order: Order,
    term: Term,
    directories: BTreeSet<DirectoryId>,
) -> Result<Outcome, String> {
    let session = order.session().await?;
    let wanted: BTreeSet<String> = directories.iter().map(|id| id.slot(term)).collect();
    let there: BTreeSet<String> = session
        .slots()
        .await
        .map_err(|e| e.to_string())?
        .into_iter()
        .map(|slot| slot.name)
        .filter(|name| name.starts_with("howdah_"))
        .collect();
    for slot in wanted.difference(&there) {
        session.create_slot(slot).await.map_err(|e| e.to_string())?;
    }
    for slot in there.difference(&wanted) {
        // A slot in use belongs to a receiver of an older term: it is ended first.
        session.drop_slot(slot).await.map_err(|e| e.to_string())?;
    }
    Ok(Outcome::default())
}
