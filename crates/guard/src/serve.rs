//! The guard's one loop: signals, the deadline's timer, clients.

use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use howdah_base::Tick;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{Expiration, TimerFd, TimerSetTimeFlags};

use crate::clients::Clients;
use crate::clock;
use crate::error::GuardError;
use crate::instance::Instance;
use crate::journal::Journal;
use crate::message::{Asked, Event, Refusal, Reply, Request, Said, State, StopMode};
use crate::watchdog::Watchdog;

/// SIGTERM (the machine goes down): so long for a fast shutdown, then SIGKILL.
const TERM_WITHIN: Duration = Duration::from_secs(60);

/// Everything the loop works with. All descriptors are non-blocking.
#[derive(Debug)]
pub struct Server {
    pub instance: Instance,
    pub clients: Clients,
    pub listener: UnixListener,
    pub signals: SignalFd,
    /// Runs on CLOCK_BOOTTIME: the timeout of `poll` stands still while the machine is suspended.
    pub timer: TimerFd,
    pub journal: Journal,
    pub watchdog: Watchdog,
    /// Asked to leave as soon as nothing is left.
    pub leaving: bool,
}

/// Which descriptors have something, by one `poll`.
struct Ready {
    signals: bool,
    listener: bool,
    /// Indexes of clients.
    clients: Vec<usize>,
}

impl Server {
    /// Until the guard has left. The duty comes first in each turn, before any request: one that
    /// waited in a socket while the guard was frozen must not prolong what has ended.
    pub fn run(&mut self) -> Result<(), GuardError> {
        loop {
            self.look();
            if self.leaving && self.instance.is_empty() {
                return Ok(());
            }
            self.arm().map_err(GuardError::system("arm the timer"))?;
            let ready = self.wait().map_err(GuardError::system("wait for events"))?;
            self.look();
            if ready.signals {
                self.take_signals();
            }
            for index in ready.clients {
                self.serve(index);
            }
            self.clients.drop_broken();
            if ready.listener {
                self.clients.accept(&self.listener);
            }
        }
    }

    fn look(&mut self) {
        for event in self.instance.look(clock::now()) {
            self.journal.say(sentence(&event));
            self.clients.tell_all(&event);
        }
        if let Some(line) = self.watchdog.turn(self.instance.deadline(), clock::now()) {
            self.journal.say(line);
        }
    }

    /// Setting the timer also takes back an expiry that was not read.
    fn arm(&self) -> Result<(), Errno> {
        let watchdog = self.watchdog.wake_at(self.instance.deadline(), clock::now());
        match [self.instance.wake_at(), watchdog].into_iter().flatten().min() {
            None => self.timer.unset(),
            Some(Tick(ms)) => {
                // A time of zero would disarm it.
                let at = TimeSpec::from_duration(Duration::from_millis(ms.max(1)));
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
        }
    }

    fn wait(&self) -> Result<Ready, Errno> {
        let mut fds = vec![
            PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
        ];
        for client in self.clients.iter() {
            let mut wanted = PollFlags::POLLIN;
            wanted.set(PollFlags::POLLOUT, client.has_unsent());
            fds.push(PollFd::new(client.stream.as_fd(), wanted));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let has = |fd: &PollFd| fd.any().unwrap_or(true);
        Ok(Ready {
            signals: has(&fds[1]),
            listener: has(&fds[2]),
            clients: (0..self.clients.len()).filter(|index| has(&fds[3 + index])).collect(),
        })
    }

    /// SIGCHLD needs only the next look; SIGHUP and SIGINT are read and forgotten.
    fn take_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            if i32::try_from(info.ssi_signo) == Ok(Signal::SIGTERM as i32) && !self.leaving {
                self.journal.say(format!("SIGTERM from process `{}`", info.ssi_pid));
                self.leaving = true;
                self.instance.stop(StopMode::Fast, TERM_WITHIN).ok();
            }
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(client) = self.clients.get(index) else { return };
        client.flush();
        for line in client.read() {
            let said = self.answer(&line);
            if let Some(client) = self.clients.get(index) {
                client.send(&said);
            }
            self.look();
        }
    }

    fn answer(&mut self, line: &[u8]) -> Said {
        let malformed = |error: serde_json::Error| Refusal::Malformed { error: error.to_string() };
        let (id, request) = match serde_json::from_slice(line) {
            Ok(Asked { id, request }) => (id, serde_json::from_value(request)),
            Err(error) => (0, Err(error)),
        };
        let outcome = request.map_err(malformed).and_then(|request| self.perform(request));
        let reply = outcome.unwrap_or_else(|refusal| {
            self.journal.say(format!("refused: {refusal}"));
            Reply::Refused { refusal }
        });
        Said::Reply { id, reply }
    }

    fn perform(&mut self, request: Request) -> Result<Reply, Refusal> {
        if let Some(summary) = summary(&request) {
            self.journal.say(summary);
        }
        match request {
            Request::State => {
                let watchdog = self.watchdog.state();
                return Ok(Reply::State(State { watchdog, ..self.instance.state() }));
            }
            Request::Watch { wish } => self.watchdog.wish(wish),
            Request::Start { .. } if self.leaving => return Err(Refusal::Leaving),
            Request::Start { program, args, env, log, deadline } => {
                if let Some(deadline) = deadline.filter(|_| self.instance.is_empty()) {
                    if self.watchdog.is_too_late(deadline, clock::now()) {
                        return Err(Refusal::DeadlinePassed { deadline });
                    }
                    self.arm_watchdog(deadline)?;
                }
                self.instance.start(&program, &args, &env, &log, deadline)?;
            }
            Request::Extend { deadline } => {
                // A standby is about to be promoted: nothing is owed yet that this could delay.
                if self.instance.deadline().is_none() && !self.instance.is_empty() {
                    self.arm_watchdog(deadline)?;
                }
                self.instance.extend(deadline)?;
            }
            Request::Disarm => self.instance.disarm()?,
            Request::Stop { mode, within_ms } => {
                self.instance.stop(mode, Duration::from_millis(u64::from(within_ms)))?;
            }
            Request::Kill => self.instance.kill()?,
            Request::Reload => self.instance.reload()?,
            Request::Leave => {
                self.instance.may_leave()?;
                self.leaving = true;
            }
        }
        Ok(Reply::Done)
    }

    fn arm_watchdog(&mut self, deadline: Tick) -> Result<(), Refusal> {
        self.watchdog.ready(deadline).map_err(|error| Refusal::NoWatchdog { error })
    }
}

/// A request for the log, if it is rare enough for a line. Without arguments and environment:
/// they may hold secrets.
fn summary(request: &Request) -> Option<String> {
    Some(match request {
        Request::Start { deadline: Some(deadline), .. } => {
            format!("start as primary, deadline: `{deadline}`")
        }
        Request::Start { .. } => "start as standby".to_owned(),
        Request::Disarm => "disarm: a standby now".to_owned(),
        Request::Stop { mode, within_ms } => format!("stop {mode:?}, within ms: `{within_ms}`"),
        Request::Kill => "kill every process".to_owned(),
        Request::Leave => "asked to leave".to_owned(),
        Request::Extend { .. } | Request::Reload | Request::State | Request::Watch { .. } => {
            return None;
        }
    })
}

fn sentence(event: &Event) -> String {
    match event {
        Event::Exited(exit) => {
            let after = exit.empty_at.since(exit.ended_at).as_millis();
            let why = if exit.fenced { ", fenced" } else { "" };
            let status = exit.status;
            format!("server ended{why}, no process left after {after} ms: `{status}`")
        }
        Event::Fenced { deadline, at } => {
            format!("the deadline `{deadline}` was not extended, fencing at `{at}`")
        }
        Event::Gone => String::new(),
    }
}
