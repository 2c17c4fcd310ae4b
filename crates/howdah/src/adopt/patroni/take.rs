//! Takes this node over, from wherever it stands.

use std::fs;
use std::process::Child;
use std::time::Instant;

use anyhow::Context;
use howdah_base::record::ServerState;
use howdah_postgres::directory::{self, DirectoryFile};
use howdah_store::StoreError;

use super::super::Before;
use super::super::look::{ask_as, look_as};
use super::super::take::{SUPERUSER, identity};
use super::here::{Here, Seen};
use super::{Journal, Order, Step, begin, node, tell, typed};
use crate::ask::block_on;
use crate::failure::{Exit, Failure};
use crate::prepare::{Account, Prepared, account};
use crate::store;

/// Everything, in order. Each step leaves alone what an earlier run has done.
pub fn take(order: &Order<'_>, here: &Here, seen: &Seen) -> anyhow::Result<()> {
    let leads = seen.leads(here);
    let prepared = begin::folders(order, here, leads)?;
    if let Some(prepared) = &prepared {
        check_store(prepared, here, seen)?;
    }
    begin::pause(here, &seen.members)?;
    if leads {
        // So that the shutdown has little left to write.
        ask(here, seen, "checkpoint")?;
    }
    let server = account::server_account(&order.file.spec.run_as)?;
    let begun = Instant::now();
    let journal = begin::stop_daemon(here, seen, &server)?;
    let Some(prepared) = prepared else { return Err(not_joined(order, here).into()) };
    if !leads {
        tell(format!("waiting for {}: it is taken over on its own machine", journal.leader));
        node::wait_for_leader(&prepared, &journal.leader, order.wait)?;
    }
    keep(here, seen, &server, &journal)?;
    let child = exchange(&prepared, here, leads)?;
    settle(&prepared, here, leads, child)?;
    if leads {
        let seconds = begun.elapsed().as_secs_f64();
        tell(format!(
            "node {} leads; that took {seconds:.1} s from the stop of Patroni",
            here.node
        ));
    }
    Ok(())
}

/// After a run that was cut short behind [`keep`].
pub fn go_on(order: &Order<'_>, here: &Here) -> anyhow::Result<()> {
    let journal = here.journal.as_ref().context("read what was done before")?;
    let leads = journal.leader == here.name;
    let prepared = begin::folders(order, here, leads)?.context("prepare this machine")?;
    let child = match here.step() {
        Some(Step::Taken) => node::start(&prepared, &here.node, here.ran()?)?,
        _ => exchange(&prepared, here, leads)?,
    };
    settle(&prepared, here, leads, child)
}

/// The store is ours alone, or has this very cluster; seen before anything is stopped.
fn check_store(prepared: &Prepared, here: &Here, seen: &Seen) -> anyhow::Result<()> {
    if crate::keeper::managed(&prepared.spec).is_some() {
        return Ok(());
    }
    let known = block_on(async {
        let snapshot = store::open(prepared, &here.node).await?.snapshot().await?;
        Ok(snapshot.entries.get(howdah_base::record::key::INITIALIZE).map(|e| e.value.clone()))
    });
    let known: Option<String> = known.map_err(|error| match error.downcast::<StoreError>() {
        Ok(error) => Failure::failed(format!("the store cannot be used: {error}"))
            .hint("nothing was stopped; see `[store.etcd]` in the cluster file")
            .into(),
        Err(error) => error,
    })?;
    let own = seen.found.control.system_identifier.to_string();
    match known {
        Some(known) if !known.contains(&own) => {
            Err(Failure::failed("another cluster's keys lie at that prefix of the store")
                .hint("name another `prefix` in `[store.etcd]`")
                .into())
        }
        _ => Ok(()),
    }
}

fn not_joined(order: &Order<'_>, here: &Here) -> Failure {
    let node = &here.node;
    Failure::new(Exit::TimedOut, "this machine has no certificate of the cluster yet").hint(
        format!(
            "take the leader over on its machine, there say howdah token create {node}, here what \
         that prints; then again: {} --yes",
            typed(order)
        ),
    )
}

/// Copies what Howdah will write over, durably. What an earlier run has kept stays.
fn keep(here: &Here, seen: &Seen, server: &Account, journal: &Journal) -> anyhow::Result<()> {
    // Patroni started PostgreSQL, so its unit is Patroni's.
    let before = Before { unit: None, ..Before::of(&seen.found)? };
    server.act(|| {
        before.keep(&here.spec.state_dir)?;
        Journal { step: Step::Take, ..journal.clone() }.write(&here.spec.state_dir)
    })?;
    let has_postgres = seen.found.running.as_ref().is_some_and(|running| running.has_postgres);
    if seen.leads(here) && !has_postgres {
        ask(here, seen, SUPERUSER)?;
        tell("there is a superuser postgres now");
    }
    Ok(())
}

/// Stops PostgreSQL as Patroni ran it, marks the directory and starts the node.
fn exchange(prepared: &Prepared, here: &Here, leads: bool) -> anyhow::Result<Option<Child>> {
    let before = prepared.server.act(|| Before::read(&here.spec.state_dir))?;
    if directory::read_file(&here.data_dir)?.is_none() {
        before.stop(&here.install)?;
        let (role, password) = here.superuser();
        let found = look_as(&here.install, &here.data_dir, Some(role), password)?;
        if found.running.is_some() {
            return Err(Failure::failed("PostgreSQL runs again: something else starts it")
                .hint("stop what starts it, then say it again")
                .into());
        }
        let file = DirectoryFile {
            id: identity(&here.node)?,
            node: here.node.clone(),
            fresh: leads,
            adopted: true,
        };
        prepared.server.act(|| Ok(directory::write_file(&here.data_dir, &file)?))?;
    }
    node::start(prepared, &here.node, here.ran()?)
}

fn settle(
    prepared: &Prepared,
    here: &Here,
    leads: bool,
    child: Option<Child>,
) -> anyhow::Result<()> {
    let status = node::status(prepared);
    let now_leads = status.and_then(|s| s.leader).map_or(leads, |leader| leader == here.node);
    let wanted = if now_leads { ServerState::Primary } else { ServerState::Streaming };
    node::wait(prepared, &here.node, wanted, child)?;
    if let Some(journal) = here.journal.clone().or_else(|| kept(here)) {
        let taken = Journal { step: Step::Taken, ..journal };
        prepared.server.act(|| taken.write(&here.spec.state_dir))?;
    }
    let role = if now_leads { "its primary" } else { "a standby" };
    tell(format!(
        "node {} of {} runs, {role}; nothing was copied",
        here.node, prepared.spec.cluster
    ));
    Ok(())
}

fn kept(here: &Here) -> Option<Journal> {
    Journal::read(&here.spec.state_dir).ok().flatten()
}

fn ask(here: &Here, seen: &Seen, sql: &str) -> anyhow::Result<String> {
    let running = seen.found.running.as_ref().context("find its PostgreSQL")?;
    let place = (running.socket_dir.as_path(), running.port);
    ask_as(&here.install, &seen.found.owner, here.superuser(), place, sql)
}

/// Whether the node's directory is marked as Howdah's.
pub fn is_marked(here: &Here) -> bool {
    fs::exists(here.data_dir.join("howdah.json")).unwrap_or(true)
}
