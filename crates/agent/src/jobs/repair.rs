//! A directory whose server is down: where its WAL ends, and pg_rewind when it left the
//! leader's history.

use std::sync::Arc;

use howdah_base::NodeName;

use super::{Order, blocking};
use crate::attempts::Attempt;
use crate::event::Outcome;

/// Reads the end of the WAL, from the last position known, and makes it durable up to there.
pub(crate) async fn read_end(order: Order) -> Result<Outcome, String> {
    let shared = Arc::clone(&order.shared);
    let hint = order.end_hint;
    let left = blocking(move || {
        let config = &shared.config;
        howdah_postgres::wal::left(config.install()?, &config.own().data_dir, hint)
            .map_err(|e| e.to_string())
    })
    .await?;
    Ok(Outcome { left: Some(left), ..Outcome::default() })
}

/// pg_rewind against the leader. The directory keeps its identity; until it is done a marker
/// says that it is unusable.
pub(crate) async fn rewind(order: Order, from: NodeName) -> Result<Outcome, String> {
    order.count(Attempt::Rewind).await?;
    let config = &order.shared.config;
    let source = order.shared.conninfo(&from, "howdah_rewind")?;
    let own = config.own();
    let said =
        howdah_postgres::rewind::run(config.install()?, &own.data_dir, &own.state_dir, &source)
            .await
            .map_err(|e| e.to_string())?;
    Ok(Outcome { said: Some(said.to_string()), ..Outcome::default() })
}
