//! What servers say: passed on to clients, and taken as the sign that a server is done with one.

use std::collections::BTreeMap;
use std::mem;
use std::rc::Rc;

use howdah_spec::PoolMode;
use howdah_wire::relay::session::{self, Found, Settings};
use howdah_wire::relay::statements::Names;
use howdah_wire::relay::{Ahead, Event, Status, as_error, note, note_failed};
use howdah_wire::replies::{Asked, Question, Whose};
use howdah_wire::{ErrorResponse, Severity};

use super::Parameters;
use super::client::{Doing, sense};
use super::links::gone;
use super::server::{Check, STATEMENTS_KEPT, STATEMENTS_MAX, Server};
use super::stats::Turn;
use super::thread::Thread;
use crate::policy::Leaves;

/// What is to be done about what a server has said.
#[derive(Default)]
struct Told {
    /// Its client goes, or it does itself.
    end: bool,
    lost: bool,
    ready: Option<Status>,
    /// What has failed ahead of its client's word, and by which error.
    not_ahead: Option<(Ahead, Option<Vec<u8>>)>,
    turn: Turn,
}

/// What is known of a server's session.
struct Session<'a> {
    parameters: &'a mut Parameters,
    dirty: &'a mut bool,
    reset: &'a mut bool,
    checking: &'a mut Option<Check>,
    last_words: &'a mut Option<Vec<u8>>,
}

impl Told {
    fn note(&mut self, event: Event<'_>, of: &mut Session<'_>) {
        match event {
            Event::Parameter(body) => super::note_parameter(of.parameters, body),
            Event::Command(tag, _) => {
                *of.dirty |= session::may_leave(tag);
                *of.reset |= session::resets(tag);
            }
            Event::Row(row, whole) => {
                if let Some(check) = of.checking {
                    check.found.take(row, whole);
                }
            }
            Event::Failed(Question { asked: Asked::Query, whose: Whose::Nobodys, .. }, _) => {
                match of.checking {
                    // It is asked again after the next transaction.
                    Some(Check { found, .. }) => (found.pinned, found.partial) = (true, true),
                    None => self.end = true,
                }
            }
            Event::NotAhead(ahead, body) => {
                // What fails behind it fails by it.
                self.not_ahead.get_or_insert_with(|| (ahead, as_error(body)));
            }
            Event::LastWords(body) => {
                *of.last_words = as_error(body);
                self.lost = true;
            }
            Event::Ready(status) => self.ready = Some(status),
            Event::Done(_) | Event::Failed(..) | Event::Emptied { .. } | Event::Misnamed(..) => {}
        }
    }
}

impl Thread {
    /// Passes on what a server says.
    pub(super) fn hear(&mut self, at: usize, came: &[u8]) {
        let Some(server) = self.servers.get_mut(at) else { return };
        let mut nobody = Names::default();
        let mut client = server.client.and_then(|client| self.clients.get_mut(client));
        let names = match &mut client {
            Some(client) => client.half.names(),
            None => &mut nobody,
        };
        let Server { half, held, parameters, dirty, reset, checking, last_words, .. } = server;
        let mut session = Session { parameters, dirty, reset, checking, last_words };
        let mut told = Told::default();
        let heard = half.hear(came, &mut self.to_client, |event| {
            note(&event, names, held);
            told.turn.note(&event);
            told.note(event, &mut session);
        });
        let Told { end, lost, ready, not_ahead, turn } = told;
        for question in half.take_failed() {
            note_failed(question, names, held);
        }
        let marks = client.as_deref_mut().map(|client| &mut client.marks);
        self.pools[server.pool].stats.heard(turn, half, marks, server.since, self.now);
        let Ok(used) = heard else {
            self.to_client.clear();
            return self.lose_server(at);
        };
        if let Some((ahead, error)) = not_ahead {
            self.to_client.clear();
            let error = error.unwrap_or_else(|| gone(Severity::Error));
            return self.not_ahead(at, ahead, &error);
        }
        let begun = server.ahead.as_ref().and_then(|ahead| ahead.begun.as_ref());
        let begun = begun.map(|begun| begun.at);
        if server.ahead.is_some() && !half.owes_ahead() {
            // With the transaction that it has now its loss is its client's.
            server.used |= begun.is_some();
            server.ahead = None;
        }
        server.conn.keep(&came[used..]);
        let (again, mode) = (half.is_to_hear_again(), self.pools[server.pool].rules.mode);
        server.note_turn(ready, self.now);
        server.begun = begun.unwrap_or(server.begun);
        let (mut told, mut goes_on, of) = (Ok(()), false, server.client);
        if let Some(client) = client {
            told = client.conn.send(self.to_client.slices(came));
            goes_on = client.stuck && !(came.is_empty() && self.to_client.is_empty());
        }
        self.to_client.clear();
        of.filter(|_| goes_on).into_iter().for_each(|client| self.later(client));
        if lost {
            return self.lose_server(at);
        }
        let block = ready.is_some_and(|status| status != Status::Idle);
        if block && mode == PoolMode::Statement {
            return self.refuse_block(at);
        }
        if again && self.say_again(at).is_err() {
            return self.lose_server(at);
        }
        self.conclude(at, end || told.is_err());
    }

    /// It has been heard. `end`: its client goes, or it does itself.
    fn conclude(&mut self, at: usize, end: bool) {
        match (end, self.servers.get(at).and_then(|server| server.client)) {
            (true, Some(client)) => self.end_client(client, &[]),
            (true, None) => self.lose_server(at),
            (false, _) => self.settle(at),
        }
    }

    /// A transaction block under statement pooling ends its client's session, as PgBouncer has it.
    fn refuse_block(&mut self, at: usize) {
        let Some(client) = self.servers.get(at).and_then(|server| server.client) else {
            return self.lose_server(at);
        };
        let message = "transaction blocks not allowed in statement pooling mode";
        // Its server is closed, and what it has begun is rolled back.
        self.end_client_with(client, &ErrorResponse::fatal("08P01", message));
    }

    /// Looks whether a server is done with its client.
    pub(super) fn settle(&mut self, at: usize) {
        let Some(server) = self.servers.get_mut(at) else { return };
        // Nobody else gets one of which something may come yet.
        server.stale |= server.half.is_spent();
        if !(server.half.is_clean() || server.half.is_spent()) || server.cancelling > 0 {
            return;
        }
        let Some(number) = server.client else {
            if mem::take(&mut server.resetting) {
                server.settings = self.interned.of(BTreeMap::new());
            } else if !mem::take(&mut server.tidying) {
                return;
            }
            let class = server.class;
            return self.free(at, Some((class, 1)));
        };
        let client = &mut self.clients[number];
        let for_check = server.checking.as_ref().is_some_and(|check| check.waits);
        if !client.half.is_between() || client.stuck && !for_check {
            return;
        }
        if !self.take_check(number, at) {
            let error = ErrorResponse::fatal("0A000", "the session would have to keep its server")
                .hint(
                    "this pool refuses temporary tables, session locks, LISTEN, cursors WITH HOLD \
                     and PREPARE (`leaves = \"reject\"`)",
                );
            return self.end_client_with(number, &error);
        }
        let client = &mut self.clients[number];
        if !client.welcomed {
            self.welcome(number, at);
            self.later(number);
        }
        let server = &mut self.servers[at];
        let (dirty, reset) = (mem::take(&mut server.dirty), mem::take(&mut server.reset));
        let mode = self.pools[server.pool].rules.mode;
        // Who keeps its server is to find what its first packet asked for behind a RESET.
        let reset = reset && !self.clients[number].startup.is_empty();
        if dirty && (reset || mode != PoolMode::Session) {
            return self.ask_check(number, at, reset);
        }
        let stays = mode == PoolMode::Session || self.clients[number].pinned;
        match stays {
            true if self.servers[at].held.len() > STATEMENTS_MAX => self.tidy(at),
            true => {}
            false => self.part(number, at),
        }
    }

    /// What the session has of its own, if that was asked and is answered.
    ///
    /// `false`: what it has cannot leave its server, and that is not allowed here.
    fn take_check(&mut self, number: usize, at: usize) -> bool {
        let (client, server) = (&mut self.clients[number], &mut self.servers[at]);
        let Some(Check { found, names, one, .. }) = server.checking.take() else { return true };
        let rules = &self.pools[client.pool].rules;
        // What is set is asked again before it leaves, and thrown away if it goes.
        client.pinned = found.pinned || client.leaves.forever;
        match rules.leaves {
            _ if rules.mode == PoolMode::Session => client.pinned = false,
            Leaves::Track => {}
            Leaves::Pin => client.pinned |= !found.settings.is_empty(),
            Leaves::Reject if client.pinned => return false,
            Leaves::Reject => {}
        }
        if client.pinned {
            client.leaves.names.extend(names);
        }
        if found.partial {
            return true;
        }
        let mut set = found.settings;
        let mut all = match one {
            true => (*client.settings).clone(),
            false => (*client.startup).clone(),
        };
        all.extend(set.clone());
        if one {
            set = all.clone();
        }
        client.settings = self.interned.of(all);
        client.sense = sense(&client.settings);
        server.settings = self.interned.of(set);
        true
    }

    /// Asks it, behind the client's answer.
    fn ask_check(&mut self, number: usize, at: usize, waits: bool) {
        let (client, server) = (&mut self.clients[number], &mut self.servers[at]);
        let own = |settings: &Rc<Settings>| -> Vec<_> {
            settings.keys().filter(|name| name.contains('.')).cloned().collect()
        };
        let mut names = mem::take(&mut client.leaves.names);
        let pool = &self.pools[server.pool];
        // Nothing else can be there that was not before.
        let one = client.half.take_set().filter(|name| {
            let alone = !client.leaves.forever && names.iter().all(|other| other == name);
            let same = Rc::ptr_eq(&client.settings, &server.settings) && !client.pinned;
            alone && same && pool.rules.leaves == Leaves::Track
        });
        names.extend(own(&client.settings).into_iter().chain(own(&server.settings)));
        let text = match &one {
            Some(name) => session::check_one(name),
            None => session::check(&pool.key.user, names.iter().map(|name| &**name)),
        };
        server.checking = Some(Check { found: Found::default(), names, one: one.is_some(), waits });
        server.half.query(&text, true, &mut self.to_server);
        let sent = server.conn.send(self.to_server.slices(&[]));
        self.to_server.clear();
        if sent.is_err() {
            self.lose_server(at);
        }
    }

    /// Statements that were used longest ago are closed.
    fn tidy(&mut self, at: usize) {
        let server = &mut self.servers[at];
        server.half.tidy(&mut server.held, STATEMENTS_KEPT, &mut self.to_server);
        let sent = server.conn.send(self.to_server.slices(&[]));
        self.to_server.clear();
        if sent.is_err() {
            self.lose_server(at);
        }
    }

    /// A client gives its server back; the server is clean.
    fn part(&mut self, client: usize, at: usize) {
        self.clients[client].doing = Doing::Idle;
        let server = &mut self.servers[at];
        server.client = None;
        let busy = self.now.saturating_duration_since(server.since).as_micros();
        server.since = self.now;
        let tidies = server.held.len() > STATEMENTS_MAX;
        server.tidying = tidies;
        if self.clients[client].conn.readable {
            // What it says nobody has read while its server took no more.
            self.later(client);
        }
        if tidies {
            return self.tidy(at);
        }
        let class = self.servers[at].class;
        self.free(at, Some((class, u64::try_from(busy).unwrap_or(u64::MAX))));
    }
}
