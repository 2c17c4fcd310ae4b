//! A client on its way into this node's own server: counted until its session has begun, so that
//! a planned shutdown lets it come through.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use howdah_base::Held;
use howdah_wire::UntilReady;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection to a server, that holds its place among those who arrive until the server is
/// first ready for a query.
pub struct Arrival<S> {
    stream: S,
    arriving: Option<(UntilReady, Held)>,
}

impl<S> Arrival<S> {
    pub fn new(stream: S, arriving: Option<Held>) -> Arrival<S> {
        Arrival { stream, arriving: arriving.map(|held| (UntilReady::default(), held)) }
    }

    /// The connection, and its place, which whoever takes it gives up.
    pub fn into_parts(self) -> (S, Option<Held>) {
        (self.stream, self.arriving.map(|(_, held)| held))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Arrival<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, into));
        if let Some((until, _)) = &mut self.arriving {
            let piece = &into.filled()[before..];
            if piece.is_empty() || until.sees(piece) {
                self.arriving = None;
            }
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Arrival<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
