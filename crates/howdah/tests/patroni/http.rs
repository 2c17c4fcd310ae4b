//! One request by hand, with no more headers than it is given, and the code of its answer.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than a switchover takes.
const ANSWER_WITHIN: Duration = Duration::from_secs(100);

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: String,
}

/// `user`: name and password. A body comes with its length; `None` sends neither.
pub fn ask(
    port: u16,
    method: &str,
    path: &str,
    user: Option<(&str, &str)>,
    body: Option<&str>,
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    if let Some((name, password)) = user {
        head += &format!("Authorization: Basic {}\r\n", base64(&format!("{name}:{password}")));
    }
    if let Some(body) = body {
        head += &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    let text = exchange(port, &format!("{head}\r\n{}", body.unwrap_or_default()));
    let code = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Answer { code: code.unwrap_or(0), body }
}

/// Everything until the other end closes, or nothing when there is nobody.
fn exchange(port: u16, request: &str) -> String {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut bytes = Vec::new();
    let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(2)) else {
        return String::new();
    };
    stream.set_read_timeout(Some(ANSWER_WITHIN)).expect("a time-out");
    if stream.write_all(request.as_bytes()).is_ok() {
        // Python's server closes while it has more to read; what came before counts.
        stream.read_to_end(&mut bytes).ok();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut coded = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place)) as usize & 63];
            coded.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    coded
}

#[test]
fn base64_is_base64() {
    for (text, coded) in [("", ""), ("a", "YQ=="), ("ab", "YWI="), ("abc", "YWJj")] {
        assert_eq!(base64(text), coded);
    }
}
