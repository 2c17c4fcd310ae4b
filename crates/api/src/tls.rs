//! One port, two protocols: a connection that begins with a TLS handshake speaks TLS, any other
//! plain HTTP, so that old health checks go on working beside operators who must not be overheard.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use howdah_tls::Certificate;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::{Asker, CertName};

/// The first byte of a TLS record that carries a handshake (RFC 8446 5.1); no method of HTTP
/// begins with it.
const HANDSHAKE: u8 = 0x16;
/// How long a connection may take to say its first byte, and then to shake hands.
const OPENING_WAIT: Duration = Duration::from_secs(10);

/// A connection whose protocol is known.
pub(crate) enum Opened {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Reads the first byte without taking it, and shakes hands if it asks for that.
pub(crate) async fn open(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<&Arc<ServerConfig>>,
) -> io::Result<(Opened, Asker)> {
    let Some(tls) = tls else { return Ok((Opened::Plain(stream), Asker::plain(address))) };
    let mut first = [0];
    timeout(OPENING_WAIT, stream.peek(&mut first)).await??;
    if first != [HANDSHAKE] {
        return Ok((Opened::Plain(stream), Asker::plain(address)));
    }
    let stream = timeout(OPENING_WAIT, TlsAcceptor::from(tls.clone()).accept(stream)).await??;
    let certificate = name_of(&stream);
    Ok((Opened::Tls(Box::new(stream)), Asker { address, tls: true, certificate }))
}

/// Whom the certificate names; the handshake has verified it.
fn name_of(stream: &TlsStream<TcpStream>) -> Option<CertName> {
    let first = stream.get_ref().1.peer_certificates()?.first()?;
    let certificate = Certificate::of(first).ok()?;
    Some(CertName::of(&certificate.common_name, certificate.server))
}
