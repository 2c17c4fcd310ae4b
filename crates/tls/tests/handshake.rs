//! Handshakes in memory: who gets in, and who does not.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use howdah_base::{ClusterName, NodeName};
use howdah_tls::{Authority, Pair, for_clients, for_peers, to_peers};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};

struct Cluster {
    tls: tempfile::TempDir,
    authority: Authority,
}

impl Cluster {
    fn new() -> Cluster {
        let tls = tempfile::tempdir().expect("tempdir");
        let name: ClusterName = "demo".parse().expect("name");
        let authority =
            Authority::open_or_create(tls.path(), &name, SystemTime::now()).expect("authority");
        Cluster { tls, authority }
    }

    fn node(&self, name: &str) -> Pair {
        let node: NodeName = name.parse().expect("name");
        self.authority.node(&node, "127.0.0.1", None).expect("node")
    }

    fn ca(&self) -> std::path::PathBuf {
        self.tls.path().join("ca.crt")
    }
}

/// Carries bytes between both ends until neither has more to say.
fn shake(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> Result<ClientConnection, String> {
    let name = ServerName::try_from(name.to_owned()).expect("server name");
    let mut client = ClientConnection::new(client, name).map_err(|error| error.to_string())?;
    let mut server = ServerConnection::new(server).map_err(|error| error.to_string())?;
    while client.is_handshaking() || server.is_handshaking() || client.wants_write() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).expect("write");
        server.read_tls(&mut bytes.as_slice()).expect("read");
        server.process_new_packets().map_err(|error| format!("server: {error}"))?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).expect("write");
        client.read_tls(&mut bytes.as_slice()).expect("read");
        client.process_new_packets().map_err(|error| format!("client: {error}"))?;
    }
    Ok(client)
}

fn ordinary_client(ca: &Path, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).expect("ca")).expect("root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

#[test]
fn a_client_gets_in_with_and_without_alpn() {
    let cluster = Cluster::new();
    let server = for_clients(&cluster.node("n1")).expect("config");
    let old = shake(server.clone(), ordinary_client(&cluster.ca(), &[]), "localhost");
    assert_eq!(old.expect("handshake").alpn_protocol(), None);
    let new = shake(server.clone(), ordinary_client(&cluster.ca(), &[b"postgresql"]), "n1");
    assert_eq!(new.expect("handshake").alpn_protocol(), Some(&b"postgresql"[..]));
    assert!(shake(server, ordinary_client(&cluster.ca(), &[b"h2"]), "n1").is_err());
}

#[test]
fn a_node_is_a_peer() {
    let cluster = Cluster::new();
    let server = for_peers(&cluster.ca(), &cluster.node("n1")).expect("config");
    let client = to_peers(&cluster.ca(), &cluster.node("n2")).expect("config");
    shake(server, client, "n1").expect("handshake");
}

#[test]
fn a_peer_is_known_by_its_name() {
    let cluster = Cluster::new();
    let server = for_peers(&cluster.ca(), &cluster.node("n1")).expect("config");
    let client = to_peers(&cluster.ca(), &cluster.node("n2")).expect("config");
    let error = shake(server, client, "n3").expect_err("n1 is not n3");
    assert!(error.starts_with("client: "), "{error}");
}

#[test]
fn nobody_else_is_a_peer() {
    let cluster = Cluster::new();
    let server = for_peers(&cluster.ca(), &cluster.node("n1")).expect("config");

    let without = ordinary_client(&cluster.ca(), &[b"howdah-peer"]);
    assert!(shake(server.clone(), without, "n1").is_err(), "no certificate");

    let replicator = cluster.authority.replicator(None).expect("replicator");
    let replicator = to_peers(&cluster.ca(), &replicator).expect("config");
    assert!(shake(server.clone(), replicator, "n1").is_err(), "the replicator is no node");

    let other = Cluster::new();
    let stranger = to_peers(&cluster.ca(), &other.node("n2")).expect("config");
    assert!(shake(server, stranger, "n1").is_err(), "another cluster's node");
}
