//! One HTTP/1.1 request over a plain connection: enough for status pages on loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// The answer's status code and body.
#[derive(Clone, Debug)]
pub struct Answer {
    pub code: u16,
    pub body: String,
}

pub fn get(port: u16, path: &str) -> Result<Answer> {
    request(port, "GET", path, "", "")
}

/// As [`get`], of another machine.
pub fn get_at(address: SocketAddr, path: &str) -> Result<Answer> {
    request_at(address, "GET", path, "", "")
}

pub fn post(port: u16, path: &str, body: &str) -> Result<Answer> {
    request(port, "POST", path, "Content-Type: application/json\r\n", body)
}

/// As [`post`], to another machine.
pub fn post_at(address: SocketAddr, path: &str, body: &str) -> Result<Answer> {
    request_at(address, "POST", path, "Content-Type: application/json\r\n", body)
}

/// `headers` are whole lines, each with its end. Bounded: a frozen server costs seconds.
pub fn request(port: u16, method: &str, path: &str, headers: &str, body: &str) -> Result<Answer> {
    request_at(SocketAddr::from(([127, 0, 0, 1], port)), method, path, headers, body)
}

fn request_at(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
    // A switchover answers only when it is done.
    let bound = if method == "GET" { 2 } else { 120 };
    stream.set_read_timeout(Some(Duration::from_secs(bound)))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text).context("read the answer")?;
    parse(&text)
}

fn parse(text: &str) -> Result<Answer> {
    let (head, body) = text.split_once("\r\n\r\n").context("an answer with a header")?;
    let code = head.split(' ').nth(1).context("a status line")?.parse()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Ok(Answer { code, body: if chunked { join_chunks(body) } else { body.to_owned() } })
}

fn join_chunks(mut rest: &str) -> String {
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        let Some(chunk) = after.get(..size).filter(|chunk| !chunk.is_empty()) else { break };
        whole.push_str(chunk);
        rest = after[size..].trim_start_matches("\r\n");
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_chunked_bodies_are_read() {
        let plain = parse("HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello").expect("valid");
        assert_eq!((plain.code, plain.body.as_str()), (200, "hello"));
        let chunked =
            "HTTP/1.1 503 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        let chunked = parse(chunked).expect("valid");
        assert_eq!((chunked.code, chunked.body.as_str()), (503, "hello"));
    }
}
