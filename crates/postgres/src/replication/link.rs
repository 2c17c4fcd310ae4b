//! One connection: whole messages in, bytes out, nothing waited for without a bound.

use std::time::Duration;

use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, ReadHalf, WriteHalf,
};
use tokio::time::timeout;

use crate::PgError;

/// A Unix socket, TCP, or TLS over it.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A server sends WAL in pieces of 128 KiB (`MAX_SEND_SIZE`); history files are shorter.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// A server that does not read what it is sent.
const SEND_WITHIN: Duration = Duration::from_secs(30);

pub(super) struct Link {
    pub ear: Ear,
    pub mouth: Mouth,
}

impl Link {
    pub fn new(socket: Box<dyn Socket>) -> Link {
        let (read, write) = tokio::io::split(socket);
        let mouth = Mouth { socket: write, left: Vec::new() };
        Link { ear: Ear { socket: BufReader::new(read) }, mouth }
    }
}

/// The half that listens.
pub(super) struct Ear {
    socket: BufReader<ReadHalf<Box<dyn Socket>>>,
}

impl Ear {
    /// The next message, its kind and its body. What was begun when this is given up is lost,
    /// and the connection with it.
    pub async fn message(&mut self, within: Duration) -> Result<(u8, Vec<u8>), PgError> {
        match timeout(within, self.read()).await {
            Ok(read) => read,
            Err(_) => Err(PgError::Silent(within)),
        }
    }

    async fn read(&mut self) -> Result<(u8, Vec<u8>), PgError> {
        let mut head = [0; 5];
        self.socket.read_exact(&mut head).await.map_err(lost)?;
        let [kind, len @ ..] = head;
        let len = (u32::from_be_bytes(len) as usize).checked_sub(4);
        let len = len.filter(|len| *len <= MESSAGE_BYTES_MAX).ok_or_else(|| {
            PgError::Unexpected("the server sent a message of an impossible length".to_owned())
        })?;
        let mut body = vec![0; len];
        self.socket.read_exact(&mut body).await.map_err(lost)?;
        Ok((kind, body))
    }
}

/// The half that speaks. What could not be sent yet when a call is given up goes first in the
/// next one, so that no message is ever cut.
pub(super) struct Mouth {
    socket: WriteHalf<Box<dyn Socket>>,
    left: Vec<u8>,
}

impl Mouth {
    pub async fn say(&mut self, bytes: &[u8]) -> Result<(), PgError> {
        self.left.extend_from_slice(bytes);
        match timeout(SEND_WITHIN, self.send()).await {
            Ok(sent) => sent.map_err(lost),
            Err(_) => Err(PgError::Silent(SEND_WITHIN)),
        }
    }

    async fn send(&mut self) -> std::io::Result<()> {
        while !self.left.is_empty() {
            let sent = self.socket.write(&self.left).await?;
            if sent == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            self.left.drain(..sent);
        }
        self.socket.flush().await
    }
}

fn lost(error: std::io::Error) -> PgError {
    PgError::Lost(error.to_string())
}
