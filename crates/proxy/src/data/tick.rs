//! What time brings: waits that are over, connections that are tried again, servers that are let go.

use std::time::Duration;

use howdah_wire::ErrorResponse;

use super::NotOpened;
use super::client::{Client, Doing};
use super::common::lock;
use super::server::Server;
use super::stats::us;
use super::thread::Thread;
use crate::policy::Times;
#[cfg(debug_assertions)]
use crate::pool::Has;

pub(super) const EVERY: Duration = Duration::from_micros(TICK_US);
pub(super) const TICK_US: u64 = 100_000;
/// After its statement was cancelled for taking too long a server is given so long to end it.
const CANCEL_MAX: Duration = Duration::from_secs(5);
/// A server that does not answer an empty query for so long is taken for gone.
const CHECK_MAX: Duration = Duration::from_secs(3);

/// What has taken too long.
enum Late {
    Cancel,
    /// Its server: the client gets another.
    Lose(usize),
    End(ErrorResponse),
}

impl Thread {
    pub(super) fn tick(&mut self) {
        self.end_late();
        self.drop_unused();
        for at in self.pools.iter().map(|(at, _)| at).collect::<Vec<_>>() {
            self.look_at_reserve(at);
            self.open_more(at);
            self.forget_unused(at);
        }
        self.grant();
        #[cfg(debug_assertions)]
        self.check();
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
                Late::Lose(server) => self.lose_server(server),
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
            Doing::Waiting { since, .. } | Doing::Owed { since }
                if over(since, Some(times.wait)) =>
            {
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
        if server.ahead.as_ref().is_some_and(|ahead| ahead.checks) {
            return over(server.turned, Some(CHECK_MAX)).then_some(Late::Lose(at));
        }
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
        let (mut unused, mut old) = (Vec::new(), Vec::new());
        for (_, pool) in &self.pools {
            let times = &pool.rules.times;
            let over = |since, bound: Option<Duration>| {
                bound.is_some_and(|bound| self.now.saturating_duration_since(since) > bound)
            };
            let is_unused = |server: &Server| over(server.since, times.server_idle);
            let is_old = |server: &Server| over(server.opened, times.server_lifetime);
            unused.extend(pool.idle.iter().filter(|at| is_unused(&self.servers[**at])));
            old.extend(pool.idle.iter().find(|at| is_old(&self.servers[**at])));
        }
        for at in unused {
            let Some(server) = self.servers.get(at) else { continue };
            let pool = &self.pools[server.pool];
            if lock(&self.board).servers(pool.account) > pool.rules.min {
                self.lose_idle(at);
            }
        }
        old.into_iter().for_each(|at| self.lose_idle(at));
        self.drop_beyond();
    }

    /// Limits have become smaller.
    fn drop_beyond(&mut self) {
        for at in self.pools.iter().map(|(at, _)| at).collect::<Vec<_>>() {
            while let Some(pool) = self.pools.get(at)
                && let Some(idle) = pool.idle.first().copied()
                && lock(&self.board).accounts.is_beyond(pool.account)
            {
                self.lose_server(idle);
            }
        }
    }

    /// An idle server goes, unless it has been used meanwhile.
    fn lose_idle(&mut self, at: usize) {
        let Some(server) = self.servers.get(at) else { return };
        let pool = server.pool;
        if self.pools[pool].idle.contains(&at) {
            self.lose_server(at);
            self.note_oldest(pool);
        }
    }

    /// Whoever has waited long enough may have one of the reserve.
    fn look_at_reserve(&mut self, at: usize) {
        // One that nobody used any more has gone to make room for another's.
        let Some(pool) = self.pools.get(at).filter(|pool| pool.rules.reserve > 0) else { return };
        let (size, wait) = (pool.rules.size, us(pool.rules.reserve_wait));
        lock(&self.board).look_at_reserve(self.by(), pool.account, size, wait);
    }

    /// A server could not be opened.
    pub(super) fn not_opened(&mut self, at: usize, why: NotOpened) {
        let by = self.by();
        let pool = &self.pools[at];
        let account = pool.account;
        let mut board = lock(&self.board);
        let retry_at = by.now.saturating_add(us(pool.rules.times.retry));
        board.not_opened(by, account, retry_at, &mut self.deals);
        let others = board.servers(account) > 0;
        drop(board);
        self.carry_out();
        match why {
            NotOpened::Away(why) => {
                let key = &self.pools[at].key;
                tracing::debug!(database = key.database, user = key.user, why, "no server");
            }
            // Else others of its kind are there, and will come free.
            NotOpened::Refused(word) if !others => self.refuse(at, word),
            NotOpened::Refused(_) => {}
        }
    }

    /// Counts are what they count.
    #[cfg(debug_assertions)]
    fn check(&self) {
        for (at, pool) in &self.pools {
            let mine = self.servers.iter().filter(|(_, server)| server.pool == at);
            let (mut servers, mut places) = (0, pool.owed.len());
            for (_, server) in mine {
                servers += 1;
                let used = server.client.is_some() || server.resetting || server.tidying;
                places += usize::from(used);
            }
            let clients = self.clients.iter().filter(|(_, client)| client.pool == at).count();
            assert_eq!((servers, clients), (pool.servers, pool.clients), "{:?}", pool.key);
            let has = Has {
                places: u32::try_from(places).unwrap_or(u32::MAX),
                idle: u32::try_from(pool.idle.len()).unwrap_or(u32::MAX),
                broken: pool.broken,
                servers: pool.servers,
            };
            let wrong = lock(&self.board).wrong(self.me, pool.account, has);
            assert_eq!(wrong, None, "{:?}", pool.key);
        }
    }
}
