//! A session with a server at a fixed address: dialled, encrypted, logged into.

use std::io;
use std::sync::atomic::Ordering::Relaxed;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::arrive::database;
use super::listen::as_tcp;
use super::{Address, Alone, Settings};
use crate::cancel::{CANCEL_TIMEOUT, cancel_request, pass_on};
use crate::credentials::Credentials;
use crate::data::{Line, NewServer, NotOpened, PoolKey};
use crate::opener::{Failed, Login, Told, log_in, text_of};
use crate::relay::BoxStream;
use crate::route::Site;
use crate::socket;

/// SSLRequest: PostgreSQL documentation, "Message Formats".
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f];

/// A connection with a server.
pub(super) enum Dialled {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Dialled {
    pub fn boxed(self) -> BoxStream {
        match self {
            Dialled::Plain(tcp) => Box::new(tcp),
            Dialled::Tls(tls) => tls,
        }
    }
}

impl Alone {
    /// Tries each address of the pool's database, once.
    pub(super) async fn open(
        &self,
        pool: &PoolKey,
        secret: &Credentials,
    ) -> Result<NewServer, NotOpened> {
        let moved = self.moved.of(&pool.database);
        let now = self.now();
        let mut last = "its database is not configured any more".to_owned();
        let Some(database) = database(&now, &pool.database) else {
            return Err(NotOpened::Away(last));
        };
        let name = database.name.as_ref().unwrap_or(&pool.database);
        let login = Login { user: &pool.user, database: name, secret, proof: false };
        let turn = self.turn.fetch_add(1, Relaxed);
        let count = database.addresses.len();
        for at in 0..count {
            let address = &database.addresses[(turn + at) % count];
            let opening = begin(&now, address, &login);
            last = match timeout(now.connect_timeout, opening).await {
                Ok(Ok((line, told))) => {
                    let site = Site::Fixed { address: address.clone(), moved: moved.clone() };
                    let Told { key, parameters } = told;
                    return Ok(NewServer {
                        line,
                        site,
                        key,
                        parameters,
                        load: self.servers.hold(),
                    });
                }
                Ok(Err(Failed::Refused(word))) => {
                    let why = text_of(&word);
                    tracing::warn!(%address, user = pool.user, why, "a server refuses a login");
                    return Err(NotOpened::Refused(word));
                }
                Ok(Err(Failed::Lacking(word))) => {
                    let why = text_of(&word);
                    tracing::warn!(%address, user = pool.user, why, "cannot log in to a server");
                    return Err(NotOpened::Refused(word));
                }
                Ok(Err(Failed::Away(why))) => format!("{address}: {why}"),
                Ok(Err(Failed::Io(error))) => format!("{address}: {error}"),
                Err(_) => format!("{address}: not within {:?}", now.connect_timeout),
            };
        }
        self.complain(&pool.database, &pool.user, &last);
        Err(NotOpened::Away(last))
    }

    /// Says why clients wait, and not at each attempt.
    pub(super) fn complain(&self, database: &str, user: &str, why: &str) {
        let now = self.started.elapsed().as_secs() + 1;
        if self.complained.fetch_max(now, Relaxed) < now {
            tracing::warn!(database, user, why, "no server");
        }
    }

    /// Cancels what a server does for a client. `false`: it may do so at any later time.
    pub(super) async fn cancel(&self, site: &Site, key: &[u8]) -> bool {
        let Site::Fixed { address, .. } = site else { return true };
        let now = self.now();
        let request = async {
            let packet = cancel_request(key);
            pass_on(dial(&now, address).await?.boxed(), &packet).await
        };
        let passed = timeout(CANCEL_TIMEOUT, request).await;
        tracing::debug!(%address, ?passed, "cancel request");
        matches!(passed, Ok(Ok(_)))
    }
}

async fn begin(
    now: &Settings,
    address: &Address,
    login: &Login<'_>,
) -> Result<(Line, Told), Failed> {
    match dial(now, address).await? {
        Dialled::Plain(mut tcp) => {
            let told = log_in(&mut tcp, login).await?;
            Ok((Line { socket: tcp.into_std()?, tls: None }, told))
        }
        Dialled::Tls(mut stream) => {
            let told = log_in(&mut stream, login).await?;
            let (tcp, tls) = stream.into_inner();
            let tls = Some(Box::new(rustls::Connection::Client(tls)));
            Ok((Line { socket: tcp.into_std()?, tls }, told))
        }
    }
}

pub(super) async fn dial(now: &Settings, address: &Address) -> io::Result<Dialled> {
    let (host, port) = match address {
        Address::Unix(path) => {
            return Ok(Dialled::Plain(as_tcp(UnixStream::connect(path).await?)?));
        }
        Address::Tcp { host, port } => (host, *port),
    };
    let mut tcp = TcpStream::connect((host.as_str(), port)).await?;
    socket::tune(&tcp, now.tcp.keepalive, now.tcp.user_timeout)?;
    let Some(config) = &now.server_tls.config else { return Ok(Dialled::Plain(tcp)) };
    tcp.write_all(&SSL_REQUEST).await?;
    // One byte: what an attacker might add before the handshake ends up in the handshake.
    match tcp.read_u8().await? {
        b'S' => {
            let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
            let tls = TlsConnector::from(config.clone()).connect(name, tcp).await?;
            Ok(Dialled::Tls(Box::new(tls)))
        }
        _ if now.server_tls.required => Err(io::Error::other("it does not speak TLS")),
        b'N' => Ok(Dialled::Plain(tcp)),
        _ => Err(io::Error::other("it does not say whether it speaks TLS")),
    }
}
