//! What precedes the take-over of a node: its folders, Patroni's pause, the end of its process.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::here::{Here, Seen};
use super::rest::{Member, Who};
use super::{Journal, Order, Step, tell};
use crate::failure::{Exit, Failure};
use crate::prepare::{self, Account, Caller, Layout, Prepared, prepare};

/// Every node sees the pause with its next turn, `loop_wait` later at most; those that ask their
/// store in vain need longer.
const PAUSED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Nodes that are asked for the pause, one after the other, before that has failed.
const ASKED_MAX: u32 = 5;

/// Folders, and keys where this machine can have them: `None` before it has joined.
pub fn folders(order: &Order<'_>, here: &Here, leads: bool) -> anyhow::Result<Option<Prepared>> {
    let layout = Layout::new(&order.file.spec.base_dir);
    let founds = leads || prepare::here::is_one_machine(&order.file.spec);
    if !founds && !layout.ca().exists() {
        prepare::folders(order.file, &here.node)?;
        return Ok(None);
    }
    let prepared = prepare(order.file, Caller::PrepareFor(&here.node))?;
    super::secrets::keep(&prepared, &here.config)?;
    Ok(Some(prepared))
}

/// Pauses Patroni and sees that every node knows: from then on no Patroni starts, stops or
/// promotes anything by itself.
pub fn pause(here: &Here, members: &[Member]) -> anyhow::Result<()> {
    if !ask_for_pause(here, members)? {
        return Ok(());
    }
    let deadline = Instant::now() + PAUSED_WITHIN;
    loop {
        let late = not_paused(here, members)?;
        let Some(late) = late else { break };
        if Instant::now() > deadline {
            let seconds = PAUSED_WITHIN.as_secs();
            return Err(Failure::new(
                Exit::TimedOut,
                format!("not paused within {seconds} s: {late}"),
            )
            .hint("patronictl list; howdah adopt --patroni FILE --abort ends the pause")
            .into());
        }
        sleep(LOOK_EVERY);
    }
    tell("Patroni is paused on every node");
    Ok(())
}

/// Asks a node whose Patroni answers; whether there is one. It may be stopped at this moment,
/// where another machine is being taken over: then another one is asked.
fn ask_for_pause(here: &Here, members: &[Member]) -> anyhow::Result<bool> {
    for attempt in 1..=ASKED_MAX {
        let Some(ask) = running(here, members)? else { return Ok(false) };
        match here.rest.pause(&ask, members) {
            Err(error) if attempt == ASKED_MAX => return Err(error),
            Err(_) => sleep(LOOK_EVERY),
            Ok(()) => break,
        }
    }
    Ok(true)
}

/// A node whose Patroni answers: this one, if it does.
fn running(here: &Here, members: &[Member]) -> anyhow::Result<Option<String>> {
    let (own, others): (Vec<_>, Vec<_>) = members.iter().partition(|m| m.name == here.name);
    for member in own.into_iter().chain(others) {
        if matches!(here.rest.who(&member.api)?, Who::Patroni(_)) {
            return Ok(Some(member.api.clone()));
        }
    }
    Ok(None)
}

fn not_paused(here: &Here, members: &[Member]) -> anyhow::Result<Option<String>> {
    for member in members {
        let name = &member.name;
        match here.rest.who(&member.api)? {
            Who::Patroni(said) if !said.paused => return Ok(Some(name.clone())),
            Who::Unknown(why) => return Ok(Some(format!("{name}, {why}"))),
            Who::Patroni(_) | Who::Howdah(_) | Who::Nobody => {}
        }
    }
    Ok(None)
}

/// Stops Patroni's process here, remembered before, and sees that PostgreSQL runs on.
pub fn stop_daemon(here: &Here, seen: &Seen, server: &Account) -> anyhow::Result<Journal> {
    let journal = match &here.journal {
        Some(journal) => journal.clone(),
        None => {
            let control = &seen.found.control;
            let journal = Journal {
                step: Step::Daemon,
                daemon: here.ran()?.clone(),
                members: seen.members.clone(),
                leader: seen.leader.clone(),
                system_identifier: control.system_identifier.to_string(),
            };
            server.act(|| journal.write(&here.spec.state_dir))?;
            journal
        }
    };
    if let Some(daemon) = &here.daemon {
        // The leader's REST API must not be silent for long: HAProxy asks it.
        daemon.stop(&here.patroni, !seen.leads(here))?;
        let before = seen.found.running.as_ref().map(|running| running.pid);
        let path = here.data_dir.join("postmaster.pid");
        let text = std::fs::read_to_string(path).context("read postmaster.pid")?;
        let now = text.lines().next().and_then(|pid| pid.trim().parse::<i32>().ok());
        if before != now {
            return Err(Failure::failed(
                "PostgreSQL has not survived the end of Patroni's process",
            )
            .hint("howdah adopt --patroni FILE --abort starts Patroni again")
            .into());
        }
        tell("Patroni is stopped here; PostgreSQL runs on as it did");
    }
    Ok(journal)
}
