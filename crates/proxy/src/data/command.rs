//! What operators tell a thread: to begin nothing for a database, to let go of its servers, to send
//! clients away.

use std::collections::BTreeSet;

use howdah_wire::ErrorResponse;
use tokio::sync::oneshot;

use super::common::lock;
use super::thread::Thread;

/// What is to be done, for one database or all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// Nothing new begins, servers go as soon as they are free; done when all have gone.
    Pause,
    Resume,
    /// Servers go as soon as they are free, and others are opened.
    Reconnect,
    /// The same as a pause, at once, and clients go too.
    Kill,
    /// Done when no server is left that is to go.
    WaitClose,
    KillClient(u64),
}

/// An answer that waits; `true`: it was done, `false`: there is no such client.
pub(super) struct Waits {
    what: Command,
    database: Option<String>,
    reply: oneshot::Sender<bool>,
}

/// What operators have said is to begin nothing.
#[derive(Default)]
pub(super) struct Paused {
    all: bool,
    databases: BTreeSet<String>,
}

impl Paused {
    pub fn holds(&self, database: &str) -> bool {
        self.all || self.databases.contains(database)
    }

    fn set(&mut self, database: Option<&str>, paused: bool) {
        match (database, paused) {
            (None, _) => self.all = paused,
            (Some(database), true) => drop(self.databases.insert(database.to_owned())),
            (Some(database), false) => drop(self.databases.remove(database)),
        }
    }
}

impl Thread {
    pub(super) fn command(
        &mut self,
        what: Command,
        database: Option<String>,
        reply: oneshot::Sender<bool>,
    ) {
        let scope = database.as_deref();
        match what {
            Command::Pause | Command::Kill => {
                self.paused.set(scope, true);
                self.hold_anew();
                if what == Command::Kill {
                    self.kill_clients(scope);
                }
                self.let_go(scope, what == Command::Kill);
            }
            Command::Resume => {
                self.paused.set(scope, false);
                self.hold_anew();
                // Whoever waits for a pause waits for what does not come any more.
                for at in (0..self.waits.len()).rev() {
                    let Waits { what, database: of, .. } = &self.waits[at];
                    if *what == Command::Pause && *of == database {
                        let _ = self.waits.swap_remove(at).reply.send(true);
                    }
                }
            }
            Command::Reconnect => self.let_go(scope, false),
            Command::WaitClose => {}
            Command::KillClient(id) => {
                let found = self.clients.iter().find(|(_, client)| client.marks.id == id);
                let found = found.map(|(at, _)| at);
                if let Some(at) = found {
                    self.end_client_with(at, &killed());
                }
                let _ = reply.send(found.is_some());
                return;
            }
        }
        self.waits.push(Waits { what, database, reply });
        self.answer_operators();
    }

    /// Tells those who wait for servers to go when they have gone.
    pub(super) fn answer_operators(&mut self) {
        for at in (0..self.waits.len()).rev() {
            let Waits { what, database, .. } = &self.waits[at];
            let concerned = |pool| match database {
                Some(database) => self.pools[pool].key.database == *database,
                None => true,
            };
            let mut servers = self.servers.iter().filter(|(_, server)| concerned(server.pool));
            let done = match what {
                Command::Pause => {
                    let opening =
                        self.pools.iter().any(|(at, pool)| pool.opening > 0 && concerned(at));
                    // Those that go from one thread to another count there.
                    let left = lock(&self.board).accounts.connections_of(database.as_deref());
                    !opening && servers.next().is_none() && left == 0
                }
                Command::WaitClose => !servers.any(|(_, server)| server.stale),
                _ => true,
            };
            if done || self.waits[at].reply.is_closed() {
                let _ = self.waits.swap_remove(at).reply.send(true);
            }
        }
    }

    /// Pools are held where they have to be, and others are not.
    pub(super) fn hold_anew(&mut self) {
        for at in self.pools.iter().map(|(at, _)| at).collect::<Vec<_>>() {
            self.hold(at);
            self.pay(at);
            self.open_more(at);
        }
        self.grant();
    }

    pub(super) fn hold(&mut self, at: usize) {
        let Some(pool) = self.pools.get_mut(at) else { return };
        let paused = self.paused.holds(&pool.key.database);
        let held = paused || self.routes.hold(&self.topology, pool.key.endpoint);
        pool.hold(held, self.me, &mut lock(&self.board));
    }

    /// Servers are closed, when nobody uses them or all at once.
    fn let_go(&mut self, database: Option<&str>, now: bool) {
        self.lets += 1;
        let mut go = Vec::new();
        for (at, server) in &mut self.servers {
            if database.is_none_or(|name| self.pools[server.pool].key.database == name) {
                server.stale = true;
                let busy = server.client.is_some() || server.resetting || server.tidying;
                if now || !busy && server.cancelling == 0 {
                    go.push(at);
                }
            }
        }
        go.into_iter().for_each(|at| self.lose_server(at));
    }

    fn kill_clients(&mut self, database: Option<&str>) {
        let concerned =
            |pool: usize| database.is_none_or(|name| self.pools[pool].key.database == name);
        let all = self.clients.iter().filter(|(_, client)| concerned(client.pool));
        let all: Vec<_> = all.map(|(at, _)| at).collect();
        all.into_iter().for_each(|at| self.end_client_with(at, &killed()));
    }
}

fn killed() -> ErrorResponse {
    ErrorResponse::fatal("57P01", "terminating connection due to administrator command")
        .hint("connect again: an operator ends clients at the console, or the pooler has stopped")
}
