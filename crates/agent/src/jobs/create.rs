//! New directories: by initdb for the first node, by a copy of the leader's for all others.

use std::path::Path;
use std::sync::Arc;

use howdah_base::record::OrderKind;
use howdah_base::{NodeName, Term};
use howdah_postgres::directory::{self, DirectoryFile};

use super::{Order, blocking};
use crate::attempts::Attempt;
use crate::event::Outcome;
use crate::shared::Shared;

/// A new database cluster, marked fresh until the store knows it.
pub(crate) async fn initdb(order: Order) -> Result<Outcome, String> {
    let config = &order.shared.config;
    let (id, node) = (order.planned.clone(), config.node.clone());
    let file = DirectoryFile { id, node, fresh: true, adopted: false };
    let locale = config.spec.postgresql.locale.clone();
    howdah_postgres::initdb::run(config.install()?, &config.own().data_dir, &locale, &file)
        .await
        .map_err(|e| e.to_string())?;
    Ok(Outcome { said: Some("the database cluster is created".to_owned()), ..Outcome::default() })
}

/// The store knows the cluster: the directory is no longer fresh.
pub(crate) async fn settle(order: &Order) -> Result<(), String> {
    let shared = Arc::clone(&order.shared);
    blocking(move || {
        let data_dir = &shared.config.own().data_dir;
        let file = directory::read_file(data_dir).map_err(|e| e.to_string())?;
        let file = file.ok_or("the directory has no identity")?;
        let settled = DirectoryFile { fresh: false, ..file };
        directory::write_file(data_dir, &settled).map_err(|e| e.to_string())
    })
    .await
}

/// A node's first directory is no repair.
fn is_empty(data_dir: &Path) -> bool {
    std::fs::read_dir(data_dir).map_or(true, |mut entries| entries.next().is_none())
}

/// From the repository where that is wished, else and where it does not come off pg_basebackup: from the
/// leader, through the slot made for the new identity; or from a standby, while that slot of the
/// leader's already keeps the WAL that will be asked for afterwards.
pub(crate) async fn copy(
    order: Order,
    from: NodeName,
    term: Term,
    repository: bool,
) -> Result<Outcome, String> {
    let me = &order.shared.config.node;
    let asked = order.store.orders.get(me).map(|order| &order.value.kind);
    let asked = matches!(asked, Some(OrderKind::Reinit { .. }));
    let data_dir = order.shared.config.own().data_dir.clone();
    let first = blocking(move || Ok(is_empty(&data_dir))).await?;
    if asked || !first {
        order.count(if asked { Attempt::Ordered } else { Attempt::Copy }).await?;
    }
    let config = &order.shared.config;
    let id = order.planned.clone();
    let node = config.node.clone();
    let file = DirectoryFile { id: id.clone(), node, fresh: false, adopted: false };
    let shown = Shown::begin(&order.shared);
    let mut instead = String::new();
    if repository {
        match super::restore::standby(&order, term, &file, &shown).await {
            Ok(said) => return Ok(Outcome { said: Some(said), ..Outcome::default() }),
            Err(why) => {
                tracing::warn!(
                    "this standby cannot be made from the repository, `{from}` is copied: {why}"
                );
                instead = format!(", for the repository cannot serve: {why}");
            }
        }
    }
    shown.say(format!("copied from `{from}`{instead}"));
    let source = order.shared.conninfo(&from, id.as_str())?;
    let own = config.own();
    let leads = order.store.leader.as_ref().is_some_and(|leader| leader.value.node == from);
    let slot = leads.then(|| id.slot(term));
    howdah_postgres::basebackup::run(
        config.install()?,
        &howdah_postgres::basebackup::Copy {
            source: &source,
            slot: slot.as_deref(),
            data_dir: &own.data_dir,
            state_dir: &own.state_dir,
            file: &file,
        },
    )
    .await
    .map_err(|e| e.to_string())?;
    Ok(Outcome { said: Some(format!("copied from `{from}`")), ..Outcome::default() })
}

/// What the status says of it, as long as it is being made.
pub(super) struct Shown<'a>(&'a Shared);

impl Shown<'_> {
    fn begin(shared: &Shared) -> Shown<'_> {
        Shown(shared)
    }

    pub fn say(&self, said: String) {
        self.0.making.send_replace(said);
    }
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.say(String::new());
    }
}
