//! The loop of a data thread, what it knows, and what it is told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, mpsc as std_mpsc};
use std::time::Instant;

use howdah_base::topology::Topology;
use howdah_wire::relay::session::{Leaves, Settings};
use howdah_wire::relay::statements::Known;
use howdah_wire::relay::{ClientHalf, Cuts, ServerHalf};
use slab::Slab;
use tokio::sync::mpsc;

use super::client::{Client, Doing, PARSE_MAX, sense};
use super::command::{Paused, Waits};
use super::common::{Board, Common, Kept, Peer, lock};
use super::conn::Conn;
use super::interned::Interned;
use super::poller::{Poller, Ready, Token};
use super::pool::{self, Pool, Routes};
use super::server::Server;
use super::stats::{Counts, Marks, us};
use super::{Ask, NewServer, Newcomer, NotOpened, Order, PoolKey};
use crate::credentials::Credentials;
use crate::policy::{Policy, Who};
use crate::pool::{By, Deals};

/// Read at once.
const BUFFER: usize = 64 * 1024;
/// Statements that clients of all threads have prepared, bytes.
const KNOWN_MAX: usize = 64 * 1024 * 1024;

pub(super) struct Thread {
    pub policy: Arc<Policy>,
    /// Its number among all of them.
    pub me: usize,
    pub peers: Vec<Peer>,
    pub board: Arc<Mutex<Board>>,
    /// What was agreed on at the board, and is to be done.
    pub deals: Deals,
    pub start: Instant,
    pub routes: Routes,
    pub poller: Poller,
    inbox: std_mpsc::Receiver<Order>,
    pub asks: mpsc::Sender<Ask>,
    pub clients: Slab<Client>,
    pub servers: Slab<Server>,
    pub pools: Slab<Pool>,
    pub by_key: BTreeMap<PoolKey, usize>,
    pub by_account: BTreeMap<usize, usize>,
    pub topology: Arc<Topology>,
    /// What clients have prepared.
    pub known: Known,
    pub interned: Interned,
    /// Clients that have got a server, or more of what they said is to be followed.
    pub todo: VecDeque<usize>,
    /// Servers that have more to say than their turn allowed.
    pub again: VecDeque<usize>,
    /// What is read goes here first.
    pub buffer: Vec<u8>,
    pub to_server: Cuts,
    pub to_client: Cuts,
    pub now: Instant,
    /// The same by the board's clock.
    now_us: u64,
    born: u64,
    /// Requests so far.
    pub tickets: u64,
    /// How often operators have said that servers are to go.
    pub lets: u64,
    /// What operators hold, and who of them waits for an answer.
    pub paused: Paused,
    pub waits: Vec<Waits>,
    /// What was counted in pools that have gone, by database.
    pub gone: BTreeMap<String, Counts>,
    /// Nobody hands it anything any more.
    ended: bool,
}

impl Thread {
    pub fn new(
        common: Common,
        policy: Arc<Policy>,
        routes: Routes,
        poller: Poller,
        inbox: std_mpsc::Receiver<Order>,
        asks: mpsc::Sender<Ask>,
    ) -> Thread {
        let Common { me, board, peers, start, secret } = common;
        let now = Instant::now();
        let number = |of: usize| u32::try_from(of).unwrap_or(u32::MAX);
        let known_max = KNOWN_MAX / peers.len();
        let known = Known::of_thread(known_max, secret, number(me), number(peers.len()));
        Thread {
            me,
            peers,
            board,
            deals: Deals::new(),
            start,
            policy,
            routes,
            poller,
            inbox,
            asks,
            clients: Slab::new(),
            servers: Slab::new(),
            pools: Slab::new(),
            by_key: BTreeMap::new(),
            by_account: BTreeMap::new(),
            topology: Arc::default(),
            known,
            interned: Interned::default(),
            todo: VecDeque::new(),
            again: VecDeque::new(),
            buffer: vec![0; BUFFER],
            to_server: Cuts::default(),
            to_client: Cuts::default(),
            now,
            now_us: us(now.saturating_duration_since(start)),
            born: me as u64,
            tickets: 0,
            lets: 0,
            paused: Paused::default(),
            waits: Vec::new(),
            gone: BTreeMap::new(),
            ended: false,
        }
    }

    /// Serves until nobody can tell it anything any more. All its connections end with it.
    pub fn run(mut self) {
        let mut changes = Vec::new();
        while !self.ended {
            let looks = !(self.todo.is_empty() && self.again.is_empty());
            if let Err(error) = self.poller.wait(looks, &mut changes) {
                tracing::error!(%error, "the pooler cannot wait for its sockets and ends");
                return;
            }
            self.now = Instant::now();
            self.now_us = us(self.now.saturating_duration_since(self.start));
            let woken = changes.iter().any(|(token, _)| *token == Token::Wake);
            let ticked = changes.iter().any(|(token, _)| *token == Token::Tick);
            for (token, ready) in changes.drain(..) {
                self.changed(token, ready);
            }
            // Who comes now has no changes among those.
            if woken {
                self.poller.woken();
                self.take_orders();
            }
            for _ in 0..self.again.len() {
                if let Some(at) = self.again.pop_front() {
                    self.servers.get_mut(at).into_iter().for_each(|server| server.queued = false);
                    self.server_ready(at);
                }
            }
            for _ in 0..self.todo.len() {
                if let Some(at) = self.todo.pop_front() {
                    self.clients.get_mut(at).into_iter().for_each(|client| client.queued = false);
                    self.go_on(at);
                }
            }
            if ticked {
                self.poller.ticked();
                self.tick();
            }
            if !self.waits.is_empty() {
                self.answer_operators();
            }
        }
    }

    fn changed(&mut self, token: Token, ready: Ready) {
        match token {
            Token::Wake | Token::Tick => {}
            Token::Client(at) => {
                if let Some(client) = self.clients.get_mut(at) {
                    client.conn.note(ready);
                    self.client_ready(at);
                }
            }
            Token::Server(at) => {
                if let Some(server) = self.servers.get_mut(at) {
                    server.conn.note(ready);
                    self.server_ready(at);
                }
            }
        }
    }

    fn take_orders(&mut self) {
        loop {
            match self.inbox.try_recv() {
                Ok(Order::Client(client)) => self.take_client(*client),
                Ok(Order::Opened { pool, result }) => self.take_server(&pool, result),
                Ok(Order::Topology(topology)) => self.route_anew(topology),
                Ok(Order::Policy(policy)) => self.rule_anew(policy),
                Ok(Order::Cancel { key, done }) => self.cancel_of(&key, done),
                Ok(Order::Cancelled { server, born, heard }) => self.cancelled(server, born, heard),
                Ok(Order::Deal { account, deal }) => self.take_deal(account, deal),
                Ok(Order::Server { account, parcel }) => self.take_parcel(account, *parcel),
                Ok(Order::Refused { pool, word }) => self.refused(&pool, &word),
                Ok(Order::Look { what, from, reply }) => drop(reply.send(self.look(what, from))),
                Ok(Order::Command { what, database, reply }) => self.command(what, database, reply),
                Err(std_mpsc::TryRecvError::Empty) => return,
                Ok(Order::End) | Err(std_mpsc::TryRecvError::Disconnected) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn take_client(&mut self, new: Newcomer) {
        let Newcomer { line, early, pool, secret, settings, minor, places, seat } = new;
        let Ok(conn) = Conn::new(line) else { return };
        let pool = self.pool(pool, secret);
        let class = self.class(pool, &settings);
        let settings = self.interned.of(settings);
        let secret = super::welcome::secret(minor);
        let marks = Marks::new(self.number(), self.now);
        let at = self.clients.insert(Client {
            conn,
            half: ClientHalf::new(PARSE_MAX),
            pool,
            class,
            doing: Doing::Idle,
            spoke: self.now,
            sense: sense(&settings),
            startup: settings.clone(),
            settings,
            begun: None,
            careful: false,
            secret,
            early,
            welcomed: false,
            pinned: false,
            leaves: Leaves::default(),
            queued: false,
            stuck: false,
            marks,
            _places: places,
            _seat: seat,
        });
        self.pools[pool].clients += 1;
        lock(&self.board).accounts.enter(self.pools[pool].account, class);
        match self.poller.add(self.clients[at].conn.socket(), Token::Client(at)) {
            Ok(arm) => self.clients[at].conn.arm = Some(arm),
            Err(_) => return self.end_client(at, &[]),
        }
        if self.welcome_at_once(at) || self.request(at) {
            self.later(at);
        }
    }

    fn pool(&mut self, key: PoolKey, secret: Arc<Credentials>) -> usize {
        if let Some(&at) = self.by_key.get(&key) {
            // Who shows nothing takes nothing from those who did.
            if *secret != Credentials::Nothing {
                lock(&self.board).own(self.pools[at].account).secret = secret;
            }
            return at;
        }
        let rules = self.policy.of(&key.database, &key.user);
        let limits = pool::limits(&self.policy, &key, &rules);
        let mut board = lock(&self.board);
        let kept = Kept { secret: secret.clone(), welcomes: Vec::new() };
        let account = board.open(self.me, &key, (&key.database, &key.user), limits, kept);
        if *secret != Credentials::Nothing {
            board.own(account).secret = secret;
        }
        drop(board);
        let at = self.pools.insert(Pool::new(key.clone(), account, rules));
        self.by_account.insert(account, at);
        self.by_key.insert(key, at);
        self.hold(at);
        at
    }

    /// A number that no other client or server of any thread has had.
    fn number(&mut self) -> u64 {
        self.born += self.peers.len() as u64;
        self.born
    }

    pub(super) fn by(&self) -> By {
        By { me: self.me, now: self.now_us }
    }

    fn take_server(&mut self, key: &PoolKey, result: Result<Box<NewServer>, NotOpened>) {
        let Some(&pool) = self.by_key.get(key) else { return };
        self.pools[pool].opening -= 1;
        match result {
            Ok(server) => self.add_server(pool, *server),
            Err(why) => self.not_opened(pool, why),
        }
        self.forget_unused(pool);
    }

    fn add_server(&mut self, pool: usize, new: NewServer) {
        let NewServer { line, mut site, key, parameters, load } = new;
        let born = self.number();
        // Where servers are to be found may have changed while it was dialled.
        let endpoint = self.pools[pool].key.endpoint;
        let over = site.is_over(&self.topology);
        let stale = over || !self.routes.lead_to(&self.topology, endpoint, &site);
        let account = self.pools[pool].account;
        let Ok(conn) = Conn::new(line) else {
            let by = self.by();
            lock(&self.board).not_opened(by, account, by.now, &mut self.deals);
            return self.carry_out();
        };
        let half = ServerHalf::default();
        let at = self.servers.insert(Server {
            settings: self.interned.of(BTreeMap::new()),
            parameters,
            stale,
            ..Server::new(conn, half, site, key, load, pool, born, self.now)
        });
        self.pools[pool].servers += 1;
        lock(&self.board).opened(self.me, account);
        match self.poller.add(self.servers[at].conn.socket(), Token::Server(at)) {
            Ok(arm) => {
                self.servers[at].conn.arm = Some(arm);
                self.free(at, None);
            }
            Err(_) => self.lose_server(at),
        }
    }

    /// Which servers are what their clients want has changed.
    fn route_anew(&mut self, topology: Arc<Topology>) {
        self.topology = topology;
        let over: Vec<_> = self
            .servers
            .iter_mut()
            .filter_map(|(at, server)| server.site.is_over(&self.topology).then_some(at))
            .collect();
        over.into_iter().for_each(|at| self.lose_server(at));
        self.look_who_is_stale();
        let mut board = lock(&self.board);
        self.pools.iter().for_each(|(_, pool)| board.own(pool.account).welcomes.clear());
        drop(board);
        self.hold_anew();
    }

    /// The class of a client with these settings.
    fn class(&self, pool: usize, settings: &Settings) -> usize {
        let PoolKey { endpoint, database, user } = &self.pools[pool].key;
        let application_name = settings.get("application_name").map_or("", |name| name);
        let endpoint = endpoint.name();
        self.policy.class(&Who { endpoint, database, role: user, application_name })
    }

    /// Limits, times and classes are others from now on. Whoever is owed a server has its place in
    /// its old class.
    fn rule_anew(&mut self, policy: Arc<Policy>) {
        self.policy = policy;
        let mut board = lock(&self.board);
        board.accounts.reload(self.policy.servers_max, &pool::classes(&self.policy));
        for (_, pool) in &mut self.pools {
            pool.rules = self.policy.of(&pool.key.database, &pool.key.user);
            let limits = pool::limits(&self.policy, &pool.key, &pool.rules);
            board.accounts.resize(pool.account, limits);
        }
        drop(board);
        for at in self.clients.iter().map(|(at, _)| at).collect::<Vec<_>>() {
            self.class_anew(at);
        }
        self.grant();
    }

    fn class_anew(&mut self, at: usize) {
        let Some(client) = self.clients.get(at) else { return };
        let (pool, old, doing) = (client.pool, client.class, client.doing);
        let (new, account) = (self.class(pool, &client.startup), self.pools[pool].account);
        if new == old || matches!(doing, Doing::Owed { .. }) {
            return;
        }
        let mut board = lock(&self.board);
        board.accounts.leave(account, old);
        board.accounts.enter(account, new);
        self.clients[at].class = new;
        if let Doing::Waiting { since, ticket } = doing {
            // A place that has been granted meanwhile is given back when that is heard.
            board.accounts.give_up(account, old, (self.me, at, ticket));
            drop(board);
            self.clients[at].doing = Doing::Idle;
            if self.request(at) {
                self.later(at);
            } else if let Some(client) = self.clients.get_mut(at)
                && let Doing::Waiting { ticket, .. } = client.doing
            {
                client.doing = Doing::Waiting { since, ticket };
            }
        }
    }
}
