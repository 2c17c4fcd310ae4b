//! A server goes from one thread to another: nobody's at the time, clean, and with all that is known
//! of it.

use std::time::Instant;

use howdah_base::Held as Counted;
use howdah_wire::relay::ServerHalf;
use howdah_wire::relay::session::Settings;
use howdah_wire::relay::statements::Held;

use super::common::lock;
use super::conn::Conn;
use super::poller::Token;
use super::server::Server;
use super::stats::us;
use super::thread::Thread;
use super::{Order, Parameters};
use crate::route::Site;

/// A server that no thread has at the moment.
pub(crate) struct Parcel {
    conn: Conn,
    half: ServerHalf,
    /// No two threads have the same numbers of statements.
    held: Held,
    settings: Settings,
    site: Site,
    key: Vec<u8>,
    born: u64,
    opened: Instant,
    parameters: Parameters,
    dirty: bool,
    load: Counted,
    /// How often operators had told its thread to let go of servers.
    lets: u64,
}

impl Thread {
    /// The server that is idle here for longest goes to another thread, or word that it is gone.
    pub(super) fn lend(&mut self, at: usize, to: usize) {
        let by = self.by();
        let Some(server) = self.take_promised(at) else {
            let account = self.pools[at].account;
            lock(&self.board).not_lent(by, account, to, &mut self.deals);
            return;
        };
        let server = self.servers.remove(server);
        let pool = &mut self.pools[at];
        pool.servers -= 1;
        let Server { mut conn, half, held, settings, site, key, born, opened, .. } = server;
        let Server { parameters, dirty, _load: load, .. } = server;
        if let Some(arm) = conn.arm.take() {
            // A descriptor that epoll does not know has no changes to tell either.
            let _ = arm.remove(conn.socket());
        }
        let parcel = Parcel {
            conn,
            half,
            held,
            settings: (*settings).clone(),
            site,
            key,
            born,
            opened,
            parameters,
            dirty,
            load,
            lets: self.lets,
        };
        let account = pool.account;
        lock(&self.board).sent(by.me, account);
        self.note_oldest(at);
        self.peers[to].tell(Order::Server { account, parcel: Box::new(parcel) });
    }

    /// An idle server that is promised, unless it has ended meanwhile.
    pub(super) fn take_promised(&mut self, at: usize) -> Option<usize> {
        let keeps = self.keeps_promise(at);
        let idle = &mut self.pools[at].idle;
        (keeps && !idle.is_empty()).then(|| idle.remove(0))
    }

    /// The server that is idle longest has gone.
    pub(super) fn note_oldest(&mut self, at: usize) {
        let by = self.by();
        let Some(pool) = self.pools.get(at) else { return };
        let Some(oldest) = pool.idle.first() else { return };
        let since = self.servers[*oldest].since.saturating_duration_since(self.start);
        lock(&self.board).oldest_idle(by, pool.account, us(since));
    }

    /// Another thread's server has come.
    pub(super) fn take_parcel(&mut self, account: usize, parcel: Parcel) {
        let Some(pool) = self.by_account.get(&account).copied() else { return };
        let Parcel { conn, half, held, settings, mut site, key, born, opened, .. } = parcel;
        let Parcel { parameters, dirty, load, lets, .. } = parcel;
        let endpoint = self.pools[pool].key.endpoint;
        let over = site.is_over(&self.topology);
        let stale =
            over || lets != self.lets || !self.routes.lead_to(&self.topology, endpoint, &site);
        let at = self.servers.insert(Server {
            settings: self.interned.of(settings),
            held,
            parameters,
            dirty,
            opened,
            stale,
            ..Server::new(conn, half, site, key, load, pool, born, self.now)
        });
        self.pools[pool].servers += 1;
        lock(&self.board).arrived(self.me, account);
        match self.poller.add(self.servers[at].conn.socket(), Token::Server(at)) {
            Ok(arm) => {
                let conn = &mut self.servers[at].conn;
                conn.arm = Some(arm);
                // What has come meanwhile its new socket set tells; what TLS has read, nobody.
                conn.readable = true;
                // It may have said that it ends: then nobody is to have it.
                self.server_ready(at);
                if self.servers.get(at).is_some_and(|server| server.born == born) {
                    self.free(at, None);
                }
            }
            Err(_) => self.lose_server(at),
        }
    }
}
