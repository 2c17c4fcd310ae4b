//! A client's connection, in the clear or in TLS, that can be taken apart again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::Connection;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::data::Line;

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
