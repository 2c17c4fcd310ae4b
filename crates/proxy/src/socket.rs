//! Sockets: where a node listens, how it calls, and the TCP options of every connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::{Endpoint, ProxyConfig, ProxyError};

/// Where the proxy speaks from: the server's rule for it names this address, so that no user's
/// rule for 127.0.0.1 ever meets a proxied client.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 72, 68, 1);
const BACKLOG: u32 = 1024;
/// Unanswered probes after which a connection is given up.
const KEEPALIVE_PROBES: u32 = 4;

/// Every endpoint, open: clients queue from now on.
#[derive(Debug)]
pub struct Bound(pub Vec<(Endpoint, TcpListener)>);

/// Opens every endpoint on every address, or none.
pub async fn bind(config: &ProxyConfig) -> Result<Bound, ProxyError> {
    let mut bound = Vec::new();
    for (endpoint, port) in [
        (Endpoint::Rw, config.rw_port),
        (Endpoint::Ro, config.ro_port),
        (Endpoint::Any, config.any_port),
        (Endpoint::Peer, config.peer_port),
    ] {
        for address in config.listen.iter().map(|ip| SocketAddr::new(*ip, port)) {
            let name = endpoint.name();
            let failed = |source| ProxyError::Bind { endpoint: name, address, source };
            bound.push((endpoint, listen(address).map_err(failed)?));
        }
    }
    Ok(Bound(bound))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        // As PostgreSQL does: an IPv4 client must meet the IPv4 rules.
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connects to this node's own server.
pub(crate) async fn call_server(port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // The source port is chosen by the whole connection, so that ports do not run out.
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    socket.bind((SOURCE, 0).into())?;
    socket.connect((Ipv4Addr::LOCALHOST, port).into()).await
}

/// Finds a dead other side, and sends small packets at once.
pub(crate) fn tune(tcp: &TcpStream, config: &ProxyConfig) -> io::Result<()> {
    let idle = u32::try_from(config.keepalive.0.as_secs()).unwrap_or(u32::MAX).clamp(1, 32_767);
    let timeout_ms = u32::try_from(config.user_timeout.0.as_millis()).unwrap_or(u32::MAX);
    tcp.set_nodelay(true)?;
    setsockopt(tcp, sockopt::KeepAlive, &true)?;
    setsockopt(tcp, sockopt::TcpKeepIdle, &idle)?;
    setsockopt(tcp, sockopt::TcpKeepInterval, &idle.div_ceil(KEEPALIVE_PROBES))?;
    setsockopt(tcp, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    Ok(setsockopt(tcp, sockopt::TcpUserTimeout, &timeout_ms)?)
}

/// Whether `address` is one of this machine's own (`samehost`).
pub(crate) fn is_own(address: IpAddr) -> bool {
    getifaddrs().is_ok_and(|interfaces| {
        interfaces.filter_map(|interface| interface.address).any(|own| match address {
            IpAddr::V4(v4) => own.as_sockaddr_in().is_some_and(|own| own.ip() == v4),
            IpAddr::V6(v6) => own.as_sockaddr_in6().is_some_and(|own| own.ip() == v6),
        })
    })
}
