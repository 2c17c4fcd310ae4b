//! Where clients come in: TCP addresses and a Unix socket, and the loop that takes them.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Alone, Listens, Stop, UnixPlace};
use crate::openings::Opening;
use crate::{CONNECTIONS_MORE, socket};

/// After a failed accept: no file descriptor, mostly, and the next one fails as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Open sockets: clients queue from now on.
#[derive(Debug)]
pub struct Listening(pub(super) Vec<Door>);

impl Listening {
    /// Where clients can come in.
    pub fn names(&self) -> Vec<String> {
        let name = |door: &Door| match door {
            Door::Tcp(listener) => listener.local_addr().ok().map(|address| address.to_string()),
            Door::Unix(_, path) => Some(path.0.display().to_string()),
        };
        self.0.iter().filter_map(name).collect()
    }
}

#[derive(Debug)]
pub(super) enum Door {
    Tcp(TcpListener),
    Unix(UnixListener, Removed),
}

/// The file of a Unix socket, which goes with it.
#[derive(Debug)]
pub(super) struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // Somebody else has removed it: as good.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error(
        "cannot listen, {source}: `{address}`\nhint: choose another `listen_addr` or \
         `listen_port`, or stop what uses the port (`ss -ltnp`)"
    )]
    Tcp { address: SocketAddr, source: io::Error },
    #[error(
        "cannot listen, {source}: `{}`\nhint: choose another `unix_socket_dir` that this user may \
         write to, or an empty one for none", path.display()
    )]
    Unix { path: PathBuf, source: io::Error },
}

/// Opens every address, or none.
///
/// # Errors
/// One of them cannot be listened on.
pub fn bind(listens: &Listens) -> Result<Listening, BindError> {
    let mut doors = Vec::new();
    for address in listens.addresses.iter().copied() {
        let failed = |source| BindError::Tcp { address, source };
        doors.push(Door::Tcp(tcp(address, listens).map_err(failed)?));
    }
    if let Some(place) = &listens.unix {
        let path = place.directory.join(format!(".s.PGSQL.{}", place.port));
        let failed = |source| BindError::Unix { path: path.clone(), source };
        doors.push(unix(&path, place).map_err(failed)?);
    }
    Ok(Listening(doors))
}

fn tcp(address: SocketAddr, listens: &Listens) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(listens.reuse_port)?;
    socket.bind(address)?;
    socket.listen(listens.backlog)
}

/// A file that nobody listens on any more is in nobody's way.
fn unix(path: &Path, place: &UnixPlace) -> io::Result<Door> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)?;
        }
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    let removed = Removed(path.to_owned());
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(place.mode))?;
    if place.group.is_some() {
        chown(path, None, place.group)?;
    }
    Ok(Door::Unix(listener, removed))
}

/// Where a client comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum From {
    Tcp(IpAddr, u16),
    /// Its user's number there.
    Unix {
        uid: Option<u32>,
    },
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            From::Tcp(ip, port) => SocketAddr::new(*ip, *port).fmt(f),
            From::Unix { uid: Some(uid) } => write!(f, "the Unix socket, user {uid}"),
            From::Unix { uid: None } => f.write_str("the Unix socket"),
        }
    }
}

impl Alone {
    /// Lets clients in until nobody else is to come; what has begun goes on.
    pub(super) async fn accept(self: Arc<Alone>, door: Door, mut stop: watch::Receiver<Stop>) {
        let mut connections = JoinSet::new();
        loop {
            let connections_max = self.now().clients_max as usize + CONNECTIONS_MORE;
            let one_more = async {
                self.openings.room().await;
                door.accept().await
            };
            tokio::select! {
                () = asked(&mut stop) => break,
                Some(_) = connections.join_next() => {}
                accepted = one_more, if connections.len() < connections_max => {
                    match accepted {
                        Ok((tcp, from)) => {
                            let (alone, opening) = (self.clone(), self.openings.begin());
                            connections.spawn(alone.attend(tcp, from, opening));
                        }
                        Err(error) => {
                            tracing::warn!(%error, "cannot accept");
                            tokio::time::sleep(ACCEPT_PAUSE).await;
                        }
                    }
                }
            }
        }
        drop(door);
        while connections.join_next().await.is_some() {}
    }

    async fn attend(self: Arc<Alone>, tcp: TcpStream, from: From, opening: Opening) {
        if let Err(error) = self.client(tcp, from, opening).await {
            tracing::debug!(%from, %error, "connection ended");
        }
    }
}

impl Door {
    async fn accept(&self) -> io::Result<(TcpStream, From)> {
        match self {
            Door::Tcp(listener) => {
                let (tcp, from) = listener.accept().await?;
                Ok((tcp, From::Tcp(from.ip(), from.port())))
            }
            Door::Unix(listener, _) => {
                let (unix, _) = listener.accept().await?;
                let uid = unix.peer_cred().ok().map(|peer| peer.uid());
                Ok((as_tcp(unix)?, From::Unix { uid }))
            }
        }
    }
}

/// Comes back when it is to end.
async fn asked(stop: &mut watch::Receiver<Stop>) {
    drop(stop.wait_for(|stop| *stop != Stop::No).await);
}

/// A Unix stream in the clothes of a TCP stream: both are read, written and shut down by the same
/// calls (recv(2), send(2)), so that nothing need tell them apart but what sets options of TCP.
pub(super) fn as_tcp(unix: UnixStream) -> io::Result<TcpStream> {
    socket::of_fd(unix.into_std()?.into())
}
