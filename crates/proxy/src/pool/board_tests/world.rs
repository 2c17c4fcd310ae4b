//! Threads that are played: what they are told comes late and in the order in which each of them has
//! said it, servers end at any time, and clients come and go.

use std::collections::{BTreeMap, VecDeque};

use crate::pool::*;

pub const THREADS: usize = 3;
const KEYS: [&str; 3] = ["a", "b", "c"];

/// Numbers that follow from a seed: xorshift, G. Marsaglia, "Xorshift RNGs", 2003.
pub struct Chance(pub u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("64 bits") % end
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Doing {
    Idle,
    Waiting(u64),
    Owed,
    Has,
}

/// One pool of one thread.
#[derive(Default, Debug)]
pub struct Pool {
    pub clients: BTreeMap<usize, Doing>,
    pub owed: VecDeque<usize>,
    pub idle: u32,
    pub busy: u32,
    pub broken: u32,
    pub opening: u32,
}

pub enum Told {
    Deal(usize, Deal),
    /// A server comes.
    Server(usize),
}

/// Threads, and what is on its way between them.
pub struct World {
    pub board: Board<&'static str, ()>,
    pub threads: Vec<BTreeMap<usize, Pool>>,
    /// By sender and receiver.
    ways: BTreeMap<(usize, usize), VecDeque<Told>>,
    deals: Deals,
    pub now: u64,
    last: u64,
}

impl World {
    pub fn new(all: Option<u32>) -> World {
        let class = |guaranteed| Class { guaranteed, weight: 1 };
        World {
            board: Board::new(THREADS, all, &[class(30), class(0)]),
            threads: (0..THREADS).map(|_| BTreeMap::new()).collect(),
            ways: BTreeMap::new(),
            deals: Deals::new(),
            now: 0,
            last: 0,
        }
    }

    fn by(&self, me: usize) -> By {
        By { me, now: self.now }
    }

    fn pool(&mut self, me: usize, account: usize) -> &mut Pool {
        self.threads[me].entry(account).or_default()
    }

    pub fn come(&mut self, me: usize, key: &'static str, size: u32) -> (usize, usize) {
        let limits = PoolLimits { size, reserve: 0, database: None, role: None };
        let account = self.board.open(me, &key, (key, key), limits, ());
        self.last += 1;
        let client = usize::try_from(self.last).expect("few");
        self.board.accounts.enter(account, client % 2);
        self.pool(me, account).clients.insert(client, Doing::Idle);
        (account, client)
    }

    pub fn ask(&mut self, me: usize, account: usize, client: usize) {
        self.last += 1;
        let (by, ticket) = (self.by(me), self.last);
        match self.board.request(by, account, client % 2, (client, ticket)) {
            Asked::Placed { idle: true } => {
                let pool = self.pool(me, account);
                (pool.idle, pool.busy) = (pool.idle - 1, pool.busy + 1);
                pool.clients.insert(client, Doing::Has);
            }
            Asked::Placed { idle: false } => self.owe(me, account, client),
            Asked::Waits(_) => {
                self.pool(me, account).clients.insert(client, Doing::Waiting(ticket));
            }
        }
    }

    fn owe(&mut self, me: usize, account: usize, client: usize) {
        let pool = self.pool(me, account);
        pool.clients.insert(client, Doing::Owed);
        pool.owed.push_back(client);
        self.need(me, account);
    }

    fn need(&mut self, me: usize, account: usize) {
        let (by, owed) = (self.by(me), self.pool(me, account).owed.len());
        self.board.need(by, account, owed, &mut self.deals);
        self.carry_out(me);
    }

    /// A server is nobody's; with it comes a place back, or not.
    fn free(&mut self, me: usize, account: usize, place: Option<usize>) {
        let by = self.by(me);
        if let Some(class) = place {
            self.board.release(by, account, class, 10);
        }
        let pool = self.threads[me].entry(account).or_default();
        match pool.owed.pop_front() {
            Some(client) => {
                pool.busy += 1;
                pool.clients.insert(client, Doing::Has);
                self.board.owes(me, account, pool.owed.len());
            }
            None => {
                pool.idle += 1;
                self.board.put_idle(by, account, &mut self.deals);
            }
        }
        self.board.grant(by, &mut self.deals);
        self.carry_out(me);
    }

    pub fn done(&mut self, me: usize, account: usize, client: usize) {
        let pool = self.pool(me, account);
        pool.busy -= 1;
        pool.clients.insert(client, Doing::Idle);
        self.free(me, account, Some(client % 2));
    }

    pub fn leave(&mut self, me: usize, account: usize, client: usize) {
        let by = self.by(me);
        let doing = self.pool(me, account).clients.remove(&client).expect("a client");
        match doing {
            Doing::Idle => {}
            Doing::Waiting(ticket) => {
                self.board.accounts.give_up(account, client % 2, (me, client, ticket));
            }
            Doing::Owed => {
                let pool = self.pool(me, account);
                pool.owed.retain(|other| *other != client);
                let owed = pool.owed.len();
                self.board.release(by, account, client % 2, 1);
                self.board.need(by, account, owed, &mut self.deals);
            }
            Doing::Has => {
                // Its server ends with it.
                self.pool(me, account).busy -= 1;
                self.board.release(by, account, client % 2, 1);
                self.board.gone(by, account, &mut self.deals);
            }
        }
        self.board.accounts.leave(account, client % 2);
        self.board.grant(by, &mut self.deals);
        self.carry_out(me);
        self.close(me, account);
    }

    pub fn lose_idle(&mut self, me: usize, account: usize) {
        let by = self.by(me);
        let promised = !self.board.lose_idle(me, account);
        let pool = self.pool(me, account);
        pool.idle -= 1;
        pool.broken += u32::from(promised);
        self.board.gone(by, account, &mut self.deals);
        self.board.grant(by, &mut self.deals);
        self.carry_out(me);
        self.close(me, account);
    }

    fn open(&mut self, me: usize, account: usize, works: bool) {
        let by = self.by(me);
        self.pool(me, account).opening -= 1;
        if works {
            self.board.opened(me, account);
            return self.free(me, account, None);
        }
        self.board.not_opened(by, account, self.now + 50, &mut self.deals);
        self.carry_out(me);
        self.close(me, account);
    }

    fn close(&mut self, me: usize, account: usize) {
        let Some(pool) = self.threads[me].get(&account) else { return };
        let used = pool.idle + pool.busy + pool.opening + pool.broken;
        if self.deals.iter().any(|(to, about, _)| *to == me && *about == account) {
            return;
        }
        if pool.clients.is_empty() && used == 0 && self.board.close(me, account) {
            self.threads[me].remove(&account);
        }
    }

    fn carry_out(&mut self, me: usize) {
        while let Some((to, account, deal)) = self.deals.pop_front() {
            if to == me {
                self.deal(me, account, deal);
                self.close(me, account);
            } else {
                self.send(me, to, Told::Deal(account, deal));
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, told: Told) {
        self.ways.entry((from, to)).or_default().push_back(told);
    }

    fn hear(&mut self, from: usize, me: usize) {
        let Some(told) = self.ways.get_mut(&(from, me)).and_then(VecDeque::pop_front) else {
            return;
        };
        let account = match told {
            Told::Deal(account, deal) => {
                self.board.received(me, account, deal);
                self.deal(me, account, deal);
                self.carry_out(me);
                account
            }
            Told::Server(account) => {
                self.board.arrived(me, account);
                self.free(me, account, None);
                account
            }
        };
        self.close(me, account);
    }

    /// An idle server that was promised, unless it has ended.
    fn promised(&mut self, me: usize, account: usize) -> bool {
        let pool = self.threads[me].get_mut(&account).expect("it waits for what is on its way");
        let there = pool.broken == 0;
        pool.broken -= u32::from(!there);
        pool.idle -= u32::from(there);
        there
    }

    fn deal(&mut self, me: usize, account: usize, deal: Deal) {
        let by = self.by(me);
        assert!(self.threads[me].contains_key(&account), "{deal:?} comes too late");
        match deal {
            Deal::Granted { client, ticket, class, idle } => {
                let waits = self.pool(me, account).clients.get(&client).copied();
                if waits != Some(Doing::Waiting(ticket)) {
                    let there = idle && self.promised(me, account);
                    self.board.release(by, account, class, 1);
                    if there {
                        self.pool(me, account).idle += 1;
                        self.board.put_idle(by, account, &mut self.deals);
                    }
                    return self.board.grant(by, &mut self.deals);
                }
                let there = match idle {
                    true => self.promised(me, account),
                    false => {
                        let there = self.board.take_idle(me, account);
                        self.pool(me, account).idle -= u32::from(there);
                        there
                    }
                };
                if !there {
                    return self.owe(me, account, client);
                }
                let pool = self.pool(me, account);
                pool.busy += 1;
                pool.clients.insert(client, Doing::Has);
            }
            Deal::Lend { to } => match self.promised(me, account) {
                true => {
                    self.board.sent(me, account);
                    self.send(me, to, Told::Server(account));
                }
                false => self.board.not_lent(by, account, to, &mut self.deals),
            },
            Deal::NotLent => self.need(me, account),
            Deal::Open => self.pool(me, account).opening += 1,
            Deal::Drop { room_for } => {
                let there = self.promised(me, account);
                self.board.evicted(room_for);
                if there {
                    self.board.gone(by, account, &mut self.deals);
                }
                self.board.grant(by, &mut self.deals);
            }
        }
    }

    pub fn check(&mut self, all: Option<u32>, size: u32) {
        let mut connections = 0;
        for me in 0..THREADS {
            for (account, pool) in &self.threads[me] {
                let owed = u32::try_from(pool.owed.len()).expect("few");
                let has = Has {
                    places: pool.busy + owed,
                    idle: pool.idle,
                    broken: pool.broken,
                    servers: pool.busy + pool.idle,
                };
                assert_eq!(self.board.wrong(me, *account, has), None, "thread {me}");
                assert!(self.board.accounts.connections(*account) <= size);
                assert!(self.board.accounts.in_use(*account) <= size);
                connections += pool.busy + pool.idle + pool.opening;
            }
        }
        assert!(connections <= all.unwrap_or(u32::MAX), "{connections} connections");
    }

    /// All that is on its way arrives, and every connection that is being opened is there.
    pub fn settle(&mut self) {
        loop {
            let busy: Vec<_> =
                self.ways.iter().filter(|(_, way)| !way.is_empty()).map(|(at, _)| *at).collect();
            let opening: Vec<_> = (0..THREADS)
                .flat_map(|me| {
                    self.threads[me].iter().map(move |(at, pool)| (me, *at, pool.opening))
                })
                .filter(|(.., opening)| *opening > 0)
                .collect();
            if busy.is_empty() && opening.is_empty() {
                return;
            }
            busy.into_iter().for_each(|(from, to)| self.hear(from, to));
            opening.into_iter().for_each(|(me, account, _)| self.open(me, account, true));
        }
    }

    pub fn tick(&mut self) {
        for me in 0..THREADS {
            for account in self.threads[me].keys().copied().collect::<Vec<_>>() {
                // What others need may have taken its last server.
                if self.threads[me].contains_key(&account) {
                    self.need(me, account);
                }
            }
        }
    }

    pub fn clients(&self, is: impl Fn(Doing) -> bool) -> Vec<(usize, usize, usize)> {
        let mut found = Vec::new();
        for (me, pools) in self.threads.iter().enumerate() {
            for (account, pool) in pools {
                let those = pool.clients.iter().filter(|(_, doing)| is(**doing));
                found.extend(those.map(|(client, _)| (me, *account, *client)));
            }
        }
        found
    }

    pub fn step(&mut self, chance: &mut Chance, size: u32) {
        self.now += chance.below(200) as u64;
        let me = chance.below(THREADS);
        let one = |chance: &mut Chance, of: Vec<(usize, usize, usize)>| {
            (!of.is_empty()).then(|| of[chance.below(of.len())])
        };
        match chance.below(22) {
            0 | 20 | 21 if self.clients(|_| true).len() < 30 => {
                self.come(me, KEYS[chance.below(KEYS.len())], size);
            }
            1 => {
                if let Some((me, account, client)) = one(chance, self.clients(|_| true)) {
                    self.leave(me, account, client);
                }
            }
            2 => {
                let idle = self.threads[me].iter().find(|(_, pool)| pool.idle > 0);
                if let Some(account) = idle.map(|(account, _)| *account) {
                    self.lose_idle(me, account);
                }
            }
            3..=5 => {
                let opening = self.threads[me].iter().find(|(_, pool)| pool.opening > 0);
                if let Some(account) = opening.map(|(account, _)| *account) {
                    self.open(me, account, chance.below(5) > 0);
                }
            }
            6..=10 => {
                if let Some((me, account, client)) =
                    one(chance, self.clients(|doing| doing == Doing::Idle))
                {
                    self.ask(me, account, client);
                }
            }
            11..=14 => {
                if let Some((me, account, client)) =
                    one(chance, self.clients(|doing| doing == Doing::Has))
                {
                    self.done(me, account, client);
                }
            }
            _ => self.hear(chance.below(THREADS), me),
        }
    }
}
