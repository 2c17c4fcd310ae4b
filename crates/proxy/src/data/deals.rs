//! What threads agree on at the board, carried out: places that were granted, servers that move, make
//! room, or are to be opened.

use std::sync::Arc;

use super::client::{Client, Doing};
use super::common::lock;
use super::thread::Thread;
use super::{Ask, Order, PoolKey};
use crate::pool::Deal;

impl Thread {
    /// Does what the board has said so far, or tells the thread that is to.
    pub(super) fn carry_out(&mut self) {
        while let Some((thread, account, deal)) = self.deals.pop_front() {
            if thread == self.me {
                self.deal(account, deal);
            } else {
                self.peers[thread].tell(Order::Deal { account, deal });
            }
        }
    }

    /// Another thread has agreed on something for this one.
    pub(super) fn take_deal(&mut self, account: usize, deal: Deal) {
        lock(&self.board).received(self.me, account, deal);
        self.deal(account, deal);
        self.carry_out();
        if let Some(pool) = self.by_account.get(&account).copied() {
            self.forget_unused(pool);
        }
    }

    fn deal(&mut self, account: usize, deal: Deal) {
        if let Deal::Granted { client, ticket, class, idle } = deal {
            return self.granted(account, client, ticket, (class, idle));
        }
        let Some(pool) = self.by_account.get(&account).copied() else { return };
        match deal {
            Deal::Granted { .. } => {}
            Deal::Lend { to } => self.lend(pool, to),
            Deal::NotLent => self.open_more(pool),
            Deal::Open => self.open_one(pool),
            Deal::Drop { room_for } => self.make_room(pool, room_for),
        }
        self.forget_unused(pool);
    }

    /// A client that waits has a place, if it still does.
    fn granted(&mut self, account: usize, at: usize, ticket: u64, (class, idle): (usize, bool)) {
        let by = self.by();
        let waits = |client: &&Client| match client.doing {
            Doing::Waiting { ticket: own, .. } => own == ticket,
            _ => false,
        };
        let client = self.clients.get(at).filter(waits).map(|client| client.pool);
        match client {
            // Nothing begins any more: it keeps the place, and the server is nobody's.
            Some(pool) if self.pools[pool].is_held() => {
                if idle && self.keeps_promise(pool) {
                    lock(&self.board).put_idle(by, account, &mut self.deals);
                }
                self.owe(at);
            }
            Some(pool) if idle => match self.take_granted(pool) {
                Some(server) => {
                    self.link(at, server);
                    self.later(at);
                }
                None => self.owe(at),
            },
            Some(pool) => {
                if lock(&self.board).take_idle(by.me, account)
                    && let Some(server) = self.pools[pool].idle.pop()
                {
                    self.link(at, server);
                    self.later(at);
                } else {
                    self.owe(at);
                }
            }
            None => self.give_back(account, class, idle),
        }
    }

    /// The idle server that was promised with a place: the one that was used last.
    fn take_granted(&mut self, at: usize) -> Option<usize> {
        if self.keeps_promise(at) { self.pools[at].idle.pop() } else { None }
    }

    /// Whether the idle server that was promised is there, and has not ended meanwhile.
    pub(super) fn keeps_promise(&mut self, at: usize) -> bool {
        let pool = &mut self.pools[at];
        let keeps = pool.broken == 0;
        pool.broken -= u32::from(!keeps);
        keeps
    }

    /// Who was granted a place does not want it any more.
    fn give_back(&mut self, account: usize, class: usize, idle: bool) {
        let by = self.by();
        let free = match self.by_account.get(&account).copied() {
            Some(pool) if idle => self.keeps_promise(pool),
            _ => false,
        };
        let mut board = lock(&self.board);
        board.release(by, account, class, 1);
        if free {
            board.put_idle(by, account, &mut self.deals);
        }
        board.grant(by, &mut self.deals);
        drop(board);
        if let Some(pool) = self.by_account.get(&account).copied() {
            self.forget_unused(pool);
        }
    }

    /// A client has a place and no server.
    pub(super) fn owe(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.doing = Doing::Owed { since: self.now };
        let pool = client.pool;
        self.pools[pool].owed.push_back(at);
        self.open_more(pool);
    }

    /// Asks for the servers that a pool is short of.
    pub(super) fn open_more(&mut self, at: usize) {
        let by = self.by();
        let Some(pool) = self.pools.get(at) else { return };
        let owed = if pool.is_held() { 0 } else { pool.owed.len() };
        let mut board = lock(&self.board);
        board.need(by, pool.account, owed, &mut self.deals);
        if pool.clients > 0 && pool.rules.min > 0 && !pool.is_held() {
            board.keep(by, pool.account, pool.rules.min, &mut self.deals);
        }
        drop(board);
        self.carry_out();
    }

    /// A connection counts already; it is asked for.
    fn open_one(&mut self, at: usize) {
        let by = self.by();
        let pool = &mut self.pools[at];
        let secret = lock(&self.board).own(pool.account).secret.clone();
        let ask = Ask::Open { pool: pool.key.clone(), secret };
        if self.asks.try_send(ask).is_ok() {
            pool.opening += 1;
            return;
        }
        // Too much is asked for already: at the next tick.
        let later = by.now + super::tick::TICK_US;
        lock(&self.board).not_opened(by, pool.account, later, &mut self.deals);
    }

    /// The server that is idle here for longest goes.
    fn make_room(&mut self, at: usize, room_for: usize) {
        let server = self.take_promised(at);
        lock(&self.board).evicted(room_for);
        match server {
            Some(server) => self.lose_server(server),
            None => {
                let by = self.by();
                lock(&self.board).grant(by, &mut self.deals);
            }
        }
        self.note_oldest(at);
    }

    /// The clients of a pool that wait hear why there is no server for them, at every thread.
    pub(super) fn refuse(&mut self, at: usize, word: Vec<u8>) {
        let (key, account) = (self.pools[at].key.clone(), self.pools[at].account);
        let others = lock(&self.board).others(self.me, account);
        let word: Arc<[u8]> = word.into();
        for thread in others {
            let (pool, word) = (key.clone(), word.clone());
            self.peers[thread].tell(Order::Refused { pool, word });
        }
        self.refused(&key, &word);
    }

    pub(super) fn refused(&mut self, key: &PoolKey, word: &[u8]) {
        let Some(pool) = self.by_key.get(key).copied() else { return };
        let waits = self.clients.iter().filter(|(_, client)| client.pool == pool);
        let hear: Vec<_> =
            waits.filter(|(_, client)| client.waits_since().is_some()).map(|(at, _)| at).collect();
        hear.into_iter().for_each(|client| self.end_client(client, word));
    }
}
