//! What time brings: waits that are over, connections that are tried again, servers that are let go.

use std::time::Duration;

use howdah_wire::ErrorResponse;

use super::client::{Client, Doing};
use super::server::Server;
use super::thread::Thread;
use super::{Ask, NotOpened};
use crate::policy::Times;

const TICK: Duration = Duration::from_millis(100);
/// After its statement was cancelled for taking too long a server is given so long to end it.
const CANCEL_MAX: Duration = Duration::from_secs(5);

/// What has taken too long.
enum Late {
    Cancel,
    End(ErrorResponse),
}

impl Thread {
    pub(super) fn tick(&mut self) {
        self.next_tick = self.now + TICK;
        self.end_late();
        self.drop_unused();
        for at in self.pools.iter().map(|(at, _)| at).collect::<Vec<_>>() {
            self.look_at_reserve(at);
            self.open_more(at);
        }
        self.grant();
    }

    fn end_late(&mut self) {
        let late = |(at, client): (usize, &Client)| {
            let times = &self.pools[client.pool].rules.times;
            Some((at, self.late(client, times)?))
        };
        let late: Vec<_> = self.clients.iter().filter_map(late).collect();
        for (at, what) in late {
            match what {
                Late::Cancel => self.cancel_late(at),
                Late::End(error) => self.end_client_with(at, &error),
            }
        }
    }

    fn late(&self, client: &Client, times: &Times) -> Option<Late> {
        let over = |since, bound: Option<Duration>| {
            bound.is_some_and(|bound| self.now.saturating_duration_since(since) > bound)
        };
        let end = |code, message: &str, hint: &str| {
            let error = ErrorResponse::fatal(code, message);
            Some(Late::End(error.hint(format!("the bound is the pool's `{hint}`"))))
        };
        if let (Doing::Idle, Some(begun)) = (client.doing, &client.begun) {
            return match over(begun.at, times.transaction) {
                true => end("25P04", "transaction timeout", "transaction"),
                false if over(client.spoke, times.idle_transaction) => {
                    end("25P03", "idle transaction timeout", "idle_transaction")
                }
                false => None,
            };
        }
        let at = match client.doing {
            Doing::Waiting { since } | Doing::Owed { since } if over(since, Some(times.wait)) => {
                return end("57P03", "no server became free in time", "wait");
            }
            Doing::Waiting { .. } | Doing::Owed { .. } => return None,
            Doing::Idle if client.welcomed && over(client.spoke, times.client_idle) => {
                return end("57P05", "client idle timeout", "client_idle");
            }
            Doing::Idle => return None,
            Doing::Linked(at) => at,
        };
        let server = &self.servers[at];
        if server.half.is_clean() {
            let idle = client.welcomed && over(client.spoke, times.client_idle);
            return idle.then(|| end("57P05", "client idle timeout", "client_idle")).flatten();
        }
        if over(server.begun, times.transaction) {
            return end("25P04", "transaction timeout", "transaction");
        }
        if server.half.replies().is_empty() {
            let idle = over(server.turned, times.idle_transaction);
            return idle
                .then(|| end("25P03", "idle transaction timeout", "idle_transaction"))
                .flatten();
        }
        match server.timed_out {
            Some(since) if over(since, Some(CANCEL_MAX)) => end("57014", "query timeout", "query"),
            None if over(server.turned, times.query) => Some(Late::Cancel),
            _ => None,
        }
    }

    /// Its statement is cancelled: the server says so, and the client stays.
    fn cancel_late(&mut self, at: usize) {
        if let Some(server) = self.clients.get(at).and_then(Client::server) {
            self.servers[server].timed_out = Some(self.now);
            self.cancel(server, None);
        }
    }

    /// Servers that nobody has used for long, or that have served their time. Of the old ones one
    /// of each pool at a time: they may be of one age.
    fn drop_unused(&mut self) {
        let mut gone = Vec::new();
        for (_, pool) in &self.pools {
            let times = &pool.rules.times;
            let over = |since, bound: Option<Duration>| {
                bound.is_some_and(|bound| self.now.saturating_duration_since(since) > bound)
            };
            let is_unused = |server: &Server| over(server.since, times.server_idle);
            let is_old = |server: &Server| over(server.opened, times.server_lifetime);
            let spare = pool.servers.saturating_sub(pool.rules.min) as usize;
            let unused = pool.idle.iter().filter(|at| is_unused(&self.servers[**at]));
            let old = pool.idle.iter().find(|at| is_old(&self.servers[**at]));
            gone.extend(unused.take(spare).chain(old).copied());
        }
        gone.into_iter().for_each(|at| self.lose_server(at));
        self.drop_beyond();
    }

    /// Limits have become smaller.
    fn drop_beyond(&mut self) {
        for at in self.pools.iter().map(|(at, _)| at).collect::<Vec<_>>() {
            while let Some(pool) = self.pools.get(at)
                && self.accounts.is_beyond(pool.account)
                && let Some(idle) = pool.idle.first().copied()
            {
                self.drop_idle(idle);
            }
        }
    }

    /// Whoever has waited long enough may have one of the reserve.
    fn look_at_reserve(&mut self, at: usize) {
        // One that nobody used any more has gone to make room for another's.
        let Some(pool) = self.pools.get(at).filter(|pool| pool.rules.reserve > 0) else { return };
        let wait = pool.rules.reserve_wait;
        let waits_long = |waiter: u64| {
            // Waiters are clients' places in this thread.
            let client = self.clients.get(waiter as usize);
            let since = client.and_then(Client::waits_since);
            since.is_some_and(|since| self.now.saturating_duration_since(since) >= wait)
        };
        let beyond = self.accounts.in_use(pool.account) > pool.rules.size;
        let reserving = beyond || self.accounts.first(pool.account).any(waits_long);
        self.accounts.reserve(pool.account, reserving);
    }

    /// Asks for the servers that a pool is short of.
    pub(super) fn open_more(&mut self, at: usize) {
        let Some(pool) = self.pools.get(at) else { return };
        for _ in 0..pool.wants(self.now) {
            if !self.has_room(at) {
                return;
            }
            let pool = &mut self.pools[at];
            let ask = Ask::Open { pool: pool.key.clone(), secret: pool.secret.clone() };
            if self.asks.try_send(ask).is_err() {
                // Too much is asked for already: at the next tick.
                return;
            }
            pool.opening += 1;
            self.accounts.connect(pool.account);
        }
    }

    /// Whether a pool may open one more. Where a limit is reached that it shares with others, one
    /// of theirs goes that nobody uses.
    fn has_room(&mut self, at: usize) -> bool {
        let pool = &self.pools[at];
        let urgent = pool.owed.len() > pool.opening as usize;
        let account = pool.account;
        while let Err(level) = self.accounts.may_connect(account) {
            let others = self.pools.iter().filter(|(other, _)| *other != at);
            let idle = others
                .filter(|(_, pool)| self.accounts.counts_at(pool.account, level))
                .flat_map(|(_, pool)| pool.idle.iter().copied());
            let Some(oldest) = idle.min_by_key(|server| self.servers[*server].since) else {
                return false;
            };
            if !urgent {
                return false;
            }
            self.drop_idle(oldest);
        }
        true
    }

    /// A server could not be opened.
    pub(super) fn not_opened(&mut self, at: usize, why: NotOpened) {
        let pool = &mut self.pools[at];
        pool.retry_at = Some(self.now + pool.rules.times.retry);
        let word = match why {
            NotOpened::Away(why) => {
                tracing::debug!(
                    database = pool.key.database,
                    user = pool.key.user,
                    why,
                    "no server"
                );
                return;
            }
            NotOpened::Refused(word) => word,
        };
        if pool.servers > 0 {
            // Others of its kind are there, and will come free.
            return;
        }
        let hear: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| client.pool == at && client.waits_since().is_some())
            .map(|(at, _)| at)
            .collect();
        hear.into_iter().for_each(|client| self.end_client(client, &word));
    }
}
