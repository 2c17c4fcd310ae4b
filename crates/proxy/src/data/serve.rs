//! The turns of connections: what is read of a client goes to its server, and what is read of a
//! server is heard.

use std::io;
use std::mem;

use howdah_wire::ErrorResponse;
use howdah_wire::relay::{Linked, Then};

use super::client::Doing;
use super::server::Server;
use super::thread::Thread;

/// What the statements of one client may take, bytes.
const STATEMENTS_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Reads of one connection before it is the others' turn.
const TURNS: usize = 16;

impl Thread {
    /// A client is gone on with at the end of this turn of the loop.
    pub(super) fn later(&mut self, at: usize) {
        let client = self.clients.get_mut(at);
        if client.is_some_and(|client| !mem::replace(&mut client.queued, true)) {
            self.todo.push_back(at);
        }
    }

    /// A server is read from in the next turn of the loop.
    pub(super) fn later_server(&mut self, at: usize) {
        let server = self.servers.get_mut(at);
        if server.is_some_and(|server| !mem::replace(&mut server.queued, true)) {
            self.again.push_back(at);
        }
    }

    /// A client has something to say, hears again, or has gone.
    pub(super) fn client_ready(&mut self, at: usize) {
        for _ in 0..TURNS {
            match self.client_turn(at) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return self.end_client(at, &[]),
            }
        }
        self.later(at);
    }

    /// Whether there may be more to do.
    fn client_turn(&mut self, at: usize) -> io::Result<bool> {
        let Some(client) = self.clients.get_mut(at) else { return Ok(false) };
        client.conn.flush()?;
        let blocked = client.conn.is_blocked();
        let waits = match client.doing {
            Doing::Idle => false,
            Doing::Linked(number) => {
                let server = &mut self.servers[number];
                if !blocked && server.conn.readable && !mem::replace(&mut server.queued, true) {
                    self.again.push_back(number);
                }
                client.stuck || !client.welcomed || server.conn.is_blocked()
            }
            Doing::Waiting { .. } | Doing::Owed { .. } => {
                return if client.conn.gone {
                    Err(io::ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(false)
                };
            }
        };
        if waits || blocked || !client.conn.readable {
            return Ok(false);
        }
        let mut buffer = mem::take(&mut self.buffer);
        let turned = self.read_client(at, &mut buffer);
        self.buffer = buffer;
        turned
    }

    fn read_client(&mut self, at: usize, buffer: &mut [u8]) -> io::Result<bool> {
        let Some(client) = self.clients.get_mut(at) else { return Ok(false) };
        let Some(len) = client.conn.read(buffer)? else { return Ok(false) };
        client.spoke = self.now;
        let stats = &mut self.pools[client.pool].stats;
        stats.counts.received += len as u64;
        let mut joined = mem::take(&mut client.conn.rest);
        let came = match joined.is_empty() {
            true => &buffer[..len],
            false => {
                joined.extend_from_slice(&buffer[..len]);
                &joined
            }
        };
        if client.half.is_alone() {
            self.answer_alone(at, came)?;
            return Ok(true);
        }
        if client.doing == Doing::Idle {
            if came[0] == b'X' && client.half.is_between() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if self.begin(at, came)? {
                return Ok(true);
            }
            let (client, now) = (&mut self.clients[at], self.now);
            self.pools[client.pool].stats.said(&mut client.marks, now);
            if !self.request(at) {
                if let Some(client) = self.clients.get_mut(at) {
                    client.conn.keep(came);
                }
                return Ok(false);
            }
        }
        self.follow(at, came)?;
        Ok(true)
    }

    /// A client that has got a server, or an answer that it waited for, is followed further.
    pub(super) fn go_on(&mut self, at: usize) {
        let Some(client) = self.clients.get_mut(at) else { return };
        client.stuck = false;
        let came = mem::take(&mut client.conn.rest);
        let followed = if client.half.is_alone() {
            self.answer_alone(at, &came)
        } else if client.doing == Doing::Idle && !came.is_empty() && !self.request(at) {
            if let Some(client) = self.clients.get_mut(at) {
                client.conn.keep(&came);
            }
            return;
        } else {
            self.follow(at, &came)
        };
        match followed {
            Ok(()) => self.client_ready(at),
            Err(_) => self.end_client(at, &[]),
        }
    }

    /// Answers a client that has lost its server in the middle of something.
    fn answer_alone(&mut self, at: usize, came: &[u8]) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(at) else { return Ok(()) };
        let mut out = Vec::new();
        let followed = match client.half.speak_alone(came, &mut self.known, &mut out) {
            Ok(followed) => followed,
            Err(lost) => {
                let error = ErrorResponse::fatal("08P01", lost.to_string());
                self.end_client_with(at, &error);
                return Ok(());
            }
        };
        client.conn.send(std::iter::once(&out[..]))?;
        client.conn.keep(&came[followed.used..]);
        if followed.then == Then::Gone {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !client.half.is_alone() && !client.conn.rest.is_empty() {
            self.later(at);
        }
        Ok(())
    }

    /// Passes on what a client says.
    fn follow(&mut self, at: usize, came: &[u8]) -> io::Result<()> {
        let Some(client) = self.clients.get_mut(at) else { return Ok(()) };
        let Some(number) = client.server() else {
            client.conn.keep(came);
            return Ok(());
        };
        let Some(now) = self.tell_ahead(at, number, came) else { return Ok(()) };
        let (client, server) = (&mut self.clients[at], &mut self.servers[number]);
        if !came.is_empty() {
            server.used = true;
            let goes = came[0] == b'X' && client.half.is_between();
            if !goes {
                self.pools[client.pool].stats.said(&mut client.marks, self.now);
            }
        }
        if server.half.replies().is_empty() {
            server.turn(self.now, server.half.is_clean());
        }
        let Server { half, held, .. } = server;
        let (known, to_server) = (&mut self.known, &mut self.to_server);
        let settings = client.sense;
        let mut linked = Linked { server: half, held, known, settings, to_server };
        let followed = client.half.speak(&came[..now], &mut linked);
        server.dirty |= client.pinned && !came.is_empty();
        if let Some(leaves) = client.half.take_leaves() {
            server.dirty = true;
            client.leaves.add(&leaves);
        }
        let sent = server.conn.send(self.to_server.slices(came));
        self.to_server.clear();
        let followed = match followed {
            Ok(followed) => followed,
            Err(lost) => {
                let error = ErrorResponse::fatal("08P01", lost.to_string());
                self.end_client_with(at, &error);
                return Ok(());
            }
        };
        if client.half.names().bytes() > STATEMENTS_BYTES_MAX {
            let error = ErrorResponse::fatal("54000", "too many prepared statements")
                .hint("close those that are not used any more, or prepare fewer different ones");
            self.end_client_with(at, &error);
            return Ok(());
        }
        client.conn.keep(&came[followed.used..]);
        client.stuck = followed.then == Then::Answers || now < came.len();
        if let Some(ahead) = &mut server.ahead {
            ahead.said = came[..followed.used].to_vec();
        }
        if followed.then == Then::Gone {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if sent.is_err() {
            self.lose_server(number);
            return Ok(());
        }
        self.make_due(number);
        Ok(())
    }

    /// What the client of a server said last came to nothing by no fault of the client's.
    pub(super) fn say_again(&mut self, number: usize) -> io::Result<()> {
        let Some(server) = self.servers.get_mut(number) else { return Ok(()) };
        let Some(client) = server.client.and_then(|at| self.clients.get_mut(at)) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let Server { half, held, .. } = server;
        let (known, to_server) = (&mut self.known, &mut self.to_server);
        let settings = client.sense;
        let mut linked = Linked { server: half, held, known, settings, to_server };
        let said = client.half.say_again(&mut linked);
        let sent = match said {
            Ok(said) => server.conn.send(self.to_server.slices(&said)),
            Err(_) => Err(io::ErrorKind::InvalidData.into()),
        };
        self.to_server.clear();
        sent
    }

    /// Answers that nobody else gives.
    fn make_due(&mut self, number: usize) {
        let Some(server) = self.servers.get_mut(number) else { return };
        let rest = mem::take(&mut server.conn.rest);
        self.hear(number, &rest);
    }

    /// A server has something to say, takes more, or has gone.
    pub(super) fn server_ready(&mut self, at: usize) {
        for _ in 0..TURNS {
            match self.server_turn(at) {
                Ok(true) => {}
                Ok(false) => return,
                Err(_) => return self.lose_server(at),
            }
        }
        // Its socket will not tell again what it has told.
        self.later_server(at);
    }

    fn server_turn(&mut self, at: usize) -> io::Result<bool> {
        let Some(server) = self.servers.get_mut(at) else { return Ok(false) };
        let was_blocked = server.conn.is_blocked();
        server.conn.flush()?;
        if let Some(client) = server.client {
            let blocked = self.clients[client].conn.is_blocked();
            if was_blocked && !server.conn.is_blocked() {
                self.later(client);
            }
            if blocked {
                return Ok(false);
            }
        }
        let Some(server) = self.servers.get_mut(at).filter(|server| server.conn.readable) else {
            return Ok(false);
        };
        let mut buffer = mem::take(&mut self.buffer);
        let len = server.conn.read(&mut buffer);
        if let Ok(Some(len)) = len {
            self.pools[server.pool].stats.counts.sent += len as u64;
            let mut joined = mem::take(&mut server.conn.rest);
            match joined.is_empty() {
                true => self.hear(at, &buffer[..len]),
                false => {
                    joined.extend_from_slice(&buffer[..len]);
                    self.hear(at, &joined);
                }
            }
        }
        self.buffer = buffer;
        Ok(len?.is_some())
    }
}
