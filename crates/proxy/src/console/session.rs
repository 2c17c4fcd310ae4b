//! An operator's session, from the end of its login on: simple queries only, as PgBouncer has it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use howdah_wire::{Authentication, ErrorResponse, Severity, message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::run::{Answer, Wrong};
use super::show::small::LIKE;
use super::{Console, May};
use crate::data::Ends;
use crate::relay::Stream;

/// Bytes of one message of an operator.
const MESSAGE_MAX: usize = 16 * 1024;
/// An operator that does not read its answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// Who has logged in.
pub(crate) struct Operator {
    pub user: String,
    pub may: May,
    pub ends: Ends,
    /// Its version, or nothing.
    pub tls: &'static str,
    pub application_name: String,
}

impl Console {
    /// Serves an operator who has proved who it is, until it goes.
    pub async fn serve(
        self: Arc<Console>,
        stream: impl Stream,
        early: Vec<u8>,
        operator: Operator,
    ) -> io::Result<()> {
        let entered = self.enter(&operator);
        let mut session = Session { stream, rest: early };
        session.say(&welcome(entered.id)).await?;
        while let Some((kind, body)) = session.next().await? {
            let mut out = Vec::new();
            match kind {
                b'Q' => {
                    let text = body.strip_suffix(&[0]).unwrap_or(&body);
                    let text = String::from_utf8_lossy(text);
                    let answer = tokio::select! {
                        answer = self.run(&text, operator.may) => answer,
                        gone = session.more() => return Err(gone),
                    };
                    write(answer, &mut out);
                    ready(&mut out);
                    session.say(&out).await?;
                }
                b'X' => return Ok(()),
                other => {
                    let extended = matches!(other, b'P' | b'B' | b'E');
                    let why = match extended {
                        true => "extended query protocol not supported by admin console".to_owned(),
                        false => {
                            let kind = char::from(other).escape_default();
                            format!("unsupported packet type for admin console: {kind}")
                        }
                    };
                    ErrorResponse::fatal(PROTOCOL, why).encode(&mut out);
                    session.say(&out).await?;
                    return session.stream.shutdown().await;
                }
            }
        }
        Ok(())
    }
}

/// `protocol_violation`, which is all that PgBouncer knows.
const PROTOCOL: &str = "08P01";

struct Session<S> {
    stream: S,
    /// Said, and not answered.
    rest: Vec<u8>,
}

impl<S: Stream> Session<S> {
    /// The next message; `None`: there is none any more.
    async fn next(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some(head) = self.rest.first_chunk::<5>() {
                let [kind, len @ ..] = *head;
                let end = 1 + u32::from_be_bytes(len) as usize;
                if !(5..=MESSAGE_MAX).contains(&end) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                if self.rest.len() >= end {
                    let body = self.rest[5..end].to_vec();
                    self.rest.drain(..end);
                    return Ok(Some((kind, body)));
                }
            }
            if self.stream.read_buf(&mut self.rest).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Keeps what it says meanwhile, as far as there is room; ends when it has gone.
    async fn more(&mut self) -> io::Error {
        while self.rest.len() < MESSAGE_MAX {
            match self.stream.read_buf(&mut self.rest).await {
                Ok(0) => return io::ErrorKind::UnexpectedEof.into(),
                Ok(_) => {}
                Err(error) => return error,
            }
        }
        std::future::pending().await
    }

    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        let said = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        timeout(WRITE_TIMEOUT, said).await?
    }
}

fn write(answer: Result<Answer, Wrong>, out: &mut Vec<u8>) {
    let tag = match answer {
        Ok(Answer::Table(table)) => {
            table.write(out);
            "SHOW".to_owned()
        }
        Ok(Answer::Notice { text, tag }) => {
            let fields = format!("SNOTICE\0C00000\0M{text}\0\0");
            message(out, b'N', &[fields.as_bytes()]);
            tag.to_owned()
        }
        Ok(Answer::Done(tag)) => tag,
        Err(Wrong { why, hint }) => {
            let error =
                ErrorResponse { severity: Severity::Error, code: PROTOCOL, message: why, hint };
            return error.encode(out);
        }
    };
    message(out, b'C', &[tag.as_bytes(), &[0]]);
}

fn ready(out: &mut Vec<u8>) {
    message(out, b'Z', &[b"I"]);
}

fn welcome(id: u64) -> Vec<u8> {
    let mut out = Vec::new();
    Authentication::Ok.write(&mut out);
    for (name, value) in [
        ("server_version", &*format!("{LIKE}/bouncer")),
        ("client_encoding", "UTF8"),
        ("server_encoding", "UTF8"),
        ("DateStyle", "ISO"),
        ("TimeZone", "GMT"),
        ("standard_conforming_strings", "on"),
        ("is_superuser", "on"),
    ] {
        message(&mut out, b'S', &[name.as_bytes(), &[0], value.as_bytes(), &[0]]);
    }
    // Nothing here can be cancelled.
    message(&mut out, b'K', &[&id.to_be_bytes()]);
    ready(&mut out);
    out
}
