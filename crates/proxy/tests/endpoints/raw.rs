//! A client that shows every byte of an answer: types of columns, tags, fields of errors.

use std::net::SocketAddr;
use std::time::Duration;

use howdah_wire::scram::{Asked, Asking, MECHANISM, Secret};
use howdah_wire::{Authentication, InitialResponse, message, sasl_response};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::pg::PASSWORD;

/// Whatever is asked here is answered at once, or waits for nothing but a test's other half.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Raw {
    tcp: TcpStream,
}

/// What was said to one Query.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Said {
    /// Name, type's number, bytes of a value.
    pub columns: Vec<(String, u32, i16)>,
    pub rows: Vec<Vec<Option<String>>>,
    pub tag: Option<String>,
    /// Severity, SQLSTATE, message.
    pub error: Option<[String; 3]>,
    pub notice: Option<[String; 3]>,
    /// Settings, each with its value.
    pub reported: Vec<String>,
}

impl Said {
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|(name, ..)| &**name).collect()
    }

    /// The value of this column, of the row that has these values.
    pub fn value(&self, column: &str, of: &[(&str, &str)]) -> String {
        let at = |name| self.names().iter().position(|other| *other == name).expect(name);
        let fits = |row: &&Vec<Option<String>>| {
            of.iter().all(|(name, value)| row[at(name)].as_deref() == Some(value))
        };
        let row = self.rows.iter().find(fits).unwrap_or_else(|| panic!("no {of:?}: {self:?}"));
        row[at(column)].clone().unwrap_or_else(|| "NULL".to_owned())
    }

    pub fn number(&self, column: &str, of: &[(&str, &str)]) -> u64 {
        self.value(column, of).parse().expect("a number")
    }
}

impl From<TcpStream> for Raw {
    /// Of a client that is in.
    fn from(tcp: TcpStream) -> Raw {
        Raw { tcp }
    }
}

impl Raw {
    /// Logs in; the error is the server's.
    pub async fn connect(to: SocketAddr, user: &str, database: &str) -> Result<Raw, [String; 3]> {
        let tcp = TcpStream::connect(to).await.expect("a listener");
        let mut raw = Raw { tcp };
        let body = format!("user\0{user}\0database\0{database}\0\0");
        let len = u32::try_from(body.len() + 8).expect("short").to_be_bytes();
        let packet = [&len[..], &0x0003_0000_u32.to_be_bytes(), body.as_bytes()].concat();
        raw.tcp.write_all(&packet).await.expect("written");
        let secret = Secret::Password(PASSWORD.to_owned());
        let mut asking = Some(Asking::new("a-nonce-of-a-test", None));
        let mut asked: Option<Asked> = None;
        loop {
            let (kind, body) = raw.next().await;
            match (kind, Authentication::read(&body)) {
                (b'E', _) => return Err(fields(&body)),
                (b'Z', _) => return Ok(raw),
                (b'R', Some(Authentication::Sasl { .. })) => {
                    let first = asking.as_ref().expect("once").first();
                    let data = &*first;
                    let mut out = Vec::new();
                    InitialResponse { mechanism: MECHANISM, data }.write(&mut out);
                    raw.tcp.write_all(&out).await.expect("written");
                }
                (b'R', Some(Authentication::SaslContinue(question))) => {
                    let question = std::str::from_utf8(question).expect("a text");
                    let asking = asking.take().expect("once");
                    let answer = asking.answer(question, &secret).expect("a question");
                    let mut out = Vec::new();
                    sasl_response(&mut out, &answer.last);
                    asked = Some(answer);
                    raw.tcp.write_all(&out).await.expect("written");
                }
                (b'R', Some(Authentication::SaslFinal(last))) => {
                    let last = std::str::from_utf8(last).expect("a text");
                    asked.take().expect("asked").check(last).expect("it has proved itself");
                }
                _ => {}
            }
        }
    }

    pub async fn ask(&mut self, sql: &str) -> Said {
        self.send(b'Q', &[sql.as_bytes(), &[0]]).await;
        self.answer().await
    }

    pub async fn send(&mut self, kind: u8, parts: &[&[u8]]) {
        let mut out = Vec::new();
        message(&mut out, kind, parts);
        self.tcp.write_all(&out).await.expect("written");
    }

    /// All up to ReadyForQuery.
    pub async fn answer(&mut self) -> Said {
        let mut said = Said::default();
        loop {
            let (kind, body) = self.next().await;
            match kind {
                b'T' => said.columns = columns(&body[2..]),
                b'D' => said.rows.push(row(&body[2..])),
                b'C' => said.tag = Some(text(&body[..body.len() - 1])),
                b'E' => said.error = Some(fields(&body)),
                b'N' => said.notice = Some(fields(&body)),
                b'S' => said.reported.push(text(&body)),
                b'Z' => return said,
                other => panic!("a message `{}`", char::from(other)),
            }
        }
    }

    pub async fn next(&mut self) -> (u8, Vec<u8>) {
        let read = async {
            let kind = self.tcp.read_u8().await?;
            let len = self.tcp.read_u32().await? as usize;
            let mut body = vec![0; len - 4];
            self.tcp.read_exact(&mut body).await?;
            std::io::Result::Ok((kind, body))
        };
        timeout(PATIENCE, read).await.expect("an answer in time").expect("a message")
    }
}

fn columns(mut rest: &[u8]) -> Vec<(String, u32, i16)> {
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).expect("a name");
        let (name, after) = (text(&rest[..end]), &rest[end + 1..]);
        let oid = u32::from_be_bytes(after[6..10].try_into().expect("four"));
        let len = i16::from_be_bytes(after[10..12].try_into().expect("two"));
        columns.push((name, oid, len));
        rest = &after[18..];
    }
    columns
}

fn row(mut rest: &[u8]) -> Vec<Option<String>> {
    let mut row = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = usize::try_from(i32::from_be_bytes(*len)).ok();
        row.push(len.map(|len| text(&after[..len])));
        rest = &after[len.unwrap_or(0)..];
    }
    row
}

fn fields(body: &[u8]) -> [String; 3] {
    let field = |kind: u8| {
        let found = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&kind));
        found.map(|field| text(&field[1..])).unwrap_or_default()
    };
    [field(b'S'), field(b'C'), field(b'M')]
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
