//! An S3 server on a bad day: what stands between it and a client answers late, with errors, cuts
//! answers off, or says that it is full.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::S3Server;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Trouble {
    #[default]
    None,
    /// Each request waits so long.
    Slow(Duration),
    /// Of seven requests one is answered with 500, one carried out but its answer never comes, and
    /// one answered with half of its answer.
    Unreliable,
    /// Nothing can be written.
    Full,
}

/// It is there until the test ends.
#[derive(Debug)]
pub struct BadS3 {
    pub server: S3Server,
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default, Debug)]
struct State {
    trouble: Mutex<Trouble>,
    requests: AtomicU64,
    spoiled: AtomicU64,
}

impl BadS3 {
    #[must_use]
    pub fn start() -> BadS3 {
        let server = S3Server::start();
        let upstream = server.address();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A connection that breaks is the client's to notice.
                thread::spawn(move || serve(client, upstream, &state).ok());
            }
        });
        BadS3 { server, address, state }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn is_now(&self, trouble: Trouble) {
        *self.state.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Requests that went wrong so far.
    pub fn spoiled(&self) -> u64 {
        self.state.spoiled.load(Ordering::Relaxed)
    }
}

/// One request a connection: the server is told to close behind its answer.
fn serve(mut client: TcpStream, upstream: SocketAddr, state: &State) -> io::Result<()> {
    let head = read_head(&mut client)?;
    let number = state.requests.fetch_add(1, Ordering::Relaxed);
    let trouble = *state.trouble.lock().unwrap_or_else(PoisonError::into_inner);
    let spoiled = || state.spoiled.fetch_add(1, Ordering::Relaxed);
    match (trouble, number % 7) {
        (Trouble::Slow(time), _) => {
            spoiled();
            thread::sleep(time);
        }
        (Trouble::Unreliable, 2) => {
            spoiled();
            return refuse(&mut client, "500 Internal Server Error", "InternalError");
        }
        (Trouble::Full, _) if head.starts_with(b"PUT ") => {
            spoiled();
            return refuse(&mut client, "507 Insufficient Storage", "InsufficientStorage");
        }
        _ => {}
    }
    let mut server = TcpStream::connect(upstream)?;
    let line = head.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    server.write_all(&[&head[..line], b"Connection: close\r\n", &head[line..]].concat())?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || io::copy(&mut from, &mut to).ok());
    let mut answer = Vec::new();
    match (trouble, number % 7) {
        (Trouble::Unreliable, 4) => {
            spoiled();
            server.read_to_end(&mut answer)?;
        }
        (Trouble::Unreliable, 6) => {
            spoiled();
            server.read_to_end(&mut answer)?;
            client.write_all(&answer[..answer.len() / 2])?;
        }
        _ => {
            io::copy(&mut server, &mut client)?;
        }
    }
    client.shutdown(Shutdown::Both)
}

/// Up to the empty line, and whatever came with it.
fn read_head(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match client.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => head.extend_from_slice(&piece[..count]),
        }
    }
    Ok(head)
}

fn refuse(client: &mut TcpStream, status: &str, code: &str) -> io::Result<()> {
    let body = format!("<Error><Code>{code}</Code><Message>as the test says</Message></Error>");
    let length = body.len();
    write!(
        client,
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )?;
    client.shutdown(Shutdown::Write)?;
    // A request that is still being sent is read to its end, or the answer would be lost with it.
    io::copy(client, &mut io::sink()).map(drop)
}
