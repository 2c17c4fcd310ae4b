//! What time brings: waits that are over, connections that are tried again, servers that nobody
//! has used for long.

use std::time::Duration;

use howdah_wire::ErrorResponse;

use super::thread::Thread;
use super::{Ask, NotOpened};

const TICK: Duration = Duration::from_millis(100);
/// Before a server is dialled again that could not be reached.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// A server that nobody has used for so long is let go: PgBouncer's `server_idle_timeout`.
const IDLE_MAX: Duration = Duration::from_secs(600);

impl Thread {
    pub(super) fn tick(&mut self) {
        self.next_tick = self.now + TICK;
        let wait = self.limits.wait;
        let late: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| client.waits_since().is_some_and(|at| self.now - at > wait))
            .map(|(at, _)| at)
            .collect();
        for at in late {
            let error = ErrorResponse::fatal("57P03", "no server became free in time")
                .hint(format!("it has waited for {wait:?} (`connect_wait`)"));
            self.end_client_with(at, &error);
        }
        let idle: Vec<_> = self
            .servers
            .iter()
            .filter(|(_, server)| server.client.is_none() && self.now - server.since > IDLE_MAX)
            .map(|(at, _)| at)
            .collect();
        idle.into_iter().for_each(|at| self.lose_server(at));
        for pool in self.pools.iter().map(|(at, _)| at).collect::<Vec<_>>() {
            self.open_more(pool);
        }
    }

    /// Asks for the servers that a pool is short of.
    pub(super) fn open_more(&mut self, at: usize) {
        let Some(pool) = self.pools.get_mut(at) else { return };
        for _ in 0..pool.wants(&self.limits, self.now) {
            let ask = Ask::Open { pool: pool.key.clone(), secret: pool.secret.clone() };
            if self.asks.try_send(ask).is_err() {
                // Too much is asked for already: at the next tick.
                return;
            }
            pool.opening += 1;
        }
    }

    /// A server could not be opened.
    pub(super) fn not_opened(&mut self, at: usize, why: NotOpened) {
        let pool = &mut self.pools[at];
        pool.retry_at = Some(self.now + RETRY_AFTER);
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
