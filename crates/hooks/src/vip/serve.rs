//! The helper's one loop: the deadline's timer, SIGTERM, clients.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use howdah_base::Tick;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{Expiration, TimerFd, TimerSetTimeFlags};

use super::connections;
use super::duty::{Due, Duty};
use super::error::VipError;
use super::kernel::Kernel;
use super::message::{LINE_BYTES_MAX, Reply, Request, line};
use super::{DROP_BEFORE, HelperOptions};
use crate::clock;

/// The agent, its successor while it starts, and people who look; the oldest makes room.
const CLIENTS_MAX: usize = 8;
/// The helper ends although the address cannot be removed, after so many attempts: the kernel
/// removes it at the end of its lifetime.
const LAST_REMOVALS_MAX: u32 = 20;

/// Everything the loop works with. All descriptors are non-blocking.
#[derive(Debug)]
pub struct Server {
    pub options: HelperOptions,
    pub duty: Duty,
    pub kernel: Kernel,
    pub listener: UnixListener,
    pub signals: SignalFd,
    /// Runs on CLOCK_BOOTTIME: the timeout of `poll` stands still while the machine is suspended.
    pub timer: TimerFd,
    pub clients: Vec<Client>,
    /// Asked to end as soon as the address has gone.
    pub leaving: bool,
    pub say: super::setup::Say,
}

#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    unread: Vec<u8>,
}

impl Server {
    /// Until it is told to leave. The duty comes first in each turn, before any request: one that
    /// waited in a socket while the helper was frozen must not prolong what has ended.
    pub fn run(&mut self) -> Result<(), VipError> {
        loop {
            self.look();
            if self.leaving && self.duty.is_empty() {
                return Ok(());
            }
            self.arm().map_err(VipError::system("arm the timer"))?;
            let (signals, listener, clients) =
                self.wait().map_err(VipError::system("wait for events"))?;
            self.look();
            if signals && matches!(self.signals.read_signal(), Ok(Some(_))) {
                self.say.line("asked to end by a signal");
                self.leave();
            }
            for index in clients.into_iter().rev() {
                if self.serve(index).is_none() {
                    self.clients.remove(index);
                }
            }
            if listener {
                self.accept();
            }
        }
    }

    fn look(&mut self) {
        match self.duty.look(clock::now()) {
            Due::Nothing => {}
            Due::Remove => {
                let _ = self.remove();
            }
            Due::Announce => {
                if let Err(error) = self.kernel.announce() {
                    self.say.line(&format!("cannot announce: {error}"));
                }
            }
        }
    }

    fn remove(&mut self) -> Result<(), VipError> {
        match connections::reset(self.options.address) {
            Ok(0) => {}
            Ok(count) => self.say.line(&format!("connections reset: `{count}`")),
            Err(error) => self.say.line(&format!("goes on all the same: {error}")),
        }
        let removed = self.kernel.remove();
        match &removed {
            Ok(()) => {
                self.say.line("the address is not here any more");
                self.duty.removed();
            }
            Err(error) => {
                self.say.line(&format!("cannot remove the address: {error}"));
                self.duty.not_removed(clock::now());
            }
        }
        removed
    }

    fn leave(&mut self) {
        self.leaving = true;
        for _ in 0..LAST_REMOVALS_MAX {
            if self.remove().is_ok() {
                return;
            }
        }
        self.say.line("ends without having removed the address");
        self.duty.removed();
    }

    /// Setting the timer also takes back an expiry that was not read.
    fn arm(&self) -> Result<(), Errno> {
        match self.duty.wake_at() {
            None => self.timer.unset(),
            Some(Tick(ms)) => {
                // A time of zero would disarm it.
                let at = TimeSpec::from_duration(Duration::from_millis(ms.max(1)));
                self.timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
        }
    }

    /// Who has something: signals, the listener, clients by their index.
    fn wait(&self) -> Result<(bool, bool, Vec<usize>), Errno> {
        let mut fds = vec![
            PollFd::new(self.timer.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
        ];
        let clients = self.clients.iter();
        fds.extend(clients.map(|client| PollFd::new(client.stream.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        let has = |fd: &PollFd<'_>| fd.any().unwrap_or(true);
        let ready = (0..self.clients.len()).filter(|index| has(&fds[3 + index])).collect();
        Ok((has(&fds[1]), has(&fds[2]), ready))
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.clients.len() >= CLIENTS_MAX {
                self.clients.remove(0);
            }
            self.clients.push(Client { stream, unread: Vec::new() });
        }
    }

    /// Reads one piece only, so that who never stops talking cannot keep the helper from its
    /// deadline. `None`: the client is gone, or none of ours.
    fn serve(&mut self, index: usize) -> Option<()> {
        let mut bytes = [0; LINE_BYTES_MAX];
        let client = self.clients.get_mut(index)?;
        match client.stream.read(&mut bytes) {
            Ok(count @ 1..) => client.unread.extend_from_slice(&bytes[..count]),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Some(());
            }
            _ => return None,
        }
        while let Some(end) = self.clients[index].unread.iter().position(|byte| *byte == b'\n') {
            let text: Vec<u8> = self.clients[index].unread.drain(..=end).collect();
            let reply = self.answer(&text);
            // A client that does not take one small answer does not read.
            self.clients[index].stream.write_all(&line(&reply)).ok()?;
        }
        (self.clients[index].unread.len() < LINE_BYTES_MAX).then_some(())
    }

    fn answer(&mut self, text: &[u8]) -> Reply {
        let outcome = match serde_json::from_slice(text) {
            Ok(request) => self.perform(request),
            Err(error) => Err(format!("not a request: {error}")),
        };
        Reply {
            pid: std::process::id(),
            address: self.options.address,
            prefix: self.options.prefix,
            interface: self.options.interface.clone(),
            holds: self.duty.is_held(),
            until: self.duty.until(),
            error: outcome.err(),
        }
    }

    fn perform(&mut self, request: Request) -> Result<(), String> {
        match request {
            Request::State => Ok(()),
            Request::Hold { .. } if self.leaving => Err("the helper is about to end".to_owned()),
            Request::Hold { until } => self.hold(until),
            Request::Drop => {
                self.duty.drop(clock::now());
                if self.duty.is_empty() {
                    return Ok(());
                }
                self.remove().map_err(|error| error.to_string())
            }
            Request::Leave => {
                self.say.line("asked to end");
                self.leave();
                Ok(())
            }
        }
    }

    /// The kernel's lifetime ends with the deadline too.
    fn hold(&mut self, until: Tick) -> Result<(), String> {
        let now = clock::now();
        self.duty.may_hold(until, now)?;
        self.kernel.add(now.until(until - DROP_BEFORE)).map_err(|error| error.to_string())?;
        if self.duty.holds(until, now) {
            self.say.line("the address is here now");
            self.look();
        }
        Ok(())
    }
}
