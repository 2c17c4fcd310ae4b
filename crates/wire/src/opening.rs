//! The first packet of a connection, the only kind without a type byte.

use std::fmt;

use crate::startup::MINOR_MAX;
use crate::{ErrorResponse, Severity, Startup};

/// Bytes after the length word: PostgreSQL's MAX_STARTUP_PACKET_LENGTH.
pub const OPENING_BODY_MAX: usize = 10_000;

/// Bytes of a cancel request's secret: 4 in protocol 3.0, up to 256 in 3.2.
const CANCEL_KEY_LEN: std::ops::RangeInclusive<usize> = 4..=256;

/// The length word and the code after it.
const HEAD_LEN: usize = 8;
const TLS_HANDSHAKE: u8 = 0x16;
const CANCEL_CODE: u32 = 1234 << 16 | 5678;
const SSL_CODE: u32 = 1234 << 16 | 5679;
const GSSENC_CODE: u32 = 1234 << 16 | 5680;

/// How far the bytes so far have come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step<'a> {
    /// Read at least so many more bytes, and no more, and ask again.
    Need(usize),
    /// The packet, and how many bytes it is.
    Packet(Opening<'a>, usize),
}

/// What a connection opens with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Opening<'a> {
    /// A TLS handshake without asking first (`sslnegotiation=direct`). None of it is consumed.
    DirectTls,
    /// Answered with `S` and a handshake, or with `N`.
    SslRequest,
    /// Answered with `N`: GSSAPI encryption is not spoken here.
    GssEncRequest,
    /// The packet is passed on as it is; nobody answers.
    Cancel,
    Startup(Startup<'a>),
}

/// The bytes are no opening.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Malformed {
    Length(u32),
    CancelLength(usize),
    Version {
        major: u16,
        minor: u16,
    },
    /// The parameters do not end with the one terminator.
    Layout,
    NoUser,
    /// The value of `replication` is no boolean and not `database`.
    Replication(String),
}

/// Reads the first packet out of `bytes`, which starts with it.
pub fn opening(bytes: &[u8]) -> Result<Step<'_>, Malformed> {
    if bytes.first() == Some(&TLS_HANDSHAKE) {
        return Ok(Step::Packet(Opening::DirectTls, 0));
    }
    // One byte at first: it tells a handshake from a length.
    let Some(head) = bytes.first_chunk::<HEAD_LEN>() else {
        return match bytes.first_chunk::<4>() {
            // Judge the length before waiting for anything that it promises.
            Some(word) => {
                body_len(u32::from_be_bytes(*word)).map(|_| Step::Need(HEAD_LEN - bytes.len()))
            }
            None => Ok(Step::Need(if bytes.is_empty() { 1 } else { 4 - bytes.len() })),
        };
    };
    let [a, b, c, d, code @ ..] = *head;
    let len = 4 + body_len(u32::from_be_bytes([a, b, c, d]))?;
    let Some(packet) = bytes.get(..len) else { return Ok(Step::Need(len - bytes.len())) };
    body(u32::from_be_bytes(code), &packet[HEAD_LEN..]).map(|opening| Step::Packet(opening, len))
}

fn body_len(word: u32) -> Result<usize, Malformed> {
    match usize::try_from(word).ok().and_then(|len| len.checked_sub(4)) {
        Some(len) if (4..=OPENING_BODY_MAX).contains(&len) => Ok(len),
        _ => Err(Malformed::Length(word)),
    }
}

fn body(code: u32, rest: &[u8]) -> Result<Opening<'_>, Malformed> {
    match code {
        SSL_CODE => Ok(Opening::SslRequest),
        GSSENC_CODE => Ok(Opening::GssEncRequest),
        CANCEL_CODE => match rest.len().checked_sub(4) {
            Some(key_len) if CANCEL_KEY_LEN.contains(&key_len) => Ok(Opening::Cancel),
            _ => Err(Malformed::CancelLength(rest.len())),
        },
        version => {
            let (major, minor) = ((version >> 16) as u16, version as u16);
            if major != 3 {
                return Err(Malformed::Version { major, minor });
            }
            Startup::parse(minor, rest).map(Opening::Startup)
        }
    }
}

impl Malformed {
    /// What PostgreSQL tells the client, where it tells it anything before it hangs up.
    pub fn answer(&self) -> Option<ErrorResponse> {
        let (code, hint) = match self {
            Malformed::Length(_) | Malformed::CancelLength(_) => return None,
            Malformed::Version { .. } => ("0A000", None),
            Malformed::Layout => ("08P01", None),
            Malformed::NoUser => ("28000", None),
            Malformed::Replication(_) => {
                ("22023", Some(r#"Valid values are: "false", 0, "true", 1, "database"."#))
            }
        };
        Some(ErrorResponse {
            severity: Severity::Fatal,
            code,
            message: self.to_string(),
            hint: hint.map(str::to_owned),
        })
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Malformed::Length(_) => f.write_str("invalid length of startup packet"),
            Malformed::CancelLength(_) => f.write_str("invalid length of cancel request"),
            Malformed::Version { major, minor } => write!(
                f,
                "unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.{MINOR_MAX}"
            ),
            Malformed::Layout => {
                f.write_str("invalid startup packet layout: expected terminator as last byte")
            }
            Malformed::NoUser => f.write_str("no PostgreSQL user name specified in startup packet"),
            Malformed::Replication(value) => {
                write!(f, "invalid value for parameter \"replication\": \"{value}\"")
            }
        }
    }
}

impl std::error::Error for Malformed {}
