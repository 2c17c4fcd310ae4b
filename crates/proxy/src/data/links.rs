//! Who has which server: asked for, given, taken back, lost.

use howdah_spec::PoolMode;
use howdah_wire::walk::HEAD_LEN;
use howdah_wire::{ErrorResponse, Message, Severity};
use tokio::sync::oneshot;

use super::Ask;
use super::client::Doing;
use super::common::lock;
use super::server::Server;
use super::thread::Thread;
use crate::pool::Asked;

impl Thread {
    /// A client needs a server. Whether it has one at once.
    pub(super) fn request(&mut self, at: usize) -> bool {
        let by = self.by();
        let Some(client) = self.clients.get_mut(at) else { return false };
        client.marks.wanted = self.now;
        self.tickets += 1;
        let (number, ticket) = (client.pool, self.tickets);
        let account = self.pools[number].account;
        let asked = lock(&self.board).request(by, account, client.class, (at, ticket));
        match asked {
            Asked::Placed { idle } => {
                if let Some(server) = self.pools[number].idle.pop_if(|_| idle) {
                    self.link(at, server);
                    return true;
                }
                self.owe(at);
            }
            Asked::Waits(count) => {
                client.doing = Doing::Waiting { since: self.now, ticket };
                if count > self.policy.waiting_max as usize {
                    let error = ErrorResponse::fatal("53300", "too many clients wait for a server")
                        .hint(format!("`{}` wait already", self.policy.waiting_max));
                    self.end_client_with(at, &error);
                }
            }
        }
        false
    }

    pub(super) fn link(&mut self, client: usize, at: usize) {
        let linked = &mut self.clients[client];
        linked.doing = Doing::Linked(at);
        let session = self.pools[linked.pool].rules.mode == PoolMode::Session;
        if linked.welcomed || session {
            self.pools[linked.pool].stats.linked(&linked.marks, self.now);
        }
        let server = &mut self.servers[at];
        server.client = Some(client);
        server.class = self.clients[client].class;
        server.half.fail_unsure(self.pools[server.pool].rules.unsure_commit_fails);
        server.used = false;
        let check = self.pools[server.pool].rules.times.server_check;
        let idle = self.now.saturating_duration_since(server.since);
        server.unchecked = check.is_some_and(|check| idle > check);
        server.since = self.now;
        server.turn(self.now, true);
    }

    /// A server is nobody's: it goes to whoever is owed one. With it comes back a place, of this
    /// class and in use for so many microseconds, and goes to whoever waits.
    pub(super) fn free(&mut self, at: usize, place: Option<(usize, u64)>) {
        let by = self.by();
        let old = self.is_old(at);
        let server = &self.servers[at];
        let pool = &mut self.pools[server.pool];
        let account = pool.account;
        let mut board = lock(&self.board);
        if let Some((class, busy)) = place {
            board.release(by, account, class, busy);
        }
        let paused = self.paused.holds(&pool.key.database);
        if server.stale || paused || old || board.accounts.is_beyond(account) {
            drop(board);
            return self.lose_server(at);
        }
        // Threads that lack servers take turns.
        pool.gave = !pool.gave && board.lacks_elsewhere(by.me, account);
        let client = if pool.is_held() || pool.gave { None } else { pool.owed.pop_front() };
        match client {
            Some(_) => board.owes(by.me, account, pool.owed.len()),
            None => {
                pool.idle.push(at);
                board.put_idle(by, account, &mut self.deals);
            }
        }
        board.grant(by, &mut self.deals);
        drop(board);
        if let Some(client) = client {
            self.link(client, at);
            self.later(client);
        }
        self.carry_out();
    }

    /// Clients that are owed a server get those that are free, unless nothing is to begin.
    pub(super) fn pay(&mut self, at: usize) {
        loop {
            let Some(pool) = self.pools.get_mut(at).filter(|pool| !pool.is_held()) else { return };
            if pool.owed.is_empty() || !lock(&self.board).take_idle(self.me, pool.account) {
                return;
            }
            let Some(server) = pool.idle.pop() else { return };
            let Some(client) = pool.owed.pop_front() else { return };
            self.link(client, server);
            self.later(client);
        }
    }

    /// Whether it has served as long as it is to.
    fn is_old(&self, at: usize) -> bool {
        let server = &self.servers[at];
        let lifetime = self.pools[server.pool].rules.times.server_lifetime;
        lifetime.is_some_and(|lifetime| self.now - server.opened > lifetime)
    }

    /// Places that have come free go to those who wait, and connections that may be opened now are.
    pub(super) fn grant(&mut self) {
        let by = self.by();
        lock(&self.board).grant(by, &mut self.deals);
        self.carry_out();
    }

    /// It has gone, or is to go, with these last words.
    pub(super) fn end_client_with(&mut self, at: usize, error: &ErrorResponse) {
        let mut word = Vec::new();
        error.encode(&mut word);
        self.end_client(at, &word);
    }

    pub(super) fn end_client(&mut self, at: usize, word: &[u8]) {
        let Some(client) = self.clients.try_remove(at) else { return };
        let (by, number, class) = (self.by(), client.pool, client.class);
        let pool = &mut self.pools[number];
        pool.clients -= 1;
        let account = pool.account;
        if let Doing::Linked(server) = client.doing {
            self.take_back(server, client.half.is_between());
        }
        let pool = &mut self.pools[number];
        let mut board = lock(&self.board);
        match client.doing {
            Doing::Idle | Doing::Linked(_) => {}
            Doing::Waiting { ticket, .. } => {
                // A place that has been granted meanwhile is given back when that is heard.
                board.accounts.give_up(account, class, (by.me, at, ticket));
            }
            Doing::Owed { .. } => {
                pool.owed.retain(|other| *other != at);
                board.release(by, account, class, 1);
                let owed = if pool.is_held() { 0 } else { pool.owed.len() };
                board.need(by, account, owed, &mut self.deals);
            }
        }
        board.accounts.leave(account, class);
        board.grant(by, &mut self.deals);
        drop(board);
        client.conn.close(word);
        self.carry_out();
        self.forget_unused(number);
    }

    /// The client of a server has gone: what it left is thrown away, and what it has asked is
    /// cancelled.
    fn take_back(&mut self, at: usize, between: bool) {
        let by = self.by();
        let server = &mut self.servers[at];
        server.client = None;
        server.since = self.now;
        let settled = server.half.is_clean() && server.checking.is_none();
        if settled && between && server.cancelling == 0 && !server.stale {
            server.resetting = true;
            (server.dirty, server.reset) = (false, false);
            server.half.query("DISCARD ALL", true, &mut self.to_server);
            let sent = server.conn.send(self.to_server.slices(&[]));
            self.to_server.clear();
            if sent.is_ok() {
                return;
            }
        } else if !server.half.replies().is_empty() {
            let (site, key) = (server.site.clone(), server.key.clone());
            // Its end is noticed by the server all the same, only later.
            let _ = self.asks.try_send(Ask::Cancel { site, key, server: at, born: 0, done: None });
        }
        let server = self.servers.remove(at);
        let pool = &mut self.pools[server.pool];
        pool.servers -= 1;
        let mut board = lock(&self.board);
        board.release(by, pool.account, server.class, 1);
        board.gone(by, pool.account, &mut self.deals);
        drop(board);
        server.conn.close(b"X\0\0\0\x04");
    }

    /// A server is of no more use.
    pub(super) fn lose_server(&mut self, at: usize) {
        let Some(mut server) = self.servers.try_remove(at) else { return };
        let (by, number) = (self.by(), server.pool);
        let pool = &mut self.pools[number];
        pool.servers -= 1;
        let idle = pool.idle.iter().position(|other| *other == at);
        let mut board = lock(&self.board);
        if let Some(idle) = idle {
            pool.idle.remove(idle);
            pool.broken += u32::from(!board.lose_idle(by.me, pool.account));
        }
        if server.client.is_some() || server.resetting || server.tidying {
            board.release(by, pool.account, server.class, 1);
        }
        board.gone(by, pool.account, &mut self.deals);
        drop(board);
        if let Some(client) = server.client {
            let ahead = server.ahead.take().filter(|_| !server.used);
            if let Some(begun) = ahead.and_then(|ahead| ahead.begun) {
                // Where only settings were told, it is the client's still.
                self.clients[client].begun = Some(begun);
            }
            self.bereave(client, &server);
        }
        server.conn.close(b"X\0\0\0\x04");
        self.grant();
        self.open_more(number);
        self.forget_unused(number);
    }

    /// A client has lost its server: it hears so once and goes on, unless something of its session
    /// is lost with it, or a message broke off in the middle.
    fn bereave(&mut self, at: usize, server: &Server) {
        let client = &mut self.clients[at];
        client.doing = Doing::Idle;
        client.stuck = false;
        if client.half.is_alone() {
            return self.later(at);
        }
        if !client.welcomed || !server.used {
            // Nothing has been done for it: another one will do.
            if self.request(at) {
                self.later(at);
            }
            return;
        }
        let unknown = server.dirty || server.checking.is_some();
        let mode = self.pools[client.pool].rules.mode;
        let broken = server.last_words.as_deref().is_some_and(is_the_clients_fault);
        let stays = mode == PoolMode::Session || client.pinned || unknown || broken;
        let mut error = gone(if stays { Severity::Fatal } else { Severity::Error });
        if stays || !server.half.is_between() {
            if !server.half.is_between() {
                error.clear();
            }
            return self.end_client(at, &error);
        }
        let error = server.last_words.as_ref().unwrap_or(&error);
        let mut out = Vec::new();
        client.half.bereave(&server.half, error, &mut out);
        match client.conn.send(std::iter::once(&out[..])) {
            Ok(()) => self.later(at),
            Err(_) => self.end_client(at, &[]),
        }
    }

    pub(super) fn forget_unused(&mut self, at: usize) {
        let Some(pool) = self.pools.get(at).filter(|pool| pool.is_unused()) else { return };
        let account = pool.account;
        // What is still to be done comes first.
        if self.deals.iter().any(|(to, about, _)| *to == self.me && *about == account)
            || !lock(&self.board).close(self.me, account)
        {
            return;
        }
        let pool = self.pools.remove(at);
        self.by_account.remove(&account);
        self.by_key.remove(&pool.key);
        // Names of databases that nobody has got a server of are clients' own.
        if pool.stats.counts.assignments > 0 {
            self.gone.entry(pool.key.database).or_default().add(&pool.stats.counts);
        }
    }

    /// A cancel request with this key: it goes to the server that works for that client now.
    pub(super) fn cancel_of(&mut self, key: &[u8], done: oneshot::Sender<()>) {
        if let Some(at) = self.of_key(key).and_then(|client| self.clients[client].server()) {
            self.cancel(at, Some(done));
        }
    }

    /// What a server does for its client is cancelled.
    pub(super) fn cancel(&mut self, at: usize, done: Option<oneshot::Sender<()>>) {
        let server = &mut self.servers[at];
        // What the pooler asks itself is not to be cancelled.
        if !server.half.replies().owe_the_client() {
            return;
        }
        let (site, key, born) = (server.site.clone(), server.key.clone(), server.born);
        if self.asks.try_send(Ask::Cancel { site, key, server: at, born, done }).is_ok() {
            server.cancelling += 1;
        }
    }

    pub(super) fn cancelled(&mut self, at: usize, born: u64, heard: bool) {
        if let Some(server) = self.servers.get_mut(at).filter(|server| server.born == born) {
            server.cancelling -= 1;
            // It might hit whoever has the server then.
            server.stale |= !heard;
            self.settle(at);
        }
    }

    /// Servers that are not what their pool's clients want any more go when nobody uses them.
    pub(super) fn look_who_is_stale(&mut self) {
        let mut idle = Vec::new();
        for (at, server) in &mut self.servers {
            let endpoint = self.pools[server.pool].key.endpoint;
            server.stale |= !self.routes.lead_to(&self.topology, endpoint, &server.site);
            if server.stale && server.client.is_none() && !server.resetting && !server.tidying {
                idle.push(at);
            }
        }
        idle.into_iter().for_each(|at| self.lose_server(at));
    }
}

pub(super) fn gone(severity: Severity) -> Vec<u8> {
    let mut out = Vec::new();
    let message = "the server of this transaction is gone".to_owned();
    let hint = Some("whether what was under way was committed is not known".to_owned());
    ErrorResponse { severity, code: "57P01", message, hint }.encode(&mut out);
    out
}

/// The server has ended because of what its client said, as it does of one that speaks of other
/// things while COPY reads data: what such a client waits for nobody knows.
fn is_the_clients_fault(last_words: &[u8]) -> bool {
    let state = last_words.get(HEAD_LEN..).and_then(|body| Message { kind: b'E', body }.sqlstate());
    state == Some(b"08P01")
}
