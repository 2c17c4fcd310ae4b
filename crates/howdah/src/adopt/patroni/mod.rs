//! `howdah adopt --patroni`: a running Patroni cluster is taken over, node by node, in place.
//!
//! ```text
//!   a standby's machine                      the leader's machine, last
//!   ───────────────────                      ──────────────────────────
//!   pause Patroni                            every other Patroni process is stopped?
//!   stop its process; PostgreSQL runs on     stop its process
//!   wait for Howdah's leader  ◄───────────── stop PostgreSQL, mark, start the node: it leads
//!   stop PostgreSQL, mark, start the node: it streams, nothing is copied
//! ```
//!
//! Clients see one restart of the primary. Each step is in the node's [`Journal`] before it is
//! done: asked again, the command goes on; with `--abort` it goes back.

mod abort;
mod begin;
mod daemon;
mod finish;
mod here;
mod journal;
mod judge;
mod node;
mod rest;
mod secrets;
mod take;

use std::path::Path;
use std::time::Duration;

use howdah_base::NodeName;

use super::{Check, Level};
use crate::failure::Failure;
use crate::file::ClusterFile;
use crate::talk::say;

use here::{Here, Seen};
use journal::{Journal, Step};

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    pub file: &'a ClusterFile,
    /// Its `patroni.yml`.
    pub patroni: &'a Path,
    pub node: Option<&'a NodeName>,
    /// How long a standby waits for Howdah's leader.
    pub wait: Duration,
}

/// What there is and what would be done.
#[derive(Debug)]
pub struct Plan {
    here: Here,
    seen: Option<Seen>,
    pub title: String,
    pub checks: Vec<Check>,
}

/// Looks, and changes nothing.
pub fn plan(order: &Order<'_>) -> anyhow::Result<Plan> {
    let here = Here::look(order)?;
    let cluster = &order.file.spec.cluster;
    if here.step() >= Some(Step::Take) {
        let title = format!("{} is node {} of {cluster} already", here.name, here.node);
        return Ok(Plan { here, seen: None, title, checks: Vec::new() });
    }
    let seen = here.see(order)?;
    let part = if seen.leads(&here) { "leads" } else { "is a standby" };
    let title = format!(
        "Patroni's {} {part}; its PostgreSQL becomes node {} of {cluster}, in place:",
        here.name, here.node
    );
    let checks = judge::judge(&here, &seen, &order.file.spec);
    Ok(Plan { here, seen: Some(seen), title, checks })
}

/// Carries the plan out, or goes on with it.
pub fn carry_out(order: &Order<'_>, plan: Plan) -> anyhow::Result<()> {
    if plan.checks.iter().any(|check| check.level == Level::Stop) {
        return Err(Failure::failed("it cannot be adopted like this; nothing was changed").into());
    }
    let Plan { here, seen, .. } = plan;
    match seen {
        None => take::go_on(order, &here),
        Some(seen) => take::take(order, &here, &seen),
    }
}

/// Gives this node back to Patroni.
pub fn abort(order: &Order<'_>) -> anyhow::Result<()> {
    abort::abort(order, &Here::look(order)?)
}

/// Removes what Patroni has left, when every node is Howdah's.
pub fn finish(order: &Order<'_>) -> anyhow::Result<()> {
    finish::finish(order, &Here::look(order)?)
}

/// What is to be typed, for hints.
fn typed(order: &Order<'_>) -> String {
    format!("howdah adopt --patroni {}{}", order.patroni.display(), order.file.typed)
}

/// One line of progress.
fn tell(text: impl AsRef<str>) {
    say(text);
}
