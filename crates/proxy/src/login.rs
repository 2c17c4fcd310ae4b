//! From a client's first packet to where no other server could take over.
//!
//! ```text
//! client                      server
//!   startup packet        ->                   what it says may have been said by any server:
//!                         <-  SASL?            while this one goes away, another is asked
//!   SASLInitialResponse   ->
//!                         <-  SASLContinue     its own nonce: from here on the client is its
//! ```
//!
//! A server that goes away (no connection, an end without a word, or a word that it is starting
//! or shutting down) is none: the client hears nothing of it and waits for the next one.

use std::net::IpAddr;
use std::time::Duration;
use std::{future, io, mem};

use howdah_base::Held;
use howdah_wire::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use crate::client::Client;
use crate::relay::{BoxStream, Stream};
use crate::route::Route;
use crate::{Endpoint, Proxy};

/// A client's answer to the first question; what PostgreSQL gives a whole login by default.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a client kept until a server gets them.
const EARLY_BYTES_MAX: usize = 16 * 1024;
/// `admin_shutdown`, `crash_shutdown`, `cannot_connect_now`; and, as the answer to a first packet,
/// `invalid_authorization_specification`: the server's rules let in whoever comes from the proxy,
/// and do so only while its gate is open. After a reload a server may take a moment to know them.
pub(crate) const AWAY: [&[u8]; 4] = [b"57P01", b"57P02", b"57P03", b"28000"];

/// A server that has answered, and what it said that the client has not heard.
pub struct Link {
    pub server: BoxStream,
    pub route: Route,
    pub said: Vec<u8>,
    /// Its place among this proxy's clients of that node.
    pub _load: Held,
}

/// A client and its server have spoken.
enum Reply {
    /// Nothing but this server will do from here on.
    Bound,
    /// The server has gone away, and the client knows nothing of it.
    Lost(io::Error),
}

impl Proxy {
    /// Finds the client a server and brings it so far that it can have no other; `None` when
    /// `connect_wait` is over.
    ///
    /// # Errors
    /// The client has gone away.
    pub async fn log_in(
        &self,
        endpoint: Endpoint,
        from: IpAddr,
        client: &mut Client,
    ) -> io::Result<Option<Link>> {
        let Some(mut link) = self.reach(endpoint, from, client).await? else { return Ok(None) };
        let question = mem::take(&mut link.said);
        client.say(&question).await?;
        if !verdict(&question).is_some_and(|last| last.asks_for_sasl()) {
            link.server.write_all(&mem::take(&mut client.early)).await?;
            link.server.flush().await?;
            return Ok(Some(link));
        }
        let until = Instant::now() + ANSWER_TIMEOUT;
        loop {
            match timeout_at(until, self.reply(client, &mut link)).await?? {
                Reply::Bound => return Ok(Some(link)),
                Reply::Lost(lost) => {
                    tracing::debug!(node = %link.route.node, %lost, "another server is asked");
                }
            }
            drop(link);
            let Some(next) = self.reach(endpoint, from, client).await? else { return Ok(None) };
            link = next;
            if mem::take(&mut link.said) != question {
                return Ok(None);
            }
        }
    }

    async fn reach(
        &self,
        endpoint: Endpoint,
        from: IpAddr,
        client: &mut Client,
    ) -> io::Result<Option<Link>> {
        let Client { stream, packet, early, .. } = client;
        let link = timeout(self.config.connect_wait.0, self.connect(endpoint, from, packet));
        tokio::select! {
            gone = listen(stream, early) => Err(gone),
            link = link => Ok(link.ok()),
        }
    }

    /// Hands a server the first packet and waits for what it says to it, which stays in `said`.
    pub async fn ask(&self, link: &mut Link, packet: &[u8]) -> io::Result<()> {
        let Link { server, route, said, .. } = link;
        let mut topology = self.topology.clone();
        let answer = async {
            server.write_all(packet).await?;
            server.flush().await?;
            hear(server, said).await
        };
        tokio::select! {
            _ = topology.wait_for(|now| route.is_over(now)) => Err(deposed()),
            answer = answer => answer,
        }
    }

    /// The client's first word to the server, and the server's answer to the client.
    async fn reply(&self, client: &mut Client, link: &mut Link) -> io::Result<Reply> {
        let Link { server, route, said, .. } = link;
        let mut topology = self.topology.clone();
        let mut over =
            std::pin::pin!(async { drop(topology.wait_for(|now| route.is_over(now)).await) });
        let mut handed = 0;
        let lost = loop {
            let word = Message::first(&client.early).map(|first| first.map(|(word, _)| word));
            if handed == 0 && !matches!(word, Ok(None)) {
                let again = word.ok().flatten().filter(|word| word.kind == b'p');
                handed = again.map_or(client.early.len(), |word| word.body.len() + 5);
                let pass = async {
                    server.write_all(&client.early[..handed]).await?;
                    server.flush().await
                };
                if let Err(lost) = pass.await {
                    break lost;
                }
                if again.is_none() {
                    client.early.clear();
                    return Ok(Reply::Bound);
                }
            }
            let Client { stream, early, .. } = client;
            tokio::select! {
                () = &mut over => break deposed(),
                heard = hear(server, said) => match heard {
                    Ok(()) => {
                        client.say(&mem::take(said)).await?;
                        server.write_all(&client.early.split_off(handed)).await?;
                        server.flush().await?;
                        return Ok(Reply::Bound);
                    }
                    Err(lost) => break lost,
                },
                read = more(stream, early) => read?,
            }
        };
        Ok(Reply::Lost(lost))
    }
}

impl Client {
    async fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}

/// Reads until a server has said something that a client may hear. What has been read is never
/// lost: dropping this and calling it anew goes on.
async fn hear(server: &mut BoxStream, said: &mut Vec<u8>) -> io::Result<()> {
    loop {
        if let Some(last) = verdict(said) {
            return match last.sqlstate() {
                Some(state) if AWAY.contains(&state) => {
                    let state = String::from_utf8_lossy(state);
                    Err(io::Error::other(format!("the server says {state}")))
                }
                _ => Ok(()),
            };
        }
        if server.read_buf(said).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The message by which a server is judged: notices and a protocol's negotiation come before
/// it. What is no message of the protocol is for the client to understand.
fn verdict(said: &[u8]) -> Option<Message<'_>> {
    let mut rest = said;
    loop {
        match Message::first(rest) {
            Ok(Some((Message { kind: b'N' | b'v', .. }, after))) => rest = after,
            Ok(Some((message, _))) => return Some(message),
            Ok(None) => return None,
            Err(_) => return Some(Message { kind: 0, body: &[] }),
        }
    }
}

/// Keeps what a client says, and ends when it has hung up.
async fn listen(stream: &mut impl Stream, early: &mut Vec<u8>) -> io::Error {
    loop {
        if let Err(gone) = more(stream, early).await {
            return gone;
        }
    }
}

/// Something more of the client's, up to the bound; a client waits for answers, so that is
/// seldom much.
async fn more(stream: &mut impl Stream, early: &mut Vec<u8>) -> io::Result<()> {
    if early.len() >= EARLY_BYTES_MAX {
        future::pending::<()>().await;
    }
    match stream.read_buf(early).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

fn deposed() -> io::Error {
    io::Error::other("the server is not what the client wants any more")
}
