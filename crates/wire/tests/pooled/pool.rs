//! Clients and servers of a pool, whatever comes first of what they say.

use std::collections::VecDeque;

use howdah_wire::relay::statements::{Held, Known};
use howdah_wire::relay::{ClientHalf, Cuts, Event, Linked, ServerHalf, Then, note, note_failed};

use super::chance::Chance;
use super::model::Model;
use super::world::show;

const SERVERS: usize = 2;
/// A conversation that has not ended after so many turns hangs.
const TURNS: usize = 200_000;
/// Statements that a server may keep.
const HELD_MAX: usize = 3;

/// Clients, servers, and who has whom.
pub struct Pool {
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
    pub fn new(said: &[Vec<u8>]) -> Pool {
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
            known: Known::new(200, [7; 32]),
        }
    }

    pub fn play(mut self, chance: &mut Chance) -> Vec<Vec<u8>> {
        for _ in 0..TURNS {
            if self.clients.iter().all(|client| client.said.is_empty() && client.linked.is_none()) {
                return self.clients.into_iter().map(|client| client.heard).collect();
            }
            let client = chance.below(self.clients.len() as u64) as usize;
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
        let used = used.unwrap_or_else(|lost| {
            let heard = show(&client.heard);
            panic!("{lost}: {}; its client has heard {heard}", show(&there))
        });
        client.heard.extend(cuts.to_vec(&there));
        server.said.drain(..used);
        server.there -= used;
        settle(client, server);
        let spent = server.half.is_spent();
        let done = spent || server.half.is_clean();
        if done && client.half.is_between() && server.said.is_empty() {
            // A Flush asks for nothing.
            while server.model.turn(&mut server.said) {}
            assert!(
                server.said.is_empty() && server.model.is_idle(),
                "it is in the middle of something"
            );
            server.taken = false;
            client.linked = None;
            if spent {
                *server = Server::default();
            }
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
