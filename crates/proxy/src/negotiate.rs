//! What stands before a connection's first packet: requests for encryption, each answered once, and
//! nothing behind them.

use std::{io, mem};

use howdah_wire::{ErrorResponse, Malformed, OPENING_BODY_MAX, Opening, Step, opening};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::relay::Stream;

/// Answers requests for encryption, each kind once, until TLS is agreed on; else gives the bare
/// first packet.
pub(crate) async fn negotiate(
    tcp: &mut TcpStream,
    offers_tls: bool,
) -> io::Result<Option<Vec<u8>>> {
    let (mut asked_gss, mut asked_tls) = (false, false);
    loop {
        let packet = read_packet(tcp).await?;
        let (name, asked, agrees) = match opening(&packet) {
            Ok(Step::Packet(Opening::GssEncRequest, _)) => {
                ("GSSAPI encryption", &mut asked_gss, false)
            }
            Ok(Step::Packet(Opening::SslRequest, _)) => ("SSL", &mut asked_tls, offers_tls),
            _ => return Ok(Some(packet)),
        };
        if mem::replace(asked, true) {
            return Ok(Some(packet));
        }
        nothing_behind(tcp, name).await?;
        tcp.write_all(if agrees { b"S" } else { b"N" }).await?;
        if agrees {
            return Ok(None);
        }
    }
}

/// Whoever asks for encryption waits for the answer. What stands behind the request was not
/// encrypted, and may be somebody else's (CVE-2021-23214).
async fn nothing_behind(tcp: &mut TcpStream, asked: &str) -> io::Result<()> {
    if !has_more(tcp) {
        return Ok(());
    }
    let message = format!("received unencrypted data after {asked} request");
    let mut out = Vec::new();
    ErrorResponse::fatal("08P01", &*message).encode(&mut out);
    tcp.write_all(&out).await?;
    tcp.shutdown().await?;
    Err(io::Error::new(io::ErrorKind::InvalidData, message))
}

/// Whether something is there to read, which is read: a connection that ends with something unread
/// takes its last word along.
fn has_more(tcp: &TcpStream) -> bool {
    let mut behind = [0; OPENING_BODY_MAX];
    matches!(tcp.try_read(&mut behind), Ok(1..))
}

/// A request for encryption that has been answered is taken for a version, as PostgreSQL has it.
pub(crate) fn asked_again(asked: &Opening<'_>) -> ErrorResponse {
    let minor = if *asked == Opening::GssEncRequest { 5680 } else { 5679 };
    let malformed = Malformed::Version { major: 1234, minor };
    malformed.answer().unwrap_or_else(|| ErrorResponse::fatal("08P01", malformed.to_string()))
}

pub(crate) async fn read_packet(stream: &mut impl Stream) -> io::Result<Vec<u8>> {
    let mut packet = Vec::new();
    while let Ok(Step::Need(more)) = opening(&packet) {
        let start = packet.len();
        packet.resize(start + more, 0);
        stream.read_exact(&mut packet[start..]).await?;
    }
    Ok(packet)
}
