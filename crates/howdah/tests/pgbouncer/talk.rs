//! A client by hand, for bytes that no driver sends and words that drivers keep to themselves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::rig::WITHIN;

pub struct Talk(TcpStream);

impl Talk {
    pub fn to(address: impl Into<SocketAddr>) -> Talk {
        let tcp = TcpStream::connect(address.into()).expect("a listener");
        tcp.set_read_timeout(Some(WITHIN)).expect("a bound");
        Talk(tcp)
    }

    /// A session of a user who is asked for nothing.
    pub fn session(address: impl Into<SocketAddr>, user: &str, database: &str) -> Talk {
        let mut talk = Talk::to(address);
        talk.say(&startup(&format!("user|{user}|database|{database}||")));
        let heard = talk.hear();
        assert!(heard.ends_with('Z'), "{heard}");
        talk
    }

    /// It may have hung up in the middle.
    pub fn say(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    pub fn ask(&mut self, sql: &str) -> String {
        self.say(&message(b'Q', &[sql.as_bytes(), b"\0"].concat()));
        self.hear()
    }

    /// All up to where it is ready for a query, asks something, or has hung up: kinds of messages,
    /// the first value of a row, and what an error says.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        let mut all = Vec::new();
        loop {
            let Some((kind, body)) = self.next() else {
                all.push("end".to_owned());
                return all.join(" ");
            };
            match kind {
                b'S' | b'T' | b'C' | b'K' => {}
                b'R' if body.starts_with(&[0, 0, 0, 0]) => {}
                b'E' => all.push(error(&body)),
                b'D' => all.push(String::from_utf8_lossy(&body[6..]).into_owned()),
                kind => all.push(char::from(kind).to_string()),
            }
            if matches!(kind, b'Z') || kind == b'R' && !body.starts_with(&[0, 0, 0, 0]) {
                return all.join(" ");
            }
        }
    }

    #[track_caller]
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut kind = [0];
        self.read(&mut kind)?;
        // The answer to a request for encryption.
        if kind == *b"N" {
            return Some((b'N', Vec::new()));
        }
        let mut len = [0; 4];
        self.read(&mut len)?;
        let mut body = vec![0; (u32::from_be_bytes(len) as usize).checked_sub(4)?];
        self.read(&mut body)?;
        Some((kind[0], body))
    }

    /// `None`: an end, or a reset.
    #[track_caller]
    fn read(&mut self, into: &mut [u8]) -> Option<()> {
        match self.0.read_exact(into) {
            Ok(()) => Some(()),
            Err(error) => {
                let late = std::io::ErrorKind::WouldBlock;
                assert_ne!(error.kind(), late, "it is kept waiting");
                None
            }
        }
    }
}

fn error(body: &[u8]) -> String {
    let field = |kind: u8| {
        let found = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&kind));
        found.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).unwrap_or_default()
    };
    format!("[{} {} {}]", field(b'S'), field(b'C'), field(b'M'))
}

pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &packet(body)].concat()
}

/// A length, and what it is the length of.
pub fn packet(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&len, body].concat()
}

/// A first packet; `|` for each zero byte.
pub fn startup(parameters: &str) -> Vec<u8> {
    packet(&[&[0, 3, 0, 0], parameters.replace('|', "\0").as_bytes()].concat())
}
