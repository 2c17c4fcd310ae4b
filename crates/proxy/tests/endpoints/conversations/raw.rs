//! A client that is nothing but bytes: what it sends is what the test says, and what it hears is
//! kept as it came.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use howdah_wire::scram::{Asking, MECHANISM, Secret};
use howdah_wire::{Authentication, InitialResponse, message, sasl_response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::chance::Chance;
use crate::pg::PASSWORD;

/// How long any answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Raw {
    hears: OwnedReadHalf,
    says: OwnedWriteHalf,
    /// What it was told before its first ReadyForQuery.
    pub greeting: Vec<(u8, Vec<u8>)>,
}

impl Raw {
    /// A session as `app`, from an address of this machine.
    pub async fn log_in(from: Ipv4Addr, to: SocketAddr, database: &str) -> Raw {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind((from, 0).into()).expect("the source address");
        let tcp = socket.connect(to).await.expect("a listener");
        tcp.set_nodelay(true).expect("no delay");
        let (hears, says) = tcp.into_split();
        let mut raw = Raw { hears, says, greeting: Vec::new() };
        let mut body = 0x0003_0000_u32.to_be_bytes().to_vec();
        body.extend(format!("user\0app\0database\0{database}\0\0").into_bytes());
        let len = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        raw.send(&[&len[..], &body].concat()).await;
        raw.prove().await;
        loop {
            let heard = raw.hear().await.expect("a session");
            assert_ne!(heard.0, b'E', "{}", heard.1.escape_ascii());
            let is_in = heard.0 == b'Z';
            raw.greeting.push(heard);
            if is_in {
                return raw;
            }
        }
    }

    async fn prove(&mut self) {
        let asking = Asking::new("nonce-of-a-client-of-this-test", None);
        let mut out = Vec::new();
        InitialResponse { mechanism: MECHANISM, data: &asking.first() }.write(&mut out);
        self.hear().await.expect("a question");
        self.send(&out).await;
        let (_, body) = self.hear().await.expect("a question");
        let Some(Authentication::SaslContinue(question)) = Authentication::read(&body) else {
            panic!("no question: {}", body.escape_ascii());
        };
        let question = std::str::from_utf8(question).expect("text");
        let secret = Secret::Password(PASSWORD.to_owned());
        let asked = asking.answer(question, &secret).expect("a question");
        out.clear();
        sasl_response(&mut out, &asked.last);
        self.send(&out).await;
        self.hear().await.expect("the server's proof");
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.says.write_all(bytes).await.expect("sent");
    }

    /// The next message; `None`: the session has ended.
    pub async fn hear(&mut self) -> Option<(u8, Vec<u8>)> {
        timeout(PATIENCE, read(&mut self.hears)).await.expect("an answer in time")
    }

    /// Says `bytes` in pieces, and hears at the same time, until `enough`; what has been heard, and
    /// whether all of that came.
    pub async fn exchange(
        &mut self,
        bytes: &[u8],
        chance: &mut Chance,
        mut enough: impl FnMut(u8) -> bool,
    ) -> (Vec<(u8, Vec<u8>)>, bool) {
        let Raw { hears, says, .. } = self;
        let mut heard = Vec::new();
        let say = async {
            for piece in pieces(bytes, chance) {
                // Whoever has been disconnected hears so.
                let _ = says.write_all(piece).await;
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
        };
        let hear = async {
            while let Some(message) = read(hears).await {
                let kind = message.0;
                heard.push(message);
                if enough(kind) {
                    return;
                }
            }
        };
        let both = async { tokio::join!(say, hear) };
        let came = timeout(PATIENCE, both).await.is_ok();
        (heard, came)
    }

    /// Says it, and hears what is still to come until the session is over.
    pub async fn leave(mut self) -> Vec<(u8, Vec<u8>)> {
        let mut bytes = Vec::new();
        message(&mut bytes, b'X', &[]);
        let _ = self.says.write_all(&bytes).await;
        let mut heard = Vec::new();
        while let Some(message) = self.hear().await {
            heard.push(message);
        }
        heard
    }

    /// Says a part of it, and is gone.
    pub async fn vanish(mut self, bytes: &[u8]) {
        let _ = self.says.write_all(bytes).await;
    }
}

async fn read(hears: &mut OwnedReadHalf) -> Option<(u8, Vec<u8>)> {
    let kind = hears.read_u8().await.ok()?;
    let len = hears.read_u32().await.ok()?;
    let mut body = vec![0; usize::try_from(len).ok()?.checked_sub(4)?];
    hears.read_exact(&mut body).await.ok()?;
    Some((kind, body))
}

/// Cut anywhere, a few times.
fn pieces<'a>(bytes: &'a [u8], chance: &mut Chance) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = (0..chance.below(5)).map(|_| chance.below(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}
