//! Sessions by hand, message by message.

use howdah_proxy::Endpoint::Rw;
use howdah_wire::scram::{Asking, MECHANISM, Secret};
use howdah_wire::{Authentication, InitialResponse, Message, message, sasl_response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pg::PASSWORD;
use crate::rig::Node;

/// A connection that has sent its first packet.
pub async fn begin(node: &Node, version: [u8; 4], more: &str) -> TcpStream {
    let body = format!("user\0app\0database\0postgres\0{}\0", more.replace('|', "\0"));
    let len = u32::try_from(body.len() + 8).expect("short").to_be_bytes();
    let mut tcp = TcpStream::connect(node.address(Rw)).await.expect("a listener");
    tcp.write_all(&[&len[..], &version, body.as_bytes()].concat()).await.expect("sent");
    tcp
}

pub async fn hear(tcp: &mut TcpStream) -> (u8, Vec<u8>) {
    let kind = tcp.read_u8().await.expect("a message");
    let len = tcp.read_u32().await.expect("its length") as usize;
    let mut body = vec![0; len - 4];
    tcp.read_exact(&mut body).await.expect("its body");
    (kind, body)
}

pub async fn say(tcp: &mut TcpStream, message: &[u8]) {
    tcp.write_all(message).await.expect("sent");
}

/// Logs in by SCRAM; what it is told then, up to the first ReadyForQuery.
pub async fn log_in(tcp: &mut TcpStream) -> Vec<(u8, Vec<u8>)> {
    let (kind, body) = hear(tcp).await;
    assert!(kind == b'R' && Authentication::read(&body).expect("a question").offers(MECHANISM));
    let asking = Asking::not_offered("rOprNGfwEbeRWgbNEkqO");
    let mut out = Vec::new();
    InitialResponse { mechanism: MECHANISM, data: &asking.first() }.write(&mut out);
    say(tcp, &out).await;
    let (_, body) = hear(tcp).await;
    let Some(Authentication::SaslContinue(question)) = Authentication::read(&body) else {
        panic!("no question: {}", body.escape_ascii())
    };
    let question = std::str::from_utf8(question).expect("text");
    let asked = asking.answer(question, &Secret::Password(PASSWORD.to_owned())).expect("asked");
    let mut out = Vec::new();
    sasl_response(&mut out, &asked.last);
    say(tcp, &out).await;
    let mut told = vec![hear(tcp).await];
    while told.last().is_some_and(|(kind, _)| *kind != b'Z') {
        told.push(hear(tcp).await);
    }
    told
}

/// Lets a client in.
pub async fn session(node: &Node) -> TcpStream {
    let mut tcp = begin(node, [0, 3, 0, 0], "").await;
    log_in(&mut tcp).await;
    tcp
}

/// Says such messages, and a Sync unless they are a Query; what is heard then, by kinds, errors by
/// their SQLSTATE, ReadyForQuery with its status.
pub async fn ask(tcp: &mut TcpStream, asked: &[(u8, &[u8])]) -> String {
    let mut out = Vec::new();
    asked.iter().for_each(|(kind, body)| message(&mut out, *kind, &[body]));
    if !asked.iter().any(|(kind, _)| *kind == b'Q') {
        message(&mut out, b'S', &[]);
    }
    say(tcp, &out).await;
    let mut heard = Vec::new();
    loop {
        let (kind, body) = hear(tcp).await;
        let state = Message { kind, body: &body }.sqlstate().map(String::from_utf8_lossy);
        match kind {
            b'N' | b'S' => {}
            b'Z' => {
                heard.push(format!("Z{}", char::from(body[0])));
                return heard.join(" ");
            }
            _ => heard.push(format!("{}{}", char::from(kind), state.unwrap_or_default())),
        }
    }
}
