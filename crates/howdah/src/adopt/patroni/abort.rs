//! Gives this node back to Patroni as it was. Nothing that was written is lost.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;
use howdah_base::record::{Sync, key};
use howdah_postgres::control;
use howdah_store::Txn;

use super::super::Before;
use super::super::give_back::{CLEAN, remove_slots};
use super::super::look::ask_as;
use super::here::Here;
use super::rest::{Member, Who};
use super::take::is_marked;
use super::{Journal, Order, Step, begin, node, tell, typed};
use crate::ask::block_on;
use crate::failure::{Exit, Failure};
use crate::prepare::{Prepared, account, layout};
use crate::store;

/// Patroni's first turn, with its store.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
/// A primary takes the leader's key when that of before is over, `ttl` later at most.
const LEADS_WITHIN: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub fn abort(order: &Order<'_>, here: &Here) -> anyhow::Result<()> {
    let Some(journal) = &here.journal else {
        if let Who::Howdah(_) = here.rest.who(&here.address)? {
            let what = "nothing of Patroni's was kept on this node: it is Howdah's";
            return Err(Failure::failed(what).into());
        }
        tell("on this node there is nothing to give back");
        let members = here.rest.members(&here.address).unwrap_or_default();
        return resume(here, &members);
    };
    let server = account::server_account(&order.file.spec.run_as)?;
    if journal.step >= Step::Take {
        let leads = journal.leader == here.name;
        let prepared = begin::folders(order, here, leads)?.context("prepare this machine")?;
        give_back(&prepared, here, journal)?;
    }
    let log = here.spec.state_dir.join("log").join("patroni.log");
    if here.daemon.is_none() {
        journal.daemon.start(&log)?;
    }
    answers(here)?;
    server.act(|| Journal::forget(&here.spec.state_dir))?;
    tell(format!("{} is Patroni's again, as it ran before", here.name));
    resume(here, &journal.members).map_err(|error| {
        error.context(format!("say it again when that is mended: {} --abort", typed(order)))
    })
}

/// Stops the node; PostgreSQL starts as Patroni ran it, so that Patroni finds it when it comes.
fn give_back(prepared: &Prepared, here: &Here, journal: &Journal) -> anyhow::Result<()> {
    let before = prepared.server.act(|| Before::read(&here.spec.state_dir))?;
    if is_marked(here) {
        let last = check_role(prepared, here, &before)?;
        node::stop(prepared, &here.node, &journal.daemon, last)?;
        prepared.server.act(|| {
            remove_slots(&before.data_dir)?;
            before.put_back(&here.spec.state_dir)
        })?;
        tell("its configuration is what it was before");
    }
    start(here, &before)?;
    if before.standby {
        return Ok(());
    }
    let place = (before.socket_dir.as_path(), before.port);
    for sql in CLEAN {
        if let Err(error) = ask_as(&here.install, &before.owner, here.superuser(), place, sql) {
            tell(format!("left in the server: {error:#}"));
        }
    }
    forget_cluster(prepared, here)
}

/// Whether it is the last of Howdah's nodes. Who led is given back last, and while it leads:
/// before that the others have nobody to follow. Judged by the store, which knows also when no
/// node answers.
fn check_role(prepared: &Prepared, here: &Here, before: &Before) -> anyhow::Result<bool> {
    let snapshot =
        block_on(async { Ok(store::open(prepared, &here.node).await?.snapshot().await?) })
            .context("ask the store who leads: nothing was stopped")?;
    let led = snapshot.get::<Sync>(key::SYNC)?.map(|(sync, _)| sync.leader);
    let leads = led.as_ref() == Some(&here.node);
    if before.standby && leads {
        return Err(Failure::failed(format!("node {} leads now, and did not before", here.node))
            .hint("howdah switchover --to the node that led under Patroni, then this again")
            .into());
    }
    if before.standby {
        return Ok(false);
    }
    if let Some(led) = led.filter(|_| !leads) {
        let what = format!("node {} led before; now {led} has what was written last", here.node);
        return Err(Failure::failed(what)
            .hint(format!("howdah switchover --to {}, then this again", here.node))
            .into());
    }
    let members = snapshot.below::<serde_json::Value>(key::MEMBERS)?;
    match members.keys().find(|member| member.as_str() != here.node.as_str()) {
        Some(other) => {
            let what = format!("node {other} is still Howdah's: it would take over");
            Err(Failure::failed(what).hint("give that one back first, on its machine").into())
        }
        None => Ok(true),
    }
}

/// As it was started before; but a standby must not have less of some things than its WAL says
/// that its primary had.
fn start(here: &Here, before: &Before) -> anyhow::Result<()> {
    if is_running(&before.data_dir) {
        return Ok(());
    }
    let mut before = before.clone();
    if before.standby {
        let control = control::read(&here.install, &before.data_dir)?;
        for (name, value) in &control.sizes {
            let given = before.options.iter().find_map(|option| size(option, name));
            if given.is_none_or(|given| given < *value) {
                before.options.push(format!("--{name}={value}"));
            }
        }
    }
    before.start(&here.install, &layout::log_dir(&here.spec).join("given-back.log"))?;
    tell(format!("PostgreSQL runs as before, on port {}", before.port));
    Ok(())
}

/// `--max_connections=100`.
fn size(option: &str, name: &str) -> Option<u64> {
    option.strip_prefix("--")?.strip_prefix(name)?.strip_prefix('=')?.parse().ok()
}

fn is_running(data_dir: &Path) -> bool {
    data_dir.join("postmaster.pid").exists()
}

/// The store's record would refuse the same directory another time.
fn forget_cluster(prepared: &Prepared, here: &Here) -> anyhow::Result<()> {
    block_on(async {
        let store = store::open(prepared, &here.node).await?;
        let snapshot = store.snapshot().await?;
        let txn = snapshot.entries.keys().fold(Txn::new(), |txn, key| txn.delete(key.clone()));
        store.txn(txn).await?;
        Ok(())
    })
    .context("remove the cluster's keys from the store")
}

fn answers(here: &Here) -> anyhow::Result<()> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    loop {
        if matches!(here.rest.who(&here.address)?, Who::Patroni(_)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            let seconds = ANSWERS_WITHIN.as_secs();
            let what = format!("Patroni has been started, and does not answer within {seconds} s");
            return Err(Failure::new(Exit::TimedOut, what).hint("look into its log").into());
        }
        sleep(LOOK_EVERY);
    }
}

/// Ends the pause when every node is Patroni's again and one of them leads: the same for which
/// of them it is said last.
fn resume(here: &Here, members: &[Member]) -> anyhow::Result<()> {
    let mut missing = Vec::new();
    for member in members {
        if !matches!(here.rest.who(&member.api)?, Who::Patroni(_)) {
            missing.push(member.name.as_str());
        }
    }
    if !missing.is_empty() {
        let names = missing.join(", ");
        tell(format!("Patroni stays paused until it runs on {names} too: say --abort there"));
        return Ok(());
    }
    let deadline = Instant::now() + LEADS_WITHIN;
    while !here.rest.members(&here.address)?.iter().any(Member::leads) {
        if Instant::now() > deadline {
            let seconds = LEADS_WITHIN.as_secs();
            let what = format!("no node leads within {seconds} s, so Patroni stays paused");
            return Err(Failure::new(Exit::TimedOut, what).hint("patronictl list").into());
        }
        sleep(LOOK_EVERY);
    }
    if here.rest.resume(&here.address)? {
        tell("Patroni runs on every node; its pause is over");
    } else {
        tell("Patroni runs on every node; it was not paused by howdah and stays as it is");
    }
    Ok(())
}
