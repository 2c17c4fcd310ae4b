//! Bytes of nobody's client: what a server hangs up on, the node hangs up on, in the same words; and
//! whoever behaves notices nothing.

mod crowds;
mod messages;
mod openings;
mod settings;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use howdah_proxy::Endpoint::Rw;
use howdah_wire::scram::{Asked, Asking, MECHANISM, Secret};
use howdah_wire::{Authentication, InitialResponse, sasl_response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::pg::{PASSWORD, Pg};
use crate::rig::Node;

/// Longer than anything that is not cut takes on any machine.
const LONG: Duration = Duration::from_secs(60);

/// To the server itself: it lets in whoever comes from the proxy's address.
async fn to_server(pg: &Pg) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 72, 68, 1), 0).into()).expect("the proxy's address");
    socket.connect((Ipv4Addr::LOCALHOST, pg.port).into()).await.expect("a server")
}

async fn to_node(node: &Node) -> TcpStream {
    to_address(node.address(Rw)).await
}

async fn to_address(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.expect("a listener")
}

/// A first packet of protocol 3.0, its length before it.
fn startup(body: &[u8]) -> Vec<u8> {
    packet(&[&[0, 3, 0, 0], body].concat())
}

fn packet(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
    [&len, body].concat()
}

/// Parameters, `|` for each zero byte; the last one ends them all.
fn zeros(text: &str) -> Vec<u8> {
    text.replace('|', "\0").into_bytes()
}

/// Says this, and hears until the other side has hung up, is ready for a query, or has asked
/// something: kinds of messages, SQLSTATE and words of errors.
async fn heard(tcp: &mut TcpStream, said: &[u8]) -> String {
    // It may have hung up in the middle.
    let _ = tcp.write_all(said).await;
    let mut all = Vec::new();
    loop {
        match timeout(LONG, message(tcp)).await.expect("it is not kept waiting") {
            Ok((b'S', _)) => {}
            Ok((b'E', body)) => all.push(error(&body)),
            Ok((kind @ (b'Z' | b'R'), _)) => {
                all.push(char::from(kind).to_string());
                return all.join(" ");
            }
            Ok((kind, _)) => all.push(char::from(kind).to_string()),
            Err(_) => {
                all.push("end".to_owned());
                return all.join(" ");
            }
        }
    }
}

/// The bytes that come in place of a message are one of them: an answer to a request.
async fn message(tcp: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let kind = tcp.read_u8().await?;
    if kind == b'N' {
        return Ok((kind, Vec::new()));
    }
    let len = tcp.read_u32().await? as usize;
    let mut body = vec![0; len.checked_sub(4).ok_or(io::ErrorKind::InvalidData)?];
    tcp.read_exact(&mut body).await?;
    Ok((kind, body))
}

/// Severity, SQLSTATE and message; what depends on the server's version is left out.
fn error(body: &[u8]) -> String {
    let field = |kind: u8| {
        let found = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&kind));
        found.map(|field| String::from_utf8_lossy(&field[1..]).into_owned()).unwrap_or_default()
    };
    let text = field(b'M');
    let text = text.split_once(": server supports").map_or(&*text, |(before, _)| before);
    format!("[{} {} {text}]", field(b'S'), field(b'C'))
}

/// Sends a first packet and logs in by the password of `app`; what is heard in the end.
async fn log_in(tcp: &mut TcpStream, first: &[u8]) -> String {
    tcp.write_all(first).await.expect("sent");
    let secret = Secret::Password(PASSWORD.to_owned());
    let mut asking = Some(Asking::not_offered("rOprNGfwEbeRWgbNEkqO"));
    let mut asked: Option<Asked> = None;
    loop {
        let Ok((kind, body)) = timeout(LONG, message(tcp)).await.expect("an answer") else {
            return "end".to_owned();
        };
        let mut out = Vec::new();
        match (kind, Authentication::read(&body)) {
            (b'E', _) => return error(&body),
            (b'Z', _) => return "Z".to_owned(),
            (b'R', Some(Authentication::Sasl { .. })) => {
                let first = asking.as_ref().expect("once").first();
                InitialResponse { mechanism: MECHANISM, data: &first }.write(&mut out);
            }
            (b'R', Some(Authentication::SaslContinue(question))) => {
                let question = std::str::from_utf8(question).expect("a text");
                let answer = asking.take().expect("once").answer(question, &secret);
                let answer = answer.expect("a question");
                sasl_response(&mut out, &answer.last);
                asked = Some(answer);
            }
            (b'R', Some(Authentication::SaslFinal(last))) => {
                let last = std::str::from_utf8(last).expect("a text");
                asked.take().expect("asked").check(last).expect("it has proved itself");
            }
            _ => {}
        }
        tcp.write_all(&out).await.expect("sent");
    }
}

/// Whatever it says, it hangs up.
async fn until_end(tcp: &mut TcpStream) {
    let mut rest = Vec::new();
    // A reset is an end too.
    let _ = timeout(LONG, tcp.read_to_end(&mut rest)).await.expect("it hangs up");
}
