//! The attached clients: read without waiting, written without waiting, dropped when they fail.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};

use crate::lines::Lines;
use crate::message::{Event, Refusal, Reply, Said, line};

/// The agent, its successor while it starts, and people who look.
const CLIENTS_MAX: usize = 8;
/// What a client may leave unread before it is dropped: it is frozen or gone.
const UNREAD_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, Default)]
pub struct Clients {
    list: Vec<Client>,
}

#[derive(Debug)]
pub struct Client {
    pub stream: UnixStream,
    lines: Lines,
    unsent: Vec<u8>,
    broken: bool,
}

impl Clients {
    /// Takes everybody who waits at the door. Beyond the bound they are told so and sent away.
    pub fn accept(&mut self, listener: &UnixListener) {
        while let Ok((stream, _)) = listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            let mut client =
                Client { stream, lines: Lines::default(), unsent: Vec::new(), broken: false };
            if self.list.len() < CLIENTS_MAX {
                self.list.push(client);
            } else {
                let refusal = Refusal::TooManyClients { max: CLIENTS_MAX as u32 };
                client.send(&Said::Reply { id: 0, reply: Reply::Refused { refusal } });
            }
        }
    }

    /// In the order of their indexes, which hold until [`Clients::drop_broken`].
    pub fn iter(&self) -> impl Iterator<Item = &Client> {
        self.list.iter()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn get(&mut self, index: usize) -> Option<&mut Client> {
        self.list.get_mut(index)
    }

    pub fn tell_all(&mut self, event: &Event) {
        for client in &mut self.list {
            client.send(&Said::Event(event.clone()));
        }
    }

    pub fn drop_broken(&mut self) {
        self.list.retain(|client| !client.broken);
    }
}

impl Client {
    /// The lines that are whole now. Reads one piece only, so that a client that never stops
    /// talking cannot keep the guard from its deadline.
    pub fn read(&mut self) -> Vec<Vec<u8>> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(count @ 1..) => match self.lines.take(&bytes[..count]) {
                Ok(lines) => return lines,
                Err(_) => self.broken = true,
            },
            Err(error) if may_go_on(error.kind()) => {}
            _ => self.broken = true,
        }
        Vec::new()
    }

    pub fn send(&mut self, said: &Said) {
        self.unsent.extend_from_slice(&line(said));
        self.flush();
        self.broken |= self.unsent.len() > UNREAD_BYTES_MAX;
    }

    /// Writes what the socket takes now.
    pub fn flush(&mut self) {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count @ 1..) => drop(self.unsent.drain(..count)),
                Err(error) if may_go_on(error.kind()) => return,
                _ => {
                    self.broken = true;
                    return;
                }
            }
        }
    }

    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }
}

fn may_go_on(error: ErrorKind) -> bool {
    matches!(error, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
