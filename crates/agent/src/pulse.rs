//! Whether the server is alive as its clients see it, found out by a task of its own.
//!
//! ```text
//!   knock at the postmaster ── answered, or it does something else ──┐
//!                                                                    ├─ both: a sign of life
//!   `select 1` on a connection that is kept, else a new login ───────┘
//! ```
//! A machine that is merely overloaded gives signs of both: its postmaster waits for the CPU or
//! has used it, and a connection that is open answers. A postmaster that was stopped or hangs does
//! nothing at all, while sessions that are open go on; a server whose processes hang on each other
//! accepts connections and answers none. Any answer counts, a refusal too: all connections in use,
//! or a wrong password, is not a server that hangs.

use std::sync::Arc;
use std::time::Duration;

use howdah_postgres::knock::knock;
use howdah_postgres::session::Session;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::clock;
use crate::event::Event;
use crate::shared::Shared;

/// A server that gives signs of life is asked this often.
const FEEL_EVERY: Duration = Duration::from_secs(3);
/// After a sign that did not come.
const FEEL_AGAIN: Duration = Duration::from_millis(100);
/// Signs that must fail one after the other: one question more than a pause can explain.
const FAILURES: u32 = 2;

/// Runs until the agent is gone.
pub(crate) async fn watch(
    shared: Arc<Shared>,
    mut alive: watch::Receiver<bool>,
    events: mpsc::Sender<Event>,
) {
    let mut finger = Finger { shared, session: None, postmaster: None, seen: None };
    let mut silent: Option<Instant> = None;
    loop {
        if alive.wait_for(|alive| *alive).await.is_err() {
            return;
        }
        let (asked_at, begun) = (clock::now(), Instant::now());
        let sign = finger.feel().await;
        let was_silent = silent.is_some();
        silent = if sign.is_there() { None } else { silent.or(Some(begun)) };
        if sign == Sign::OfAnother {
            silent = None;
        }
        if was_silent || silent.is_some() {
            let silent_for = silent.map_or(Duration::ZERO, |since| since.elapsed());
            if events.send(Event::Pulse { silent_for, asked_at }).await.is_err() {
                return;
            }
        }
        sleep(if silent.is_some() { FEEL_AGAIN } else { FEEL_EVERY }).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sign {
    There,
    Missing,
    /// Another server was started meanwhile.
    OfAnother,
}

impl Sign {
    fn is_there(self) -> bool {
        self == Sign::There
    }
}

struct Finger {
    shared: Arc<Shared>,
    session: Option<Session>,
    postmaster: Option<i32>,
    /// What the postmaster had done at the end of the last look.
    seen: Option<Switches>,
}

impl Finger {
    /// Whether the postmaster does anything. One that has done something since the last look is not
    /// knocked at: with `log_connections` each knock is a line of the server's log.
    async fn moves(&self, pid: i32, within: Duration) -> bool {
        let before = switches(pid);
        if self.seen.is_some() && moved(self.seen, before) {
            return true;
        }
        let config = &self.shared.config;
        let (sockets, port) = (config.socket_dir(), config.own().postgres_port);
        knock(&sockets, port, within).await.is_ok() || moved(before, switches(pid))
    }

    async fn feel(&mut self) -> Sign {
        let within = self.shared.spec().ha.hung_after.0 / FAILURES;
        let postmaster = self.shared.guard.postmaster_pid().await.ok().flatten();
        if postmaster != self.postmaster {
            (self.postmaster, self.session, self.seen) = (postmaster, None, None);
            return Sign::OfAnother;
        }
        let Some(pid) = postmaster else { return Sign::OfAnother };
        let kept = self.session.take();
        let (moves, spoke) =
            tokio::join!(self.moves(pid, within), speak(&self.shared, kept, within));
        self.seen = switches(pid);
        let speaks = spoke.is_ok();
        self.session = spoke.unwrap_or_default();
        if moves && speaks { Sign::There } else { Sign::Missing }
    }
}

/// What a process has done since it began: how often it has given the CPU away, and whether it
/// waits for one now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Switches {
    count: u64,
    runnable: bool,
}

fn moved(before: Option<Switches>, after: Option<Switches>) -> bool {
    match (before, after) {
        (Some(before), Some(after)) => after.runnable || after.count != before.count,
        // It has ended, or nobody can tell.
        _ => true,
    }
}

/// From `/proc/PID/status` (proc_pid_status(5)): no disk is asked.
fn switches(pid: i32) -> Option<Switches> {
    read_switches(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn read_switches(status: &str) -> Option<Switches> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let count = |name| field(name)?.trim().parse::<u64>().ok();
    Some(Switches {
        count: count("voluntary_ctxt_switches:")? + count("nonvoluntary_ctxt_switches:")?,
        runnable: field("State:")?.trim_start().starts_with('R'),
    })
}

/// A word on the kept connection, else on a new one; the connection to keep. `Ok` without one: it
/// was refused, or is still starting, which is an answer.
async fn speak(
    shared: &Shared,
    kept: Option<Session>,
    within: Duration,
) -> Result<Option<Session>, ()> {
    if let Some(session) = kept
        && session.answers(within).await
    {
        return Ok(Some(session));
    }
    match timeout(within, shared.ready()).await {
        Ok(true) => {}
        // How long a start may take is its job's affair, and a disk that hangs the disk's.
        Ok(false) | Err(_) => return Ok(None),
    }
    let (sockets, port) = (shared.config.socket_dir(), shared.config.own().postgres_port);
    match Session::connect(&sockets, port, "postgres").await {
        Ok(session) => Ok(Some(session)),
        Err(howdah_postgres::PgError::Refused { .. }) => Ok(None),
        Err(_) => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOPPED: &str = "Name:\tpostgres\nState:\tT (stopped)\nvoluntary_ctxt_switches:\t12\n\
                           nonvoluntary_ctxt_switches:\t3\n";

    #[test]
    fn a_stopped_process_has_not_moved() {
        let stopped = read_switches(STOPPED);
        assert_eq!(stopped, Some(Switches { count: 15, runnable: false }));
        assert!(!moved(stopped, stopped));
    }

    #[test]
    fn one_that_waits_for_the_cpu_or_has_had_it_has() {
        let stopped = read_switches(STOPPED);
        let waiting = read_switches(&STOPPED.replace("T (stopped)", "R (running)"));
        assert!(moved(stopped, waiting));
        assert!(moved(stopped, read_switches(&STOPPED.replace("12", "13"))));
        assert!(moved(stopped, None), "one that has ended does not hang");
    }
}
