//! What a client needs of its server before its first word there: its settings, and the BEGIN that
//! it was answered while it had none. Both go out in one write with what it says.

use std::rc::Rc;
use std::time::Instant;
use std::{io, mem};

use howdah_spec::PoolMode;
use howdah_wire::relay::{self, session};

use super::client::sense;
use super::thread::Thread;
use crate::Endpoint;

/// A transaction that a client has begun, and of which no server has heard.
pub(super) struct Begun {
    how: relay::Begun,
    /// When it said so.
    pub at: Instant,
}

/// What a server has been told ahead of its client's word, and has not answered.
#[derive(Default)]
pub(super) struct Ahead {
    /// What the client said behind it: it may have to be said again.
    pub said: Vec<u8>,
    /// What the server was told of.
    pub begun: Option<Begun>,
    /// It is looked whether it is still there.
    pub checks: bool,
}

impl Thread {
    /// Answers a BEGIN of a client without a server, if it has said nothing else. Whether it has.
    pub(super) fn begin(&mut self, at: usize, came: &[u8]) -> io::Result<bool> {
        let client = &mut self.clients[at];
        let pool = &mut self.pools[client.pool];
        if !b"QPB".contains(&came[0])
            || pool.rules.mode != PoolMode::Transaction
            || !client.welcomed
        {
            return Ok(false);
        }
        let Some(how) = client.half.begin(came).filter(|_| client.begun.is_none()) else {
            return Ok(false);
        };
        if !how.is_taken_anywhere() && pool.key.endpoint != Endpoint::Rw {
            return Ok(false);
        }
        let mut out = Vec::new();
        client.half.answer_begin(&how, &mut self.known, client.sense, &mut out);
        client.begun = Some(Begun { how, at: self.now });
        client.conn.send(std::iter::once(&out[..]))?;
        pool.stats.begun(&mut client.marks, self.now);
        Ok(true)
    }

    /// Tells a server what has to be so before it hears its client; how many bytes of what the
    /// client says may go out with that. `None`: they are kept for later.
    pub(super) fn tell_ahead(&mut self, at: usize, number: usize, came: &[u8]) -> Option<usize> {
        let (client, server) = (&mut self.clients[at], &mut self.servers[number]);
        let waits = server.checking.as_ref().is_some_and(|check| check.waits);
        if server.ahead.is_some() || waits {
            client.stuck = true;
            client.conn.keep(came);
            return None;
        }
        let differs = !Rc::ptr_eq(&server.settings, &client.settings);
        if !differs && client.begun.is_none() && !server.unchecked {
            return Some(came.len());
        }
        if !server.half.is_clean() {
            if server.used && differs && server.half.will_be_clean() {
                // Its client is gone on with when something comes of it.
                client.stuck = true;
                client.conn.keep(came);
                return None;
            }
            if server.used {
                return Some(came.len());
            }
            // It is in the middle of something that nobody has asked: another one will do.
            client.conn.keep(came);
            self.lose_server(number);
            return None;
        }
        let replay = match differs {
            true => session::replay(&server.settings, &client.settings),
            false => None,
        };
        let checks = mem::take(&mut server.unchecked);
        // Whatever it answers, it is there.
        let replay = replay.or_else(|| checks.then(String::new));
        server.turn(self.now, true);
        server.settings = Rc::clone(&client.settings);
        client.sense = sense(&client.settings);
        if replay.is_none() && (client.begun.is_none() || came.is_empty()) {
            return Some(came.len());
        }
        client.half.settle();
        // Of a server that has something of its client's a failure is the end.
        let at_once = client.welcomed && !client.careful && !server.used && !checks;
        let first = match at_once {
            true => client.half.first(came, replay.is_some()),
            false => None,
        };
        client.careful = false;
        let Some(first) = first else {
            client.conn.keep(came);
            client.stuck = true;
            self.tell_apart(at, number, replay.as_deref(), checks);
            return None;
        };
        let begin = client.begun.as_ref().map(|begun| &begun.how);
        server.half.tell_ahead(replay.as_deref(), begin, &mut self.to_server);
        let begun = client.begun.take();
        if let Some(begun) = &begun {
            server.begun = begun.at;
        }
        server.ahead = Some(Ahead { begun, ..Ahead::default() });
        Some(first)
    }

    /// The server answers before the client's word goes out: one thing at a time.
    fn tell_apart(&mut self, at: usize, number: usize, replay: Option<&str>, checks: bool) {
        let (client, server) = (&mut self.clients[at], &mut self.servers[number]);
        let mut ahead = Ahead { checks, ..Ahead::default() };
        match replay {
            Some(replay) => server.half.query(replay, false, &mut self.to_server),
            None => {
                ahead.begun = client.begun.take();
                if let Some(Begun { how, at }) = &ahead.begun {
                    server.half.tell_begin(how, &mut self.to_server);
                    server.begun = *at;
                }
            }
        }
        server.ahead = Some(ahead);
        let sent = server.conn.send(self.to_server.slices(&[]));
        self.to_server.clear();
        if sent.is_err() {
            self.lose_server(number);
        }
    }

    /// What a server was told ahead has failed, and it has done nothing of what its client said. It
    /// is used no more: what would have to be said to make it clean is more than a new one costs.
    pub(super) fn not_ahead(&mut self, number: usize, what: relay::Ahead, error: &[u8]) {
        let Some(server) = self.servers.get_mut(number) else { return };
        let ahead = server.ahead.take().unwrap_or_default();
        // As far as its client goes.
        server.used = false;
        if let Some(client) = server.client.and_then(|at| self.clients.get_mut(at)) {
            let rest = [&ahead.said[..], &client.conn.rest].concat();
            client.conn.keep(&rest);
            client.half.unsay();
            match what {
                // Then it hears by itself what is wrong with them.
                relay::Ahead::Settings => {
                    client.careful = true;
                    client.begun = ahead.begun;
                }
                relay::Ahead::Begin => client.half.fail_begin(error),
            }
        }
        self.lose_server(number);
    }
}
