//! Sockets: where a node listens, how it calls, and the TCP options of every connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::Path;

use howdah_base::Span;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixStream};

use crate::{Endpoint, ProxyConfig, ProxyError};

/// Where the proxy speaks from: the server's rule for it names this address, so that no user's
/// rule for 127.0.0.1 ever meets a proxied client.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 72, 68, 1);
const BACKLOG: u32 = 1024;
/// Unanswered probes after which a connection is given up.
const KEEPALIVE_PROBES: u32 = 4;
/// The kernel's own limit.
const KEEPALIVE_MAX_S: u32 = 32_767;

/// Every endpoint, open: clients queue from now on.
#[derive(Debug)]
pub struct Bound(pub Vec<(Endpoint, TcpListener)>);

/// Opens every endpoint on every address, or none.
pub async fn bind(config: &ProxyConfig) -> Result<Bound, ProxyError> {
    let mut bound = Vec::new();
    let clients = [
        (Endpoint::Rw, config.rw_port),
        (Endpoint::Ro, config.ro_port),
        (Endpoint::Any, config.any_port),
    ];
    let peers = config.peers.iter().map(|door| (Endpoint::Peer, door.port));
    for (endpoint, port) in clients.into_iter().chain(peers) {
        for address in config.listen.iter().map(|ip| SocketAddr::new(*ip, port)) {
            let name = endpoint.name();
            let failed = |source| ProxyError::Bind { endpoint: name, address, source };
            let comes_later = config.virtual_ip == Some(address.ip());
            bound.push((endpoint, listen(address, comes_later).map_err(failed)?));
        }
    }
    Ok(Bound(bound))
}

/// `comes_later`: also where no interface has the address yet.
fn listen(address: SocketAddr, comes_later: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if address.is_ipv6() {
        // As PostgreSQL does: an IPv4 client must meet the IPv4 rules.
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    if comes_later {
        setsockopt(&socket, sockopt::IpFreebind, &true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Connects to this node's own server.
pub async fn call_server(port: u16) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    // The source port is chosen by the whole connection, so that ports do not run out.
    setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
    socket.bind((SOURCE, 0).into())?;
    socket.connect((Ipv4Addr::LOCALHOST, port).into()).await
}

/// As [`call_server`], over the private socket in `directory`: a pooler's way in, which costs less.
pub async fn call_socket(directory: &Path, port: u16) -> io::Result<TcpStream> {
    let unix = UnixStream::connect(directory.join(format!(".s.PGSQL.{port}"))).await?;
    of_fd(unix.into_std()?.into())
}

/// A stream of any kind as one of TCP: reading, writing and shutting down are the same calls.
pub fn of_fd(socket: OwnedFd) -> io::Result<TcpStream> {
    TcpStream::from_std(std::net::TcpStream::from(socket))
}

/// Finds a dead other side, and sends small packets at once.
pub fn tune(
    tcp: &TcpStream,
    keepalive: impl Into<Option<Span>>,
    user_timeout: Span,
) -> io::Result<()> {
    let Some(keepalive) = keepalive.into() else { return tcp.set_nodelay(true) };
    let idle = u32::try_from(keepalive.0.as_secs()).unwrap_or(u32::MAX).clamp(1, KEEPALIVE_MAX_S);
    let timeout_ms = u32::try_from(user_timeout.0.as_millis()).unwrap_or(u32::MAX);
    tcp.set_nodelay(true)?;
    setsockopt(tcp, sockopt::KeepAlive, &true)?;
    setsockopt(tcp, sockopt::TcpKeepIdle, &idle)?;
    setsockopt(tcp, sockopt::TcpKeepInterval, &idle.div_ceil(KEEPALIVE_PROBES))?;
    setsockopt(tcp, sockopt::TcpKeepCount, &KEEPALIVE_PROBES)?;
    Ok(setsockopt(tcp, sockopt::TcpUserTimeout, &timeout_ms)?)
}

/// Whether `address` is one of this machine's own (`samehost`).
pub fn is_own(address: IpAddr) -> bool {
    getifaddrs().is_ok_and(|interfaces| {
        interfaces.filter_map(|interface| interface.address).any(|own| match address {
            IpAddr::V4(v4) => own.as_sockaddr_in().is_some_and(|own| own.ip() == v4),
            IpAddr::V6(v6) => own.as_sockaddr_in6().is_some_and(|own| own.ip() == v6),
        })
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::sys::socket::getsockopt;

    use super::*;

    #[test]
    fn an_address_is_own_only_if_an_interface_has_it() {
        assert!(is_own(Ipv4Addr::LOCALHOST.into()));
        // Loopback takes it, and yet PostgreSQL's `samehost` does not mean it.
        assert!(!is_own(Ipv4Addr::new(127, 0, 0, 5).into()));
        assert!(!is_own("2001:db8::1".parse().expect("an address")));
    }

    #[tokio::test]
    async fn an_address_that_comes_later_is_listened_on_and_another_is_refused() {
        for address in ["192.0.2.7:0", "[2001:db8::7]:0"] {
            let address: SocketAddr = address.parse().expect("an address");
            let bound = listen(address, true).expect("listens");
            assert_eq!(bound.local_addr().expect("its address").ip(), address.ip());
        }
        let nonlocal = std::fs::read_to_string("/proc/sys/net/ipv4/ip_nonlocal_bind");
        if nonlocal.is_ok_and(|text| text.trim() == "0") {
            let address = "192.0.2.7:0".parse().expect("an address");
            let refused = listen(address, false).expect_err("not an address of this machine");
            assert_eq!(refused.kind(), io::ErrorKind::AddrNotAvailable);
        }
    }

    #[tokio::test]
    async fn the_server_is_called_from_the_proxy_s_address_and_timeouts_are_set() {
        let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = server.local_addr().expect("its number").port();
        let (called, taken) = tokio::join!(call_server(port), server.accept());
        assert_eq!(taken.expect("a caller").1.ip(), SOURCE);
        let tcp = called.expect("a server");
        tune(&tcp, Span(Duration::from_secs(60)), Span(Duration::from_secs(30))).expect("tuned");
        assert_eq!(getsockopt(&tcp, sockopt::TcpKeepIdle), Ok(60));
        assert_eq!(getsockopt(&tcp, sockopt::TcpKeepInterval), Ok(15));
        assert_eq!(getsockopt(&tcp, sockopt::TcpUserTimeout), Ok(30_000));
        assert!(tcp.nodelay().expect("an option"));
    }
}
