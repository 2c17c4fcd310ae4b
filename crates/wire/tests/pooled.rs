//! Clients that share servers hear what each would hear from a server of its own: random batches
//! with statements of the same names and texts, errors in the middle, transactions, any split of
//! the bytes, answers that come late. The servers are models of PostgreSQL's rules for statements.

use std::collections::{HashMap, VecDeque};

use howdah_wire::relay::statements::{Held, Known};
use howdah_wire::relay::{ClientHalf, Cuts, Event, Linked, ServerHalf, Then, note, note_failed};

/// Conversations that are played.
const SEEDS: u64 = 4_000;
/// Such as found something that seldom happens.
const FOUND: [u64; 1] = [116_080];
const CLIENTS: usize = 3;
const SERVERS: usize = 2;
const BATCHES: u64 = 6;
/// A conversation that has not ended after so many turns hangs.
const TURNS: usize = 200_000;
/// Statements that a server may keep.
const HELD_MAX: usize = 3;

#[test]
fn clients_that_share_servers_hear_what_each_would_hear_alone() {
    for seed in (1..=SEEDS).chain(FOUND) {
        let mut chance = Chance(seed);
        let said: Vec<Vec<u8>> = (0..CLIENTS).map(|_| conversation(&mut chance)).collect();
        let heard = Pool::new(&said).play(&mut chance);
        for (client, (said, heard)) in said.iter().zip(&heard).enumerate() {
            let alone = alone(said);
            assert_eq!(
                show(heard),
                show(&alone),
                "seed {seed}, client {client} said {}",
                show(said)
            );
        }
    }
}

/// Messages of a client: batches of the extended protocol, and simple queries between them.
fn conversation(chance: &mut Chance) -> Vec<u8> {
    let mut said = Vec::new();
    for _ in 0..chance.below(BATCHES) + 1 {
        match chance.below(14) {
            5 => message(&mut said, b'Q', &[b" discard ALL\0"]),
            0 => message(&mut said, b'Q', &[chance.text().as_bytes(), &[0]]),
            1 => message(&mut said, b'Q', &[b"BEGIN\0"]),
            2 => message(&mut said, b'Q', &[b"ROLLBACK\0"]),
            3 => message(&mut said, b'Q', &[b"deallocate a\0"]),
            4 => message(&mut said, b'Q', &[b"DEALLOCATE ALL\0"]),
            _ => batch(chance, &mut said),
        }
    }
    // Nothing of it stays open.
    message(&mut said, b'Q', &[b"ROLLBACK\0"]);
    said
}

fn batch(chance: &mut Chance, said: &mut Vec<u8>) {
    for _ in 0..chance.below(7) {
        let (name, portal) = (chance.name().as_bytes(), chance.portal().as_bytes());
        let name = [name, &[0]].concat();
        let portal = [portal, &[0]].concat();
        match chance.below(9) {
            0 | 1 => {
                let text = chance.text().as_bytes();
                message(said, b'P', &[&name, text, &[0], &[0, 0]]);
            }
            2 | 3 => message(said, b'B', &[&portal, &name, &[0, 0, 0, 0, 0, 0]]),
            4 => message(said, b'D', &[b"S", &name]),
            5 => message(said, b'D', &[b"P", &portal]),
            6 | 7 => message(said, b'E', &[&portal, &[0; 4]]),
            _ => message(said, b'C', &[b"S", &name]),
        }
        if chance.below(10) == 0 {
            message(said, b'H', &[]);
        }
    }
    message(said, b'S', &[]);
}

fn message(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    let len = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
    out.push(kind);
    out.extend_from_slice(&u32::try_from(len).expect("a short one").to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// What a server of its own says to all of it.
fn alone(said: &[u8]) -> Vec<u8> {
    let (mut model, mut out) = (Model::default(), Vec::new());
    model.input.extend(said);
    while model.turn(&mut out) {}
    out
}

/// Heads and bodies, one a line, with errors by their SQLSTATE: names in their texts are the
/// server's own.
fn show(bytes: &[u8]) -> String {
    let (mut rest, mut lines) = (bytes, Vec::new());
    while let [kind, a, b, c, d, after @ ..] = rest {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
        let body = match (kind, after[..len].iter().position(|byte| *byte == b'C')) {
            (b'E', Some(at)) if len > 9 && after[0] == b'S' => &after[at..at + 6],
            _ => &after[..len],
        };
        lines.push(format!("{} {}", char::from(*kind), body.escape_ascii()));
        rest = &after[len..];
    }
    lines.join("\n")
}

/// Clients, servers, and who has whom.
struct Pool {
    clients: Vec<Client>,
    servers: Vec<Server>,
    known: Known,
}

struct Client {
    half: ClientHalf,
    /// Said, and not followed yet.
    said: VecDeque<u8>,
    /// What has reached the pooler of it.
    there: usize,
    heard: Vec<u8>,
    linked: Option<usize>,
}

#[derive(Default)]
struct Server {
    half: ServerHalf,
    held: Held,
    model: Model,
    /// Said by the model, and not heard yet.
    said: Vec<u8>,
    there: usize,
    taken: bool,
}

impl Pool {
    fn new(said: &[Vec<u8>]) -> Pool {
        let client = |said: &Vec<u8>| Client {
            half: ClientHalf::new(1_000),
            said: said.iter().copied().collect(),
            there: 0,
            heard: Vec::new(),
            linked: None,
        };
        Pool {
            clients: said.iter().map(client).collect(),
            servers: (0..SERVERS).map(|_| Server::default()).collect(),
            known: Known::new(200, 0, [7; 32]),
        }
    }

    fn play(mut self, chance: &mut Chance) -> Vec<Vec<u8>> {
        for _ in 0..TURNS {
            if self.clients.iter().all(|client| client.said.is_empty() && client.linked.is_none()) {
                return self.clients.into_iter().map(|client| client.heard).collect();
            }
            let client = chance.below(CLIENTS as u64) as usize;
            match chance.below(4) {
                0 => self.more(client, chance),
                1 => self.speak(client),
                2 => self.serve(client, chance),
                _ => self.hear(client, chance),
            }
        }
        panic!("the conversation hangs")
    }

    /// More of what a client says arrives.
    fn more(&mut self, client: usize, chance: &mut Chance) {
        let client = &mut self.clients[client];
        client.there = client.said.len().min(client.there + chance.below(40) as usize);
    }

    fn speak(&mut self, client: usize) {
        let Pool { clients, servers, known } = self;
        let client = &mut clients[client];
        if client.there == 0 {
            return;
        }
        if client.linked.is_none() {
            client.linked = servers.iter().position(|server| !server.taken);
        }
        let Some(server) = client.linked.map(|at| &mut servers[at]) else { return };
        if !std::mem::replace(&mut server.taken, true) {
            close_beyond(server);
        }
        let there: Vec<u8> = client.said.iter().copied().take(client.there).collect();
        let mut cuts = Cuts::default();
        let Server { half, held, .. } = server;
        let mut linked = Linked { server: half, held, known, settings: 0, to_server: &mut cuts };
        let followed = client.half.speak(&there, &mut linked).expect("a conversation");
        assert_ne!(followed.then, Then::Gone);
        server.model.input.extend(cuts.to_vec(&there));
        client.said.drain(..followed.used);
        client.there -= followed.used;
        settle(client, server);
    }

    /// The server works on some of what it was asked.
    fn serve(&mut self, client: usize, chance: &mut Chance) {
        let Some(at) = self.clients[client].linked else { return };
        let server = &mut self.servers[at];
        for _ in 0..chance.below(5) {
            server.model.turn(&mut server.said);
        }
    }

    fn hear(&mut self, client: usize, chance: &mut Chance) {
        let client = &mut self.clients[client];
        let Some(server) = client.linked.map(|at| &mut self.servers[at]) else { return };
        server.there = server.said.len().min(server.there + chance.below(60) as usize);
        let (there, mut cuts) = (server.said[..server.there].to_vec(), Cuts::default());
        let Server { half, held, .. } = server;
        let names = client.half.names();
        let used = half.hear(&there, &mut cuts, |event| note(&event, names, held));
        let used = used.unwrap_or_else(|lost| panic!("{lost}: {}", show(&there)));
        client.heard.extend(cuts.to_vec(&there));
        server.said.drain(..used);
        server.there -= used;
        settle(client, server);
        if server.half.is_clean() && client.half.is_between() && server.said.is_empty() {
            // A Flush asks for nothing.
            while server.model.turn(&mut server.said) {}
            assert!(
                server.said.is_empty() && server.model.is_idle(),
                "it is in the middle of something"
            );
            server.taken = false;
            client.linked = None;
        }
    }
}

fn settle(client: &mut Client, server: &mut Server) {
    let names = client.half.names();
    for question in server.half.take_failed().collect::<Vec<_>>() {
        note_failed(question, names, &mut server.held);
    }
    // What is made without the server having said anything.
    let mut cuts = Cuts::default();
    let Server { half, held, .. } = server;
    let none = half.hear(&[], &mut cuts, |event: Event<'_>| note(&event, names, held));
    assert_eq!(none, Ok(0));
    client.heard.extend(cuts.to_vec(&[]));
}

/// A server that has too many statements loses some before a client gets it.
fn close_beyond(server: &mut Server) {
    let mut cuts = Cuts::default();
    server.half.close_beyond(&mut server.held, HELD_MAX, &mut cuts);
    server.model.input.extend(cuts.to_vec(&[]));
}

/// PostgreSQL, as far as statements go.
#[derive(Default)]
struct Model {
    input: VecDeque<u8>,
    statements: HashMap<Vec<u8>, Vec<u8>>,
    portals: HashMap<Vec<u8>, Vec<u8>>,
    passing_over: bool,
    open: bool,
    failed: bool,
}

impl Model {
    fn is_idle(&self) -> bool {
        self.input.is_empty() && !self.passing_over && !self.open
    }

    /// Works on one message.
    fn turn(&mut self, out: &mut Vec<u8>) -> bool {
        let head: Vec<u8> = self.input.iter().copied().take(5).collect();
        let [kind, ref len @ ..] = head[..] else { return false };
        let len = u32::from_be_bytes(<[u8; 4]>::try_from(len).expect("four")) as usize + 1;
        if self.input.len() < len {
            return false;
        }
        let message: Vec<u8> = self.input.drain(..len).collect();
        let fields: Vec<Vec<u8>> =
            message[5..].split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        if self.passing_over && kind != b'S' {
            return true;
        }
        match self.answer(kind, &fields, out) {
            Ok(()) => {}
            Err(state) => {
                self::message(out, b'E', &[b"SERROR\0C", state.as_bytes(), b"\0\0"]);
                self.failed = self.open;
                self.passing_over = kind != b'Q';
                if !self.open {
                    self.portals.clear();
                }
                if kind == b'Q' {
                    self.ready(out);
                }
            }
        }
        true
    }

    fn answer(
        &mut self,
        kind: u8,
        fields: &[Vec<u8>],
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        match kind {
            b'P' => {
                if fields[0].is_empty() {
                    self.statements.remove(&fields[0]);
                }
                self.judge(&fields[1])?;
                if !fields[0].is_empty() && self.statements.contains_key(&fields[0]) {
                    return Err("42P05");
                }
                self.statements.insert(fields[0].clone(), fields[1].clone());
                message(out, b'1', &[]);
            }
            b'B' => {
                let text = self.statements.get(&fields[1]).cloned().ok_or("26000")?;
                self.judge(&text)?;
                if !fields[0].is_empty() && self.portals.contains_key(&fields[0]) {
                    return Err("42P03");
                }
                self.portals.insert(fields[0].clone(), text);
                message(out, b'2', &[]);
            }
            b'D' => {
                let (of, name) = fields[0].split_first().expect("S or P");
                let text = match of {
                    b'S' => self.statements.get(name).ok_or("26000")?,
                    _ => self.portals.get(name).ok_or("34000")?,
                };
                let text = text.clone();
                self.judge(&text)?;
                if *of == b'S' {
                    message(out, b't', &[&[0, 0]]);
                }
                message(out, b'T', &[&text]);
            }
            b'E' => {
                let text = self.portals.get(&fields[0]).cloned().ok_or("34000")?;
                self.judge(&text)?;
                if let Some(tag) = self.deallocate(&text)? {
                    message(out, b'C', &[tag]);
                    return Ok(());
                }
                message(out, b'D', &[&text]);
                if text == b"breaks" {
                    return Err("22012");
                }
                message(out, b'C', &[b"SELECT 1\0"]);
            }
            b'C' => {
                let (of, name) = fields[0].split_first().expect("S or P");
                match of {
                    b'S' => drop(self.statements.remove(name)),
                    _ => drop(self.portals.remove(name)),
                }
                message(out, b'3', &[]);
            }
            b'S' => {
                self.passing_over = false;
                self.ready(out);
            }
            b'Q' => self.query(&fields[0], out)?,
            _ => {}
        }
        Ok(())
    }

    fn query(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        self.statements.remove(&b""[..]);
        match text {
            b"BEGIN" if self.failed => return Err("25P02"),
            b"BEGIN" => self.open = true,
            b"ROLLBACK" => (self.open, self.failed) = (false, false),
            b" discard ALL" => {
                self.judge(text)?;
                if self.open {
                    return Err("25001");
                }
                self.statements.clear();
                message(out, b'C', &[b"DISCARD ALL\0"]);
                self.ready(out);
                return Ok(());
            }
            _ => {
                self.judge(text)?;
                if let Some(tag) = self.deallocate(text)? {
                    message(out, b'C', &[tag]);
                    self.ready(out);
                    return Ok(());
                }
                message(out, b'D', &[text]);
                if text == b"breaks" {
                    return Err("22012");
                }
            }
        }
        message(out, b'C', &[b"SELECT 1\0"]);
        self.ready(out);
        Ok(())
    }

    /// The tag, if it is one: it takes away what it names, or all.
    fn deallocate(&mut self, text: &[u8]) -> Result<Option<&'static [u8]>, &'static str> {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix(b"deallocate ") {
            None => Ok(None),
            Some(b"all") => {
                self.statements.clear();
                Ok(Some(b"DEALLOCATE ALL\0"))
            }
            Some(name) => {
                self.statements.remove(name).ok_or("26000")?;
                Ok(Some(b"DEALLOCATE\0"))
            }
        }
    }

    fn judge(&self, text: &[u8]) -> Result<(), &'static str> {
        match text {
            _ if self.failed => Err("25P02"),
            b"bad" => Err("42601"),
            _ => Ok(()),
        }
    }

    fn ready(&mut self, out: &mut Vec<u8>) {
        if !self.open {
            self.portals.clear();
        }
        let status = match (self.open, self.failed) {
            (false, _) => b"I",
            (true, false) => b"T",
            (true, true) => b"E",
        };
        message(out, b'Z', &[status]);
    }
}

/// Splitmix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }

    fn one(&mut self, of: &'static [&'static str]) -> &'static str {
        of[self.below(of.len() as u64) as usize]
    }

    fn name(&mut self) -> &'static str {
        self.one(&["", "a", "b", "c"])
    }

    fn portal(&mut self) -> &'static str {
        self.one(&["", "", "p"])
    }

    fn text(&mut self) -> &'static str {
        self.one(&[
            "one",
            "two",
            "three",
            "four",
            "five",
            "bad",
            "breaks",
            "deallocate b",
            "Deallocate all",
        ])
    }
}
