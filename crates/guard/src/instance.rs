//! The instance under guard: the postmaster, its duty, and the end of every process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use howdah_base::Tick;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::clock;
use crate::duty::Duty;
use crate::message::{Event, Exit, ExitStatus, Phase, Refusal, State, StopMode};
use crate::postmaster::Postmaster;
use crate::processes::{self, KILL_EVERY};
use crate::watchdog::WatchdogState;

#[derive(Debug)]
pub struct Instance {
    /// Canonical. Compared as text only.
    data_dir: PathBuf,
    guard_started_at: Tick,
    duty: Duty,
    postmaster: Option<Postmaster>,
    /// How the postmaster ended, until the last of its processes has.
    ended: Option<(Pid, ExitStatus, Tick)>,
    last_exit: Option<Exit>,
    next_round: Tick,
}

impl Instance {
    pub fn new(data_dir: PathBuf, now: Tick) -> Instance {
        Instance {
            data_dir,
            guard_started_at: now,
            duty: Duty::new(),
            postmaster: None,
            ended: None,
            last_exit: None,
            next_round: now,
        }
    }

    /// Does what is due, and says what happened. To be called after everything that may have
    /// changed something: a signal, a request, the time.
    pub fn look(&mut self, now: Tick) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(deadline) = self.duty.fence_begins(now) {
            self.signal(Signal::SIGQUIT);
            events.push(Event::Fenced { deadline, at: now });
        }
        let childless = self.collect(now);
        // While children are ending, each of them wakes the guard: not every time a round.
        if self.duty.must_kill(now) && (childless || now >= self.next_round) {
            events.extend(self.kill_round(now));
        }
        events
    }

    /// Collects every child that has ended; true when no child is left, and that is proof: all
    /// orphans of the instance become children of the guard, which is the subreaper.
    fn collect(&mut self, now: Tick) -> bool {
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, ExitStatus::Code(code)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid, ExitStatus::Signal(signal as i32))
                }
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return true,
            };
            if self.postmaster.is_some_and(|postmaster| postmaster.pid == pid) {
                self.postmaster = None;
                self.ended = Some((pid, status, now));
                // A backend may outlive its postmaster and go on acknowledging commits.
                self.duty.kill();
            }
        }
    }

    /// SIGKILL to everything that lives. The postmaster first: it could fork meanwhile. Then its
    /// children, which are the guard's once it is dead; then whatever else belongs.
    fn kill_round(&mut self, now: Tick) -> Option<Event> {
        self.signal(Signal::SIGKILL);
        for parent in self.postmaster.map(|p| p.pid).into_iter().chain([Pid::this()]) {
            processes::kill_all(&processes::children(parent.as_raw()));
        }
        let alive = self.alive();
        processes::kill_all(&alive);
        self.next_round = now + KILL_EVERY;
        let none_left = alive.is_empty() && self.collect(now) && self.alive().is_empty();
        if none_left { self.emptied() } else { None }
    }

    fn emptied(&mut self) -> Option<Event> {
        let fenced = self.duty.emptied();
        let (pid, status, ended_at) = self.ended.take()?;
        let empty_at = clock::now();
        let exit =
            Exit { pid: pid.as_raw(), status, no_process_left: true, fenced, ended_at, empty_at };
        self.last_exit = Some(exit);
        Some(Event::Exited(exit))
    }

    /// When [`Instance::look`] has to be called at the latest.
    pub fn wake_at(&self) -> Option<Tick> {
        match self.duty.phase() {
            Phase::Killing => Some(self.next_round),
            _ => self.duty.wake_at(),
        }
    }

    /// Until when a server may write here; `None` where none does.
    pub fn deadline(&self) -> Option<Tick> {
        self.duty.deadline()
    }

    pub fn is_empty(&self) -> bool {
        self.duty.phase() == Phase::Empty
    }

    fn alive(&self) -> Vec<i32> {
        processes::alive(&self.data_dir, Some(Pid::this().as_raw()))
    }

    fn alive_count(&self) -> u32 {
        u32::try_from(self.alive().len()).unwrap_or(u32::MAX)
    }

    fn signal(&self, signal: Signal) {
        if let Some(postmaster) = self.postmaster {
            postmaster.signal(signal);
        }
    }
}

/// What clients ask for.
impl Instance {
    pub fn start(
        &mut self,
        program: &Path,
        args: &[String],
        env: &[(String, String)],
        log: &Path,
        deadline: Option<Tick>,
    ) -> Result<(), Refusal> {
        if !self.is_empty() {
            return Err(Refusal::ProcessesLeft { count: self.alive_count() });
        }
        let now = clock::now();
        self.duty.start(deadline, now)?;
        let started = Postmaster::start(program, args, env, log, now);
        self.postmaster = Some(started.map_err(|error| {
            self.duty.emptied();
            Refusal::StartFailed { program: program.to_owned(), error: error.to_string() }
        })?);
        Ok(())
    }

    pub fn extend(&mut self, deadline: Tick) -> Result<(), Refusal> {
        self.duty.extend(deadline, clock::now())
    }

    pub fn disarm(&mut self) -> Result<(), Refusal> {
        self.duty.disarm(clock::now())
    }

    pub fn stop(&mut self, mode: StopMode, within: Duration) -> Result<(), Refusal> {
        self.running()?;
        self.duty.stop(clock::now() + within);
        self.signal(match mode {
            StopMode::Fast => Signal::SIGINT,
            StopMode::Immediate => Signal::SIGQUIT,
        });
        Ok(())
    }

    pub fn kill(&mut self) -> Result<(), Refusal> {
        self.running()?;
        self.duty.kill();
        self.next_round = clock::now();
        Ok(())
    }

    pub fn reload(&self) -> Result<(), Refusal> {
        self.running()?;
        self.signal(Signal::SIGHUP);
        Ok(())
    }

    fn running(&self) -> Result<(), Refusal> {
        if self.is_empty() { Err(Refusal::NotRunning) } else { Ok(()) }
    }

    /// Whether the guard may leave.
    pub fn may_leave(&self) -> Result<(), Refusal> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Refusal::ProcessesLeft { count: self.alive_count() })
    }

    pub fn state(&self) -> State {
        State {
            guard_pid: Pid::this().as_raw(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.guard_started_at,
            phase: self.duty.phase(),
            postmaster_pid: self.postmaster.map(|postmaster| postmaster.pid.as_raw()),
            server_started_at: self.postmaster.map(|postmaster| postmaster.started_at),
            alive_processes: self.alive_count(),
            deadline: self.duty.deadline(),
            last_exit: self.last_exit,
            watchdog: WatchdogState::Unknown,
        }
    }
}
