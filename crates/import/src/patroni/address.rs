//! Hosts and ports as Patroni writes them: `10.0.0.1:5432`, `[::1]:5432`, `*:5432`,
//! `10.0.0.1,127.0.0.1:5432`.

use std::fmt;

/// Where something is reached.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Address {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
}

/// What something listens on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// Names and addresses; `*` is all.
    pub hosts: Vec<String>,
    pub port: u16,
}

impl Address {
    /// The port is `default` where the text has none; nothing when it is not a number.
    pub fn parse(text: &str, default: u16) -> Option<Address> {
        let (host, port) = split(text.trim(), default)?;
        (!host.is_empty()).then(|| Address { host: host.to_owned(), port })
    }
}

impl Listen {
    /// The port is `default` where the text has none; nothing when it is not a number.
    pub fn parse(text: &str, default: u16) -> Option<Listen> {
        let (hosts, port) = split(text.trim(), default)?;
        let hosts = hosts.split(',').map(|host| bare(host.trim()).to_owned());
        Some(Listen { hosts: hosts.filter(|host| !host.is_empty()).collect(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn split(text: &str, default: u16) -> Option<(&str, u16)> {
    // The last colon divides, unless it is part of an IPv6 address without a port.
    let bracketed = text.ends_with(']');
    let lone_v6 = text.parse::<std::net::Ipv6Addr>().is_ok();
    match text.rsplit_once(':') {
        Some((host, port)) if !bracketed && !lone_v6 => Some((bare(host), port.parse().ok()?)),
        _ => Some((bare(text), default)),
    }
}

/// Without the brackets of IPv6.
fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}
