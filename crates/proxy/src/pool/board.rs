//! What all threads keep together, behind one lock: the accounts, and which of them has idle servers
//! of a pool that another one wants.
//!
//! ```text
//! thread a: a client has a place, and no server is idle here ── need ─►  board: one is idle at b
//! thread b: ◄── Lend { to: a } ── ... ── the connection itself ──► thread a
//! ```
//! Nothing is sent under the lock: each change says by [`Deal`]s who is to be told what. Counts say
//! what is, promises included, so that every order finds what it is about: an idle server that is
//! promised is nobody else's, a place that is granted is taken, and a connection counts from the
//! decision to open it until it has ended.

use std::collections::{BTreeMap, VecDeque};

use super::accounts::{Accounts, Class, Granted, PoolLimits};
use super::queue::Waiter;
use super::share::Shared;

/// Which thread it is, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct By {
    pub me: usize,
    /// In microseconds.
    pub now: u64,
}

/// What a thread is to do about one of its pools.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deal {
    /// A client that waits has a place; `idle`: an idle server of the thread is promised to it.
    Granted { client: usize, ticket: u64, class: usize, idle: bool },
    /// An idle server is promised to another thread.
    Lend { to: usize },
    /// The server that was promised to this thread has ended.
    NotLent,
    /// A connection is to be opened, and counts already.
    Open,
    /// An idle server is to make room for another pool.
    Drop { room_for: usize },
}

impl Deal {
    /// Whether it is about an idle server.
    fn promises(self) -> bool {
        matches!(self, Deal::Granted { idle: true, .. } | Deal::Lend { .. } | Deal::Drop { .. })
    }
}

/// A deal, the thread that it is for, and the account of its pool.
pub type Deals = VecDeque<(usize, usize, Deal)>;

/// The answer to a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// It has a place; `idle`: and an idle server of its thread.
    Placed { idle: bool },
    /// It waits, as one of so many.
    Waits(usize),
}

/// What a thread finds that it has of a pool, to be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Has {
    pub places: u32,
    /// Idle servers, and how many promises of more were broken.
    pub idle: u32,
    pub broken: u32,
    pub servers: u32,
}

/// Pools by `K`; `S` is what threads keep together beside.
#[derive(Debug)]
pub struct Board<K, S> {
    pub accounts: Accounts,
    threads: usize,
    /// By account.
    pools: Vec<Option<Shared<K, S>>>,
    by_key: BTreeMap<K, usize>,
    /// Pools that are short of servers, whichever has been for longest first.
    lacking: VecDeque<usize>,
}

impl<K: Ord + Clone, S> Board<K, S> {
    pub fn new(threads: usize, all: Option<u32>, classes: &[Class]) -> Board<K, S> {
        Board {
            accounts: Accounts::new(all, classes),
            threads,
            pools: Vec::new(),
            by_key: BTreeMap::new(),
            lacking: VecDeque::new(),
        }
    }

    /// From now on a thread has this pool. Its account.
    pub fn open(
        &mut self,
        me: usize,
        key: &K,
        names: (&str, &str),
        limits: PoolLimits,
        own: S,
    ) -> usize {
        let account = match self.by_key.get(key) {
            Some(account) => *account,
            None => {
                let (database, role) = names;
                let account = self.accounts.open(database, role, limits);
                self.pools.resize_with(self.pools.len().max(account + 1), || None);
                self.pools[account] = Some(Shared::new(key.clone(), own, self.threads));
                self.by_key.insert(key.clone(), account);
                account
            }
        };
        self.pool(account).shares[me].open = true;
        account
    }

    /// A thread has nothing of it any more. `false`: something is on its way to it.
    pub fn close(&mut self, me: usize, account: usize) -> bool {
        let share = &self.pool(account).shares[me];
        if share.due > 0 || share.bound > 0 || share.opening > 0 {
            return false;
        }
        self.hold(me, account, false);
        let shared = self.pool(account);
        shared.shares[me].open = false;
        shared.shares[me].lacks = 0;
        if shared.shares.iter().all(|share| !share.open)
            && let Some(shared) = self.pools[account].take()
        {
            self.lacking.retain(|other| *other != account);
            self.by_key.remove(&shared.key);
            self.accounts.close(account);
        }
        true
    }

    /// What threads keep of it beside.
    pub fn own(&mut self, account: usize) -> &mut S {
        &mut self.pool(account).own
    }

    /// Threads that have it, but this one.
    pub fn others(&mut self, me: usize, account: usize) -> Vec<usize> {
        let shares = self.pool(account).shares.iter().enumerate();
        shares.filter(|(at, share)| *at != me && share.open).map(|(at, _)| at).collect()
    }

    /// Idle servers of a pool at a thread.
    pub fn idle_at(&self, key: &K, thread: usize) -> u32 {
        let shared = self.by_key.get(key).and_then(|at| self.pools.get(*at)?.as_ref());
        shared.map_or(0, |shared| shared.shares[thread].idle)
    }

    /// A thread holds it: nobody of it begins anything, at whichever thread, until all say otherwise.
    pub fn hold(&mut self, me: usize, account: usize, held: bool) {
        let shared = self.pool(account);
        shared.shares[me].held = held;
        let held = shared.shares.iter().any(|share| share.held);
        self.accounts.hold(account, held);
    }

    /// A client of this thread asks for a server.
    pub fn request(&mut self, by: By, account: usize, class: usize, who: (usize, u64)) -> Asked {
        let (client, ticket) = who;
        let waiter = Waiter { home: by.me, client, ticket, since: by.now };
        if !self.accounts.request(account, class, waiter) {
            return Asked::Waits(self.accounts.waiting());
        }
        let shared = self.pool(account);
        shared.shares[by.me].places += 1;
        Asked::Placed { idle: shared.take_idle(by.me) }
    }

    /// A client of this thread gives its place back, after so many microseconds.
    pub fn release(&mut self, by: By, account: usize, class: usize, busy_us: u64) {
        self.accounts.release(account, class, busy_us);
        self.pool(account).shares[by.me].places -= 1;
    }

    /// Places that are free go to those who wait, with an idle server where one is; what idles then
    /// may make room for pools that are short.
    pub fn grant(&mut self, by: By, deals: &mut Deals) {
        while let Some(Granted { pool, class, waiter }) = self.accounts.grant(by.me) {
            let Waiter { home, client, ticket, .. } = waiter;
            let shared = self.pool(pool);
            shared.shares[home].places += 1;
            let idle = shared.take_idle(home);
            if !idle && home != by.me && shared.take_idle(by.me) {
                // It gets there before the client hears of its place.
                shared.shares[home].bound += 1;
                self.push(by, by.me, pool, Deal::Lend { to: home }, deals);
            }
            self.push(by, home, pool, Deal::Granted { client, ticket, class, idle }, deals);
        }
        self.settle(by, deals);
    }

    /// A server of this thread is used by nobody, and no client here is owed one.
    pub fn put_idle(&mut self, by: By, account: usize, deals: &mut Deals) {
        let shared = self.pool(account);
        if let Some(to) = shared.lacking(by.me) {
            shared.shares[to].lacks -= 1;
            shared.shares[to].bound += 1;
            return self.push(by, by.me, account, Deal::Lend { to }, deals);
        }
        let share = &mut shared.shares[by.me];
        if share.idle == 0 {
            share.since = by.now;
        }
        share.idle += 1;
    }

    /// Whether clients of other threads have a place and no server.
    pub fn lacks_elsewhere(&mut self, me: usize, account: usize) -> bool {
        self.pool(account).lacking(me).is_some()
    }

    /// A client of this thread that is owed a server gets one that is idle here.
    pub fn take_idle(&mut self, me: usize, account: usize) -> bool {
        self.pool(account).take_idle(me)
    }

    /// The server of this thread that was idle longest has been so since then.
    pub fn oldest_idle(&mut self, by: By, account: usize, since: u64) {
        self.pool(account).shares[by.me].since = since;
    }

    /// So many clients of this thread have a place and no server.
    pub fn need(&mut self, by: By, account: usize, owed: usize, deals: &mut Deals) {
        self.owes(by.me, account, owed);
        loop {
            let may_connect = self.accounts.may_connect(account).is_ok();
            let shared = self.pool(account);
            let Some(from) = shared.lender(by.me).filter(|_| shared.shares[by.me].lacks > 0) else {
                break;
            };
            let opens = may_connect && shared.retry_at <= by.now || shared.short() == 0;
            if !shared.may_move(by.now) && opens {
                break;
            }
            shared.shares[from].idle -= 1;
            shared.shares[by.me].lacks -= 1;
            shared.shares[by.me].bound += 1;
            self.push(by, from, account, Deal::Lend { to: by.me }, deals);
        }
        self.supply(by, account, deals);
    }

    /// The same, where it has become less.
    pub fn owes(&mut self, me: usize, account: usize, owed: usize) {
        let share = &mut self.pool(account).shares[me];
        share.lacks = u32::try_from(owed).unwrap_or(u32::MAX).saturating_sub(share.bound);
    }

    /// At least so many are to be connected.
    pub fn keep(&mut self, by: By, account: usize, min: u32, deals: &mut Deals) {
        while self.accounts.connections(account) < min
            && self.pool(account).retry_at <= by.now
            && self.accounts.may_connect(account).is_ok()
        {
            self.open_at(by, by.me, account, deals);
        }
    }

    fn open_at(&mut self, by: By, thread: usize, account: usize, deals: &mut Deals) {
        self.accounts.connect(account);
        self.pool(account).shares[thread].opening += 1;
        self.push(by, thread, account, Deal::Open, deals);
    }

    /// As many connections are opened as a pool is short of and allowed; where a limit is reached
    /// that it shares, idle servers of others go.
    fn supply(&mut self, by: By, account: usize, deals: &mut Deals) {
        loop {
            let shared = self.pool(account);
            let (short, evicting) = (shared.short(), shared.evicting);
            let Some(thread) = shared.opener().filter(|_| short > 0) else {
                return self.lacking.retain(|other| *other != account);
            };
            let retry_at = shared.retry_at;
            if !self.lacking.contains(&account) {
                self.lacking.push_back(account);
            }
            if retry_at > by.now {
                return;
            }
            match self.accounts.may_connect(account) {
                Ok(()) => self.open_at(by, thread, account, deals),
                Err(_) if short <= evicting => return,
                Err(level) if self.evict(by, level, account, deals) => {
                    self.pool(account).evicting += 1;
                }
                Err(_) => return,
            }
        }
    }

    /// The server goes that was idle longest in another pool that counts at a level.
    fn evict(&mut self, by: By, level: usize, room_for: usize, deals: &mut Deals) -> bool {
        let mut oldest: Option<(u64, usize, usize)> = None;
        for (account, shared) in self.pools.iter().enumerate() {
            let Some(shared) = shared.as_ref().filter(|_| account != room_for) else { continue };
            if !self.accounts.counts_at(account, level) {
                continue;
            }
            let idle = shared.shares.iter().enumerate().filter(|(_, share)| share.idle > 0);
            let first = idle.map(|(thread, share)| (share.since, account, thread)).min();
            oldest = oldest.into_iter().chain(first).min();
        }
        let Some((_, account, thread)) = oldest else { return false };
        self.pool(account).shares[thread].idle -= 1;
        self.push(by, thread, account, Deal::Drop { room_for }, deals);
        true
    }

    /// Room has been made for this pool, or there was nothing to make it of.
    pub fn evicted(&mut self, room_for: usize) {
        if let Some(Some(shared)) = self.pools.get_mut(room_for) {
            shared.evicting = shared.evicting.saturating_sub(1);
        }
    }

    /// Connections may be opened that could not before.
    fn settle(&mut self, by: By, deals: &mut Deals) {
        let mut at = 0;
        while let Some(account) = self.lacking.get(at).copied() {
            self.supply(by, account, deals);
            at += usize::from(self.lacking.get(at) == Some(&account));
        }
    }

    /// A connection that this thread was opening is there.
    pub fn opened(&mut self, me: usize, account: usize) {
        let shared = self.pool(account);
        shared.retry_at = 0;
        shared.shares[me].opening -= 1;
        shared.shares[me].servers += 1;
    }

    /// It could not be opened; no other is before then.
    pub fn not_opened(&mut self, by: By, account: usize, retry_at: u64, deals: &mut Deals) {
        let shared = self.pool(account);
        shared.retry_at = retry_at;
        shared.shares[by.me].opening -= 1;
        self.accounts.disconnect(account);
        self.settle(by, deals);
    }

    /// A connection of this thread has ended.
    pub fn gone(&mut self, by: By, account: usize, deals: &mut Deals) {
        self.pool(account).shares[by.me].servers -= 1;
        self.accounts.disconnect(account);
        self.settle(by, deals);
    }

    /// An idle server of this thread is to go. `false`: it was promised, and the order about it is on
    /// its way.
    pub fn lose_idle(&mut self, me: usize, account: usize) -> bool {
        self.pool(account).take_idle(me)
    }

    /// A server leaves this thread for another.
    pub fn sent(&mut self, me: usize, account: usize) {
        let shared = self.pool(account);
        shared.shares[me].servers -= 1;
        shared.moving += 1;
    }

    /// It has come.
    pub fn arrived(&mut self, me: usize, account: usize) {
        let shared = self.pool(account);
        shared.moving -= 1;
        shared.shares[me].bound -= 1;
        shared.shares[me].servers += 1;
    }

    /// The server that was promised to another thread is not there any more.
    pub fn not_lent(&mut self, by: By, account: usize, to: usize, deals: &mut Deals) {
        self.push(by, to, account, Deal::NotLent, deals);
    }

    /// An order has come that another thread has sent.
    pub fn received(&mut self, me: usize, account: usize, deal: Deal) {
        let share = &mut self.pool(account).shares[me];
        share.due -= 1;
        share.promised -= u32::from(deal.promises());
        share.bound -= u32::from(deal == Deal::NotLent);
    }

    /// Connections of a pool that threads have.
    pub fn servers(&mut self, account: usize) -> u32 {
        let shared = self.pool(account);
        shared.sum(|share| share.servers) + shared.moving
    }

    /// Whether somebody of a pool has waited for so long, or has what nobody has but for that.
    pub fn look_at_reserve(&mut self, by: By, account: usize, size: u32, wait_us: u64) {
        let waits_long = |waiter: Waiter| by.now.saturating_sub(waiter.since) >= wait_us;
        let beyond = self.accounts.in_use(account) > size;
        let reserving = beyond || self.accounts.first(account).any(waits_long);
        self.accounts.reserve(account, reserving);
    }

    /// What is wrong: counts say something else than what a thread has.
    pub fn wrong(&mut self, me: usize, account: usize, has: Has) -> Option<String> {
        let (in_use, connections) =
            (self.accounts.in_use(account), self.accounts.connections(account));
        let shared = self.pool(account);
        let share = shared.shares[me];
        let idle = share.idle + share.promised == has.idle + has.broken;
        // Places that were granted are known here before they are heard of there.
        let places = share.places == has.places || share.due > 0 && share.places > has.places;
        let own = idle && places && share.servers == has.servers;
        let all = shared.sum(|share| share.servers + share.opening) + shared.moving;
        let right = own && shared.sum(|share| share.places) == in_use && all == connections;
        (!right).then(|| {
            format!("{has:?} of {share:?}, {in_use} in use, {connections} connections of {all}")
        })
    }

    fn push(&mut self, by: By, to: usize, account: usize, deal: Deal, deals: &mut Deals) {
        if to != by.me {
            let share = &mut self.pool(account).shares[to];
            share.due += 1;
            share.promised += u32::from(deal.promises());
        }
        deals.push_back((to, account, deal));
    }

    /// Accounts are asked for by threads that have opened them.
    fn pool(&mut self, account: usize) -> &mut Shared<K, S> {
        match self.pools.get_mut(account) {
            Some(Some(shared)) => shared,
            _ => unreachable!("account {account} is nobody's"),
        }
    }
}
