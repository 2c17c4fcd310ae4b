//! A client's connection, in the clear or in TLS, that can be taken apart again.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::CertificateDer;
use rustls::server::{Acceptor, ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Connection, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::data::{Ends, Line, version};

pub enum ClientStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl ClientStream {
    /// The client's own, which the handshake has verified.
    pub(crate) fn certificate(&self) -> Option<&CertificateDer<'static>> {
        match self {
            ClientStream::Plain(_) => None,
            ClientStream::Tls(tls) => tls.get_ref().1.peer_certificates()?.first(),
        }
    }

    pub fn ends(&self) -> Ends {
        let tcp = match self {
            ClientStream::Plain(tcp) => tcp,
            ClientStream::Tls(stream) => stream.get_ref().0,
        };
        Ends { peer: tcp.peer_addr().ok(), local: tcp.local_addr().ok() }
    }

    /// The version of TLS, or nothing.
    pub fn tls(&self) -> &'static str {
        match self {
            ClientStream::Plain(_) => "",
            ClientStream::Tls(stream) => version(stream.get_ref().1.protocol_version()),
        }
    }

    /// The socket and its encryption, for a thread of its own. All that was written is out.
    pub(crate) fn into_line(self) -> io::Result<Line> {
        let (tcp, tls) = match self {
            ClientStream::Plain(tcp) => (tcp, None),
            ClientStream::Tls(stream) => {
                let (tcp, tls) = stream.into_inner();
                (tcp, Some(Box::new(Connection::Server(tls))))
            }
        };
        Ok(Line { socket: tcp.into_std()?, tls })
    }
}

/// Encrypts a connection, and says what binds a login to it: the certificate is chosen once, for
/// it may be renewed at any moment.
pub(crate) async fn encrypt(
    tcp: TcpStream,
    config: &Arc<ServerConfig>,
) -> io::Result<(TlsStream<TcpStream>, Option<Vec<u8>>)> {
    let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
    let Some(chosen) = config.cert_resolver.resolve(start.client_hello()) else {
        return Ok((start.into_stream(config.clone()).await?, None));
    };
    let end_point = chosen.cert.first().and_then(|first| howdah_tls::end_point(first));
    let mut config = ServerConfig::clone(config);
    config.cert_resolver = Arc::new(Chosen(chosen));
    Ok((start.into_stream(Arc::new(config)).await?, end_point))
}

#[derive(Debug)]
struct Chosen(Arc<CertifiedKey>);

impl ResolvesServerCert for Chosen {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ClientStream::Plain(tcp) => Pin::new(tcp).poll_read(context, into),
            ClientStream::Tls(tls) => Pin::new(tls).poll_read(context, into),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            ClientStream::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            ClientStream::Tls(tls) => Pin::new(tls).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ClientStream::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            ClientStream::Tls(tls) => Pin::new(tls).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            ClientStream::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            ClientStream::Tls(tls) => Pin::new(tls).poll_shutdown(context),
        }
    }
}
