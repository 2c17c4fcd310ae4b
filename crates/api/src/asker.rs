//! Who asks: what the connection itself proves, known before the first byte of a request.

use std::fmt;
use std::net::SocketAddr;

use howdah_base::NodeName;

/// What the common name of an operator's certificate starts with.
pub const OPERATOR: &str = "operator:";

/// The other end of the connection: an axum `Extension` of every request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asker {
    pub address: SocketAddr,
    /// Nobody between reads along.
    pub tls: bool,
    /// Whom a client certificate of the cluster's CA names; verified by the handshake.
    pub certificate: Option<CertName>,
}

impl Asker {
    /// Somebody who came without TLS.
    pub fn plain(address: SocketAddr) -> Asker {
        Asker { address, tls: false, certificate: None }
    }

    /// Whether a secret can be sent to this node over this connection, and an order from it be
    /// believed: it is encrypted, or never leaves the machine.
    pub fn is_private(&self) -> bool {
        self.tls || self.address.ip().to_canonical().is_loopback()
    }

    /// Whether the certificate alone authorises changes, as the token does.
    pub fn may_change(&self) -> bool {
        self.certificate.as_ref().is_some_and(CertName::may_change)
    }
}

/// For the history and the audit log: `operator:anna`, or the address of who has no certificate.
impl fmt::Display for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.certificate {
            Some(name) => write!(f, "{name}"),
            None => write!(f, "http {}", self.address.ip()),
        }
    }
}

/// Whom a certificate of the cluster's CA speaks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CertName {
    /// A node: its certificate is good for a server too, which is how it is told from a client
    /// that bears the same name.
    Node(NodeName),
    /// A person or a program that operates the cluster; without [`OPERATOR`].
    Operator(String),
    /// Anybody else, the replicator for example: no more than one without a certificate.
    Other(String),
}

impl CertName {
    /// Reads the common name; `server` says that the certificate is good for a server.
    pub fn of(common_name: &str, server: bool) -> CertName {
        if let Some(operator) = common_name.strip_prefix(OPERATOR).filter(|name| !name.is_empty()) {
            return CertName::Operator(operator.to_owned());
        }
        match common_name.parse() {
            Ok(node) if server => CertName::Node(node),
            _ => CertName::Other(common_name.to_owned()),
        }
    }

    /// Nodes and operators may ask for changes without the token.
    pub fn may_change(&self) -> bool {
        !matches!(self, CertName::Other(_))
    }
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CertName::Node(node) => write!(f, "node:{node}"),
            CertName::Operator(name) => write!(f, "{OPERATOR}{name}"),
            CertName::Other(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_nodes_and_operators_may_change_something() {
        let node = CertName::of("n1", true);
        assert_eq!((node.may_change(), node.to_string()), (true, "node:n1".to_owned()));
        let anna = CertName::of("operator:anna", false);
        assert_eq!((anna.may_change(), anna.to_string()), (true, "operator:anna".to_owned()));
        for (name, server) in
            [("n1", false), ("howdah_replicator", false), ("operator:", true), ("", true)]
        {
            assert!(!CertName::of(name, server).may_change(), "{name}");
        }
    }

    #[test]
    fn loopback_is_private_without_tls() {
        let private = |address: &str, tls| {
            let address = address.parse().expect("address");
            Asker { address, tls, certificate: None }.is_private()
        };
        assert!(private("127.0.0.1:1", false) && private("[::1]:1", false));
        assert!(private("[::ffff:127.0.0.1]:1", false), "a socket for both families");
        assert!(!private("10.0.0.1:1", false) && private("10.0.0.1:1", true));
    }
}
