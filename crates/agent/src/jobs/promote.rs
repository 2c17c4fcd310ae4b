//! Promotion to exactly the reserved timeline, with the voters' setting in force before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use howdah_base::{DirectoryId, Term, Timeline};

use super::{Order, blocking, slots};
use crate::conf::ConfState;
use crate::event::Outcome;

/// How long a promotion may take once it is ordered: replay of what was received comes first.
const PROMOTE_WITHIN: Duration = Duration::from_secs(60);

pub(crate) async fn promote(
    order: Order,
    timeline: Timeline,
    (names, needed): (BTreeSet<DirectoryId>, u32),
    (term, slots): (Term, BTreeSet<DirectoryId>),
) -> Result<Outcome, String> {
    let deadline = order.deadline.ok_or("the lease has not been renewed yet")?;
    order.shared.guard.extend(deadline).await.map_err(|e| e.to_string())?;
    let session = order.session().await?;
    // Nobody new is let in, and commits of whoever is in wait for the voters, from the first on.
    let before = ConfState {
        standby: true,
        upstream: None,
        names,
        needed,
        gate_open: false,
        ..order.conf.clone()
    };
    let before = order.configure(before).await?;
    session.reload().await.map_err(|e| e.to_string())?;
    let setting = before.setting();
    session.shows("synchronous_standby_names", &setting).await.map_err(|e| e.to_string())?;
    reserve(&order, timeline).await?;
    // Standbys are told as soon as they can follow; what is left here they need not wait for.
    let promoting = async {
        session.promote(PROMOTE_WITHIN).await.map_err(|e| e.to_string())?;
        order.probe_now.notify_one();
        Ok::<_, String>(())
    };
    let adding = async {
        let session = order.session().await?;
        slots::add(&session, term, &slots).await.map(drop)
    };
    let (promoted, added) = tokio::join!(promoting, adding);
    promoted?;
    if let Err(error) = added {
        // A primary makes what is missing.
        tracing::warn!("standbys get their slots later: {error}");
    }
    let took = session.probe().await.map_err(|e| e.to_string())?.timeline;
    if took != timeline {
        // Two timelines of one number cannot be told apart: nobody is let in here.
        order.shared.guard.kill().await?;
        return Err(format!(
            "the promotion took timeline {took} instead of the reserved {timeline}"
        ));
    }
    // Not a standby any more: a restart must not turn it into one, so the file says so at once.
    let after = ConfState { standby: false, gate_open: false, ..before };
    let after = order.configure(after).await?;
    Ok(Outcome { conf: Some(after), ..Outcome::default() })
}

/// Placeholders for the numbers between, so that PostgreSQL takes the reserved one.
async fn reserve(order: &Order, timeline: Timeline) -> Result<(), String> {
    let shared = Arc::clone(&order.shared);
    let from = order.timeline_hint.as_ref().map_or(Timeline(1), |h| h.timeline);
    blocking(move || {
        let data_dir = &shared.config.own().data_dir;
        howdah_postgres::directory::reserve_timeline(data_dir, from, timeline)
            .map_err(|e| e.to_string())
    })
    .await
}
