//! Who may have a server: each request counts at its pool, its database, its role, and among all.
//!
//! A class may take a server as long as enough stay free for what is guaranteed to the others and
//! not in use by them: background jobs that run for hours never hold what consultation may need in
//! the next moment. Among the classes that may, the one goes first that has had the least time of
//! servers for its weight; within a class the pool that has had the least; within a pool whoever has
//! waited longest.
//!
//! ```text
//! all 100 ─┬─ database shop 60 ─┬─ pool shop/app 20
//!          ├─ role app 30 ──────┘     limit 20 | background 12 | free 8: kept for consultation
//!          └─ ...
//! ```
//! Start-time fair queueing over measured time: P. Goyal, H. Vin, H. Cheng, "Start-time Fair
//! Queuing", SIGCOMM 1996, with what a request costs known when it is over.

use std::collections::{BTreeMap, BTreeSet};

use slab::Slab;

use super::level::Level;
use super::queue::{Queue, Waiter};

/// What the configuration says of one class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Class {
    /// Percent of each limit that is there for it whatever the others do.
    pub guaranteed: u32,
    /// Its part of what is contended for, in proportion to the others' weights.
    pub weight: u32,
}

/// What the configuration says of one pool; `None`: no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolLimits {
    pub size: u32,
    /// Beyond `size`, while [`Accounts::reserve`] says so.
    pub reserve: u32,
    pub database: Option<u32>,
    pub role: Option<u32>,
}

/// Parts of a microsecond that are counted: weights are divided by.
const FINE: u64 = 1_024;
/// The level of all.
const ALL: usize = 0;
/// A pool's own level, among those that it counts at.
const OWN: usize = 3;

/// Who waits no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Granted {
    pub pool: usize,
    pub class: usize,
    pub waiter: Waiter,
}

/// The servers of all pools and who waits for them.
#[derive(Debug)]
pub struct Accounts {
    classes: Vec<Class>,
    /// Time of servers that each class has had, over its weight.
    had: Vec<u64>,
    levels: Slab<Level>,
    databases: BTreeMap<Box<str>, usize>,
    roles: BTreeMap<Box<str>, usize>,
    pools: Slab<Account>,
    /// Classes and pools with somebody who waits.
    queued: BTreeSet<(usize, usize)>,
    waiting: usize,
    /// What a class that begins to wait starts from: nobody saves time up by being away.
    now: u64,
    /// The same of a class's pools: what the last one that was granted a server had had.
    pools_now: Vec<u64>,
}

#[derive(Debug)]
struct Account {
    database: Box<str>,
    role: Box<str>,
    /// All, the database's, the role's, and its own.
    levels: [usize; 4],
    reserve: u32,
    reserving: bool,
    held: bool,
    /// By class.
    waiting: Vec<Queue>,
    had: Vec<u64>,
}

impl Accounts {
    /// `all`: servers in all.
    pub fn new(all: Option<u32>, classes: &[Class]) -> Accounts {
        let mut levels = Slab::new();
        levels.insert(Level::new(all, classes.len()));
        Accounts {
            classes: classes.to_vec(),
            had: vec![0; classes.len()],
            levels,
            databases: BTreeMap::new(),
            roles: BTreeMap::new(),
            pools: Slab::new(),
            queued: BTreeSet::new(),
            waiting: 0,
            now: 0,
            pools_now: vec![0; classes.len()],
        }
    }

    /// The limit of all, and what classes are told. Those that are no more stay as long as somebody
    /// is of them.
    pub fn reload(&mut self, all: Option<u32>, classes: &[Class]) {
        let count = self.classes.len().max(classes.len());
        self.classes = classes.to_vec();
        self.classes.resize(count, Class { guaranteed: 0, weight: 1 });
        self.had.resize(count, self.now);
        self.pools_now.resize(count, 0);
        self.levels.iter_mut().for_each(|(_, level)| level.grow(count));
        for (_, account) in &mut self.pools {
            account.waiting.resize_with(count, Queue::default);
            account.had.resize(count, 0);
        }
        self.levels[ALL].resize(all);
    }

    /// A pool of its own number.
    pub fn open(&mut self, database: &str, role: &str, limits: PoolLimits) -> usize {
        let classes = self.classes.len();
        let of_database = level(&mut self.levels, &mut self.databases, database, classes);
        let of_role = level(&mut self.levels, &mut self.roles, role, classes);
        let own = self.levels.insert(Level::new(Some(limits.size), classes));
        let levels = [ALL, of_database, of_role, own];
        levels.iter().for_each(|at| self.levels[*at].pools += 1);
        let pool = self.pools.insert(Account {
            database: database.into(),
            role: role.into(),
            levels,
            reserve: 0,
            reserving: false,
            held: false,
            waiting: vec![Queue::default(); classes],
            had: vec![0; classes],
        });
        self.resize(pool, limits);
        pool
    }

    /// Its limits are others from now on.
    pub fn resize(&mut self, pool: usize, limits: PoolLimits) {
        let account = &mut self.pools[pool];
        account.reserve = limits.reserve;
        let [_, database, role, own] = account.levels;
        self.levels[database].resize(limits.database);
        self.levels[role].resize(limits.role);
        self.levels[own].resize(Some(limits.size));
    }

    /// Nobody has or wants anything of it any more.
    pub fn close(&mut self, pool: usize) {
        let account = self.pools.remove(pool);
        let [all, database, role, own] = account.levels;
        self.levels[all].pools -= 1;
        self.levels.remove(own);
        for (at, names, name) in [
            (database, &mut self.databases, &account.database),
            (role, &mut self.roles, &account.role),
        ] {
            self.levels[at].pools -= 1;
            if self.levels[at].pools == 0 {
                self.levels.remove(at);
                names.remove(name);
            }
        }
    }

    /// From now on nobody of it begins anything, or everybody may again.
    pub fn hold(&mut self, pool: usize, held: bool) {
        self.pools[pool].held = held;
    }

    /// Whether its reserve may be used.
    pub fn reserve(&mut self, pool: usize, reserving: bool) {
        self.pools[pool].reserving = reserving;
    }

    /// A client has come; what is guaranteed to its class is kept for it.
    pub fn enter(&mut self, pool: usize, class: usize) {
        self.pools[pool].levels.into_iter().for_each(|at| self.levels[at].enter(class));
    }

    pub fn leave(&mut self, pool: usize, class: usize) {
        self.pools[pool].levels.into_iter().for_each(|at| self.levels[at].leave(class));
    }

    /// Asks for a server. `true`: it has a place at once, and gives it back with
    /// [`Accounts::release`]; else it waits until [`Accounts::grant`] names it.
    pub fn request(&mut self, pool: usize, class: usize, waiter: Waiter) -> bool {
        if self.pools[pool].waiting[class].is_empty() {
            self.begin(pool, class);
            // Of those who wait nobody may have one, or they would have it.
            if self.may_take(pool, class) {
                self.take(pool, class);
                return true;
            }
        }
        self.pools[pool].waiting[class].push(waiter);
        self.queued.insert((class, pool));
        self.waiting += 1;
        false
    }

    /// Whoever has been away starts from where the others are.
    fn begin(&mut self, pool: usize, class: usize) {
        if self.levels[ALL].in_use_by(class) == 0 {
            self.had[class] = self.had[class].max(self.now);
        }
        let account = &mut self.pools[pool];
        if self.levels[account.levels[OWN]].in_use_by(class) == 0 {
            account.had[class] = account.had[class].max(self.pools_now[class]);
        }
    }

    /// A server comes back after so many microseconds.
    pub fn release(&mut self, pool: usize, class: usize, busy_us: u64) {
        let account = &mut self.pools[pool];
        let weight = u64::from(self.classes[class].weight.max(1));
        let had = busy_us.max(1).saturating_mul(FINE) / weight;
        account.had[class] = account.had[class].saturating_add(had);
        self.had[class] = self.had[class].saturating_add(had);
        account.levels.into_iter().for_each(|at| self.levels[at].give_back(class));
        let busy = (0..self.classes.len()).filter(|class| self.is_busy(*class));
        let least = busy.map(|class| self.had[class]).min();
        self.now = self.now.max(least.unwrap_or(self.had[class]));
    }

    fn is_busy(&self, class: usize) -> bool {
        let waits = self.queued.range((class, 0)..(class + 1, 0)).next().is_some();
        waits || self.levels[ALL].in_use_by(class) > 0
    }

    /// Who has a place now, of those who wait, where `home` is the thread that has made room. To be
    /// asked until it is `None` after whatever may have made some.
    pub fn grant(&mut self, home: usize) -> Option<Granted> {
        if self.queued.is_empty() {
            return None;
        }
        let may = self.queued.iter().copied().filter(|(class, pool)| self.may_take(*pool, *class));
        let (class, pool) =
            may.min_by_key(|(class, pool)| (self.had[*class], self.pools[*pool].had[*class]))?;
        let account = &mut self.pools[pool];
        self.pools_now[class] = self.pools_now[class].max(account.had[class]);
        let waiting = &mut account.waiting[class];
        let waiter = waiting.pop(home)?;
        if waiting.is_empty() {
            self.queued.remove(&(class, pool));
        }
        self.waiting -= 1;
        self.take(pool, class);
        Some(Granted { pool, class, waiter })
    }

    /// It waits no longer. `false`: it did not; it has been granted a place.
    pub fn give_up(&mut self, pool: usize, class: usize, waiter: (usize, usize, u64)) -> bool {
        let (home, client, ticket) = waiter;
        let waiting = &mut self.pools[pool].waiting[class];
        if !waiting.remove(home, client, ticket) {
            return false;
        }
        if waiting.is_empty() {
            self.queued.remove(&(class, pool));
        }
        self.waiting -= 1;
        true
    }

    /// Who of a pool has waited longest, of each class.
    pub fn first(&self, pool: usize) -> impl Iterator<Item = Waiter> + '_ {
        self.pools[pool].waiting.iter().filter_map(Queue::first)
    }

    /// Requests that wait, over all pools.
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    /// Servers of a pool that are in use, or are owed to somebody.
    pub fn in_use(&self, pool: usize) -> u32 {
        self.levels[self.pools[pool].levels[OWN]].in_use()
    }

    /// Whether a connection more is allowed; else where it is not, see [`Accounts::counts_at`].
    ///
    /// # Errors
    /// The level whose limit is reached.
    pub fn may_connect(&self, pool: usize) -> Result<(), usize> {
        let account = &self.pools[pool];
        for (place, at) in account.levels.into_iter().enumerate() {
            let more = if place == OWN && account.reserving { account.reserve } else { 0 };
            if self.levels[at].connections >= self.levels[at].limit().saturating_add(more) {
                return Err(at);
            }
        }
        Ok(())
    }

    /// Whether a pool has, or shares, more connections than are allowed.
    pub fn is_beyond(&self, pool: usize) -> bool {
        let account = &self.pools[pool];
        account.levels.into_iter().enumerate().any(|(place, at)| {
            let more = if place == OWN { account.reserve } else { 0 };
            self.levels[at].connections > self.levels[at].limit().saturating_add(more)
        })
    }

    /// Whether servers of a pool count at this level.
    pub fn counts_at(&self, pool: usize, level: usize) -> bool {
        self.pools[pool].levels.contains(&level)
    }

    /// A connection is being opened.
    pub fn connect(&mut self, pool: usize) {
        self.pools[pool].levels.into_iter().for_each(|at| self.levels[at].connections += 1);
    }

    /// It has ended, or was never there.
    pub fn disconnect(&mut self, pool: usize) {
        self.pools[pool].levels.into_iter().for_each(|at| self.levels[at].connections -= 1);
    }

    /// Connections of one database, or all.
    pub fn connections_of(&self, database: Option<&str>) -> u32 {
        let level = match database {
            None => Some(ALL),
            Some(name) => self.databases.get(name).copied(),
        };
        level.map_or(0, |at| self.levels[at].connections)
    }

    /// Connections of a pool.
    pub fn connections(&self, pool: usize) -> u32 {
        self.levels[self.pools[pool].levels[OWN]].connections
    }

    fn may_take(&self, pool: usize, class: usize) -> bool {
        let account = &self.pools[pool];
        let [all, database, role, own] = account.levels;
        let more = if account.reserving { account.reserve } else { 0 };
        let may = |at: usize, more| self.levels[at].may_take(class, &self.classes, more);
        !account.held && may(own, more) && may(all, 0) && may(database, 0) && may(role, 0)
    }

    fn take(&mut self, pool: usize, class: usize) {
        self.pools[pool].levels.into_iter().for_each(|at| self.levels[at].take(class));
    }
}

fn level(
    levels: &mut Slab<Level>,
    names: &mut BTreeMap<Box<str>, usize>,
    name: &str,
    classes: usize,
) -> usize {
    if let Some(at) = names.get(name) {
        return *at;
    }
    let at = levels.insert(Level::new(None, classes));
    names.insert(name.into(), at);
    at
}
