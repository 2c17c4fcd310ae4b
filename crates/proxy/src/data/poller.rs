//! Which sockets may be read or written: each change is told once (edge-triggered epoll, epoll(7)),
//! whoever has something for the thread can wake it, and so does its clock.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Events taken at once.
const EVENTS_MAX: usize = 256;
const WAKE: u64 = u64::MAX;
const TICK: u64 = u64::MAX - 1;

/// Whose socket it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Token {
    Client(usize),
    Server(usize),
    /// There are orders.
    Wake,
    /// Time has passed.
    Tick,
}

impl Token {
    fn to_number(self) -> u64 {
        match self {
            Token::Client(at) => (at as u64) << 1,
            Token::Server(at) => (at as u64) << 1 | 1,
            Token::Wake => WAKE,
            Token::Tick => TICK,
        }
    }

    fn of_number(number: u64) -> Token {
        match number {
            WAKE => Token::Wake,
            TICK => Token::Tick,
            // Positions in this process's memory.
            server if server & 1 == 1 => Token::Server((server >> 1) as usize),
            client => Token::Client((client >> 1) as usize),
        }
    }
}

/// What has changed at a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ready {
    pub read: bool,
    pub write: bool,
    /// The other side has hung up.
    pub gone: bool,
}

pub(super) struct Poller {
    epoll: Arc<Epoll>,
    waker: Arc<Waker>,
    /// A wait with a bound of its own would set a timer and take it back each time.
    clock: TimerFd,
    events: Vec<EpollEvent>,
}

impl Poller {
    /// `every`: how often it tells that time has passed.
    pub fn new(every: Duration) -> io::Result<Poller> {
        let epoll = Arc::new(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        let event = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        epoll.add(&event, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, WAKE))?;
        let waker = Arc::new(Waker(event));
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let clock = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
        let every = Expiration::Interval(TimeSpec::from_duration(every));
        clock.set(every, TimerSetTimeFlags::empty())?;
        epoll.add(&clock, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, TICK))?;
        Ok(Poller { epoll, waker, clock, events: vec![EpollEvent::empty(); EVENTS_MAX] })
    }

    pub fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    /// From now on its changes are told, what it is ready for now among them.
    pub fn add(&self, socket: &impl AsFd, token: Token) -> io::Result<Arm> {
        let arm = Arm { epoll: Arc::clone(&self.epoll), token: token.to_number(), armed: false };
        self.epoll.add(socket, EpollEvent::new(flags(false), arm.token))?;
        Ok(arm)
    }

    /// Waits for changes, or only looks, and puts them into `into`.
    pub fn wait(&mut self, looks: bool, into: &mut Vec<(Token, Ready)>) -> io::Result<()> {
        let timeout = if looks { EpollTimeout::ZERO } else { EpollTimeout::NONE };
        let count = match self.epoll.wait(&mut self.events, timeout) {
            Ok(count) => count,
            Err(nix::errno::Errno::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        into.extend(self.events[..count].iter().map(|event| {
            let has = |flags| event.events().intersects(flags);
            let gone = has(EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR);
            let ready = Ready {
                read: gone || has(EpollFlags::EPOLLIN),
                write: has(EpollFlags::EPOLLOUT),
                gone,
            };
            (Token::of_number(event.data()), ready)
        }));
        Ok(())
    }

    /// Takes the wake-ups so far.
    pub fn woken(&self) {
        // Nothing to take is fine: somebody else has woken it.
        let _ = self.waker.0.read();
    }

    /// Takes the time that has passed; it goes on from then.
    pub fn ticked(&self) {
        let _ = self.clock.wait();
    }
}

/// Has one socket tell when it takes more, or not. A Unix socket would tell after each read of the
/// other side's, and nearly nobody ever waits for it.
pub(super) struct Arm {
    epoll: Arc<Epoll>,
    token: u64,
    armed: bool,
}

impl Arm {
    /// `on`: from now on it tells, what it takes now among it.
    pub fn set(&mut self, socket: &impl AsFd, on: bool) -> io::Result<()> {
        if self.armed != on {
            self.epoll.modify(socket, &mut EpollEvent::new(flags(on), self.token))?;
            self.armed = on;
        }
        Ok(())
    }

    /// It tells nothing any more.
    pub fn remove(self, socket: &impl AsFd) -> io::Result<()> {
        Ok(self.epoll.delete(socket)?)
    }
}

fn flags(writes: bool) -> EpollFlags {
    let reads = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
    if writes { reads | EpollFlags::EPOLLOUT } else { reads }
}

/// Wakes the thread from any other.
pub(super) struct Waker(EventFd);

impl Waker {
    pub fn wake(&self) {
        // Full means that it is about to wake.
        let _ = self.0.write(1);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn changes_are_told_once_and_by_token() {
        let mut poller = Poller::new(Duration::from_secs(3_600)).expect("epoll");
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let mut arm = poller.add(&ours, Token::Server(7)).expect("added");
        poller.waker().wake();
        theirs.write_all(b"x").expect("written");
        let mut seen = Vec::new();
        poller.wait(false, &mut seen).expect("waited");
        assert!(seen.iter().any(|(token, _)| *token == Token::Wake), "{seen:?}");
        assert!(
            seen.contains(&(Token::Server(7), Ready { read: true, write: false, gone: false }))
        );
        seen.clear();
        arm.set(&ours, true).expect("armed");
        poller.wait(false, &mut seen).expect("waited");
        assert!(seen.iter().any(|(_, ready)| ready.write), "{seen:?}");
        // What a socket is ready for is told anew with each change of what it is asked.
        arm.set(&ours, false).expect("disarmed");
        poller.wait(true, &mut seen).expect("waited");
        seen.clear();
        poller.wait(true, &mut seen).expect("waited");
        assert_eq!(seen, []);
        drop(theirs);
        poller.wait(false, &mut seen).expect("waited");
        assert!(seen.iter().any(|(_, ready)| ready.gone), "{seen:?}");
    }

    #[test]
    fn time_that_passes_is_told_again_and_again() {
        let mut poller = Poller::new(Duration::from_millis(1)).expect("epoll");
        for _ in 0..3 {
            let mut seen = Vec::new();
            poller.wait(false, &mut seen).expect("waited");
            assert!(seen.iter().all(|(token, _)| *token == Token::Tick), "{seen:?}");
            poller.ticked();
        }
    }
}
