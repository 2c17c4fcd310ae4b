//! Nodes with hand-made topologies, and clients of them.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use howdah_base::topology::{Local, Route, Topology};
use howdah_base::{Bytes, Span, Term};
use howdah_proxy::{
    ConsoleConfig, Counters, Endpoint, Metrics, Operators, PeerDoor, Policy, ProxyConfig, bind,
    serve,
};
use howdah_spec::PoolMode;
use howdah_spec::hba::HbaRule;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{copy, duplex, sink};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client, Config, NoTls};

use crate::pg::PASSWORD;

pub const ALL: &str = "host all all all scram-sha-256";

/// How long anything may take that should happen at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// A cluster CA and one certificate for everybody.
pub struct Tls {
    pub ca_pem: String,
    pub server: ServerConfig,
    pub peer_server: Arc<ServerConfig>,
    pub peer_client: Arc<ClientConfig>,
    /// Trusts the CA and shows no certificate.
    pub stranger: ClientConfig,
}

impl Tls {
    pub fn new() -> Tls {
        let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A leaf of the same name would pass for self-signed with OpenSSL.
        ca.distinguished_name.push(DnType::CommonName, "the cluster's CA");
        let ca_key = KeyPair::generate().expect("a key");
        let ca_cert = ca.self_signed(&ca_key).expect("the CA");
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate().expect("a key");
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut cert = CertificateParams::new(names).expect("parameters");
        cert.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let cert = cert.signed_by(&key, &issuer).expect("the certificate");
        let chain: Vec<CertificateDer<'static>> = vec![cert.der().clone()];
        let key = || PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let mut roots = RootCertStore::empty();
        roots.add(ca_cert.der().clone()).expect("the root");
        let roots = Arc::new(roots);
        let verifier = WebPkiClientVerifier::builder(roots.clone()).build().expect("a verifier");
        let server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain.clone(), key())
            .expect("a configuration");
        let peer_server = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain.clone(), key())
            .expect("a configuration");
        let client = || ClientConfig::builder().with_root_certificates(roots.clone());
        let peer_client = client().with_client_auth_cert(chain, key()).expect("a configuration");
        Tls {
            ca_pem: ca_cert.pem(),
            server,
            peer_server: peer_server.into(),
            peer_client: peer_client.into(),
            stranger: client().with_no_client_auth(),
        }
    }
}

/// One node's proxy. What it knows is what [`Node::learns`] told it.
pub struct Node {
    pub name: &'static str,
    ports: [u16; 4],
    postgres_port: u16,
    pub counters: Arc<Counters>,
    topology: watch::Sender<Topology>,
    serving: JoinHandle<()>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A configuration that a test may change before it starts the node.
pub fn config(name: &str, tls: &Tls, rules: &[&str]) -> ProxyConfig {
    let rules = rules.iter().map(|line| HbaRule::parse(line).expect("a rule")).collect();
    ProxyConfig {
        node: name.parse().expect("a name"),
        cluster: "test".parse().expect("a name"),
        listen: vec![Ipv4Addr::LOCALHOST.into()],
        virtual_ip: None,
        rw_port: 0,
        ro_port: 0,
        any_port: 0,
        peers: Some(PeerDoor {
            port: 0,
            tls: tls.peer_server.clone(),
            pleas: tokio::sync::mpsc::channel(1).0,
            verifiers: tokio::sync::mpsc::channel(1).0,
            wal_dir: std::env::temp_dir(),
        }),
        hba: watch::channel(Arc::new(rules)).1,
        server_tls: Arc::new(tls.server.clone()),
        peer_client_tls: tls.peer_client.clone(),
        ro_max_lag: Bytes(1000),
        ro_primary_fallback: false,
        clients_max: 20,
        policy: ruled(|policy| policy.pool.mode = PoolMode::Off),
        connect_wait: Span(Duration::from_millis(400)),
        keepalive: Span(Duration::from_secs(60)),
        user_timeout: Span(Duration::from_secs(30)),
        counters: Arc::default(),
        verifiers: tokio::sync::mpsc::channel(1).0,
        console: console(),
        metrics: Metrics::default(),
        sockets: None,
        known_as: None,
    }
}

/// Pools of two servers, changed a little.
pub fn ruled(change: impl FnOnce(&mut Policy)) -> watch::Receiver<Arc<Policy>> {
    let mut policy = Policy::default();
    policy.pool.mode = PoolMode::Transaction;
    policy.pool.size = 2;
    policy.pool.times.wait = Duration::from_secs(5);
    policy.threads = Some(threads());
    change(&mut policy);
    watch::channel(Arc::new(policy)).1
}

/// Data threads of a node, unless a story has its own mind: `HOWDAH_TEST_THREADS`. With several, what
/// holds with one is held against servers that move, too.
fn threads() -> u32 {
    let said = std::env::var("HOWDAH_TEST_THREADS").ok();
    said.map_or(3, |count| count.parse().expect("HOWDAH_TEST_THREADS is a number"))
}

/// `app` may command, nobody may only look, and nobody grants wishes.
pub fn console() -> ConsoleConfig {
    let command = ["app".to_owned()].into();
    let operators = Operators { command, ..Operators::default() };
    ConsoleConfig {
        operators: watch::channel(Arc::new(operators)).1,
        wishes: tokio::sync::mpsc::channel(1).0,
        settings: watch::channel(Arc::default()).1,
        port: 6432,
    }
}

impl Node {
    pub async fn start(name: &'static str, postgres_port: u16, config: ProxyConfig) -> Node {
        let bound = bind(&config).await.expect("the endpoints");
        let mut ports = [0; 4];
        for (endpoint, listener) in &bound.0 {
            ports[*endpoint as usize] = listener.local_addr().expect("an address").port();
        }
        let (topology, learnt) = watch::channel(Topology::default());
        let counters = config.counters.clone();
        let serving = tokio::spawn(async move {
            serve(config, learnt, bound).await.expect("it serves");
        });
        Node { name, ports, postgres_port, counters, topology, serving }
    }

    pub fn address(&self, endpoint: Endpoint) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports[endpoint as usize]).into()
    }

    /// `primary` in `term` if there is one, the others standbys with their lag; of its own
    /// server it knows what the cluster says.
    pub fn learns(&self, term: u64, primary: Option<&str>, nodes: &[(&Node, Option<u64>)]) {
        let me = primary == Some(self.name);
        let readable = !me && nodes.iter().any(|(n, lag)| n.name == self.name && lag.is_some());
        self.learns_of_itself(term, primary, nodes, me.then_some(term), readable);
    }

    /// Its server is about to be shut down, or is not any more.
    pub fn closes(&self, closing: bool) {
        self.topology.send_modify(|now| now.local.closing = closing);
    }

    /// The primary is about to be shut down for another, or is not any more.
    pub fn hands_over(&self, handing_over: bool) {
        self.topology.send_modify(|now| now.handing_over = handing_over);
    }

    /// It leads that term without a server, or does not any more.
    pub fn ended(&self, term: Option<u64>) {
        self.topology.send_modify(|now| now.local.ended = term.map(Term));
    }

    pub fn learns_of_itself(
        &self,
        term: u64,
        primary: Option<&str>,
        nodes: &[(&Node, Option<u64>)],
        writable: Option<u64>,
        readable: bool,
    ) {
        let route = |node: &Node, lag| Route {
            host: "127.0.0.1".to_owned(),
            peer_port: node.ports[Endpoint::Peer as usize],
            postgres_port: node.postgres_port,
            standby_lag: lag,
        };
        self.topology.send_replace(Topology {
            term: Term(term),
            handing_over: false,
            primary: primary.map(|name| name.parse().expect("a name")),
            nodes: nodes
                .iter()
                .map(|(node, lag)| (node.name.parse().expect("a name"), route(node, *lag)))
                .collect(),
            local: Local {
                ended: None,
                writable: writable.map(Term),
                readable,
                closing: false,
                postgres_port: self.postgres_port,
            },
        });
    }
}

/// A session without TLS as `app`.
pub async fn connect(to: SocketAddr) -> Result<Client, tokio_postgres::Error> {
    connect_from([127, 0, 0, 1].into(), to).await
}

pub async fn connect_from(from: IpAddr, to: SocketAddr) -> Result<Client, tokio_postgres::Error> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((from, 0).into()).expect("the source address");
    let tcp = socket.connect(to).await.expect("a listener");
    let mut config = Config::new();
    config.user("app").dbname("postgres").password(PASSWORD);
    let (client, session) = config.connect_raw(tcp, NoTls).await?;
    tokio::spawn(session);
    Ok(client)
}

/// The port of the server that serves the session.
pub async fn server_of(client: &Client) -> u16 {
    let row = client.query_one("select inet_server_port()", &[]).await.expect("an answer");
    u16::try_from(row.get::<_, i32>(0)).expect("a port")
}

/// Waits until `seen` says that it is so; at most [`PATIENCE`], then prints what it saw last.
pub async fn until<F: Future<Output = Result<(), String>>>(
    what: &str,
    mut seen: impl FnMut() -> F,
) {
    let mut last = "nothing".to_owned();
    let wait = async {
        while let Err(now) = seen().await {
            last = now;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "not in time: {what}; saw {last}");
}

/// Sends the request and waits until the server hangs up, as libpq does: PostgreSQL signals twice, the
/// process and its group, and who does not wait may have its next statement hit by the second.
pub async fn cancel(at: SocketAddr, token: &CancelToken) {
    let (near, mut far) = duplex(64);
    token.cancel_query_raw(near, NoTls).await.expect("said");
    let mut tcp = TcpStream::connect(at).await.expect("connected");
    copy(&mut far, &mut tcp).await.expect("sent");
    assert_eq!(copy(&mut tcp, &mut sink()).await.expect("the end"), 0);
}

pub async fn until_cut(client: &Client) {
    until("the session is cut", async || {
        if client.is_closed() { Ok(()) } else { Err("an open session".to_owned()) }
    })
    .await;
}

/// SQLSTATE and message of a refusal.
pub fn refusal(result: Result<Client, tokio_postgres::Error>) -> String {
    let error = result.expect_err("a refusal");
    match error.as_db_error() {
        Some(db) => format!("{} {}: {}", db.severity(), db.code().code(), db.message()),
        None => format!("{error:?}"),
    }
}
