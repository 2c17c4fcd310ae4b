//! Handshakes in memory: who gets in, and who does not.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use howdah_base::{ClusterName, NodeName};
use howdah_tls::{
    Authority, Certificate, Fingerprint, Identity, Member, Pair, Refused, for_clients, for_http,
    for_peers, refused, to_http, to_peers, to_pinned,
};
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

    fn pair(&self, name: &str) -> Pair {
        let node: NodeName = name.parse().expect("name");
        self.authority.node(&node, "127.0.0.1", None).expect("node")
    }

    fn node(&self, name: &str) -> Arc<Identity> {
        Identity::open(&self.pair(name)).expect("identity")
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
    shake_both(server, client, name).map(|(client, _)| client)
}

fn shake_both(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), String> {
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
        client.process_new_packets().map_err(|error| {
            format!("client: {error}, {}", refused(&error).map_or("", |why| word(why)))
        })?;
    }
    Ok((client, server))
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
    let replicator = Identity::open(&replicator).expect("identity");
    let replicator = to_peers(&cluster.ca(), &replicator).expect("config");
    assert!(shake(server.clone(), replicator, "n1").is_err(), "the replicator is no node");

    let other = Cluster::new();
    let stranger = to_peers(&cluster.ca(), &other.node("n2")).expect("config");
    assert!(shake(server, stranger, "n1").is_err(), "another cluster's node");
}

#[test]
fn a_proxy_is_a_peer_and_no_node_wherever_it_goes() {
    let cluster = Cluster::new();
    let server = for_peers(&cluster.ca(), &cluster.node("n1")).expect("config");
    let dir = tempfile::tempdir().expect("tempdir");
    let name: NodeName = "app1".parse().expect("name");
    let hosts = ["app1.example".to_owned()];
    cluster.authority.proxy(&name, &hosts, dir.path(), None).expect("proxy");
    let open = |name: &str| Identity::open(&Pair::at(dir.path(), name)).expect("identity");
    let config = |name: &str| to_peers(&cluster.ca(), &open(name)).expect("config");

    let (_, end) = shake_both(server.clone(), config("proxy"), "n1").expect("handshake");
    let shown = end.peer_certificates().expect("a certificate");
    assert_eq!(Member::of(&shown[0]), Some(Member::Proxy("app1".to_owned())));
    let node = to_peers(&cluster.ca(), &cluster.node("n2")).expect("config");
    let (_, end) = shake_both(server.clone(), node, "n1").expect("handshake");
    assert_eq!(Member::of(&end.peer_certificates().expect("one")[0]), Some(Member::Node));
    assert!(shake(server, config("server"), "n1").is_err(), "that one is for its clients only");

    // Towards its clients it is who it says, and to nobody a node.
    let proxy = for_clients(&open("server")).expect("config");
    for host in ["app1.example", "localhost"] {
        shake(proxy.clone(), ordinary_client(&cluster.ca(), &[]), host).expect("handshake");
    }
    assert!(shake(proxy, ordinary_client(&cluster.ca(), &[]), "n1").is_err());
    let proxy = for_clients(&open("proxy")).expect("config");
    assert!(shake(proxy, ordinary_client(&cluster.ca(), &[]), "localhost").is_err());

    // Made anew, it is for the same key, so that what runs goes on.
    let key = std::fs::read(dir.path().join("proxy.key")).expect("key");
    cluster.authority.proxy(&name, &hosts, dir.path(), None).expect("proxy");
    assert_eq!(std::fs::read(dir.path().join("proxy.key")).expect("key"), key);
}

fn word(why: Refused) -> &'static str {
    match why {
        Refused::TheirsExpired => "expired",
        Refused::TheirsForeign => "foreign",
        Refused::TheirsOfAnotherHost => "another host",
        _ => "other",
    }
}

/// Whom the server sees: the common name, and whether it is a server's certificate.
fn seen(server: &ServerConnection) -> Option<(String, bool)> {
    let first = server.peer_certificates()?.first()?;
    let certificate = Certificate::of(first).expect("a certificate");
    Some((certificate.common_name, certificate.server))
}

#[test]
fn http_takes_anybody_and_knows_who_shows_a_certificate() {
    let cluster = Cluster::new();
    let server = for_http(&cluster.ca(), &cluster.node("n1")).expect("config");
    let anybody = to_http(&cluster.ca(), None).expect("config");
    let (_, end) = shake_both(server.clone(), anybody, "127.0.0.1").expect("handshake");
    assert_eq!(seen(&end), None);

    let operator = cluster.authority.operator("anna", cluster.tls.path(), None).expect("operator");
    let anna = to_http(&cluster.ca(), Some(&operator)).expect("config");
    let (_, end) = shake_both(server.clone(), anna, "127.0.0.1").expect("handshake");
    assert_eq!(seen(&end), Some(("operator:anna".to_owned(), false)));

    let node = to_http(&cluster.ca(), Some(&cluster.pair("n2"))).expect("config");
    let (_, end) = shake_both(server.clone(), node, "n1").expect("handshake");
    assert_eq!(seen(&end), Some(("n2".to_owned(), true)));

    let other = Cluster::new();
    let stranger = to_http(&cluster.ca(), Some(&other.pair("n2"))).expect("config");
    assert!(shake(server, stranger, "n1").is_err(), "a certificate of another cluster");
}

#[test]
fn an_operators_name_has_a_form() {
    let cluster = Cluster::new();
    for bad in ["", "anna smith", "a,b", &"x".repeat(41)] {
        let error = cluster.authority.operator(bad, cluster.tls.path(), None).expect_err(bad);
        assert!(error.to_string().contains("hint: "), "{error}");
    }
}

#[test]
fn a_new_machine_knows_the_cluster_by_its_fingerprint() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let of = |cluster: &Cluster| {
        let text = std::fs::read_to_string(cluster.ca()).expect("ca");
        Fingerprint::of_pem(&text, &cluster.ca()).expect("fingerprint")
    };
    let print = of(&cluster);
    assert_eq!(print.to_string().parse::<Fingerprint>(), Ok(print));
    for bad in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }

    let server = for_http(&cluster.ca(), &cluster.node("n1")).expect("config");
    let known = || to_pinned(print).expect("config");
    shake(server.clone(), known(), "127.0.0.1").expect("handshake");
    let error = shake(server.clone(), known(), "10.9.9.9").expect_err("another host");
    assert!(error.ends_with("another host"), "{error}");
    let stranger = to_pinned(of(&other)).expect("config");
    let error = shake(server, stranger, "127.0.0.1").expect_err("another cluster");
    assert!(error.ends_with("foreign"), "{error}");

    // The right CA's certificate can be sent by anybody: what it has not signed is refused.
    let own = other.node("n1");
    let imposter = for_http(&cluster.ca(), &own).expect("config");
    let error = shake(imposter, known(), "127.0.0.1").expect_err("not signed");
    assert!(error.ends_with("foreign"), "{error}");
}

#[test]
fn a_renewed_certificate_is_used_at_the_next_handshake() {
    let cluster = Cluster::new();
    let identity = cluster.node("n1");
    let server = for_http(&cluster.ca(), &identity).expect("config");
    let serial = || {
        let client = to_http(&cluster.ca(), None).expect("config");
        let client = shake(server.clone(), client, "n1").expect("handshake");
        let first = client.peer_certificates().and_then(|chain| chain.first()).expect("one");
        Certificate::of(first).expect("a certificate").serial
    };
    let first = serial();
    assert!(!identity.look().expect("look"), "nothing has changed");
    let key = cluster.pair("n1").key;
    let text = std::fs::read_to_string(&key).expect("key");
    let name: NodeName = "n1".parse().expect("name");
    let again = Authority::open_or_create(
        cluster.tls.path(),
        &"demo".parse().expect("name"),
        SystemTime::now(),
    );
    again.expect("authority").anew(true).node(&name, "127.0.0.1", None).expect("node");
    assert_eq!(std::fs::read_to_string(&key).expect("key"), text, "the key stays");
    assert_eq!(serial(), first, "nobody has looked yet");
    assert!(identity.look().expect("look"));
    let second = serial();
    assert_ne!(second, first);

    // What cannot be used is told once, and the last good one stays.
    std::fs::write(cluster.pair("n1").certificate, "damaged").expect("write");
    assert!(identity.look().is_err());
    assert!(!identity.look().expect("told once"));
    assert_eq!(serial(), second);
}

#[test]
fn an_expired_certificate_is_named_as_such() {
    let cluster = Cluster::new();
    let long_ago = SystemTime::now() - std::time::Duration::from_secs(400 * 24 * 60 * 60);
    let name: NodeName = "n7".parse().expect("name");
    Authority::open_or_create(cluster.tls.path(), &"demo".parse().expect("name"), long_ago)
        .expect("authority")
        .node(&name, "127.0.0.1", None)
        .expect("node");
    let expired = Pair::at(cluster.tls.path(), "n7");
    let server =
        for_http(&cluster.ca(), &Identity::open(&expired).expect("identity")).expect("config");
    let client = to_http(&cluster.ca(), None).expect("config");
    let error = shake(server, client, "n7").expect_err("expired");
    assert!(error.ends_with("expired"), "{error}");

    let server = for_http(&cluster.ca(), &cluster.node("n1")).expect("config");
    let client = to_http(&cluster.ca(), Some(&expired)).expect("config");
    let error = shake(server, client, "n1").expect_err("expired");
    assert!(error.contains("server: ") && error.contains("expired"), "{error}");
}

#[test]
fn a_key_made_elsewhere_is_certified_under_the_names_of_the_file() {
    let cluster = Cluster::new();
    let elsewhere = tempfile::tempdir().expect("tempdir");
    let name: NodeName = "n5".parse().expect("name");
    let new = howdah_tls::request(&name).expect("request");
    let request = new.request.clone();
    let read = |path| std::fs::read_to_string(path).expect("read");
    let key = howdah_base::Redacted::new(read(cluster.tls.path().join("ca.key")));
    let authority =
        Authority::from_pem(&read(cluster.ca()), &key, SystemTime::now()).expect("authority");
    let pair = Pair::at(elsewhere.path(), "n5");
    let first = authority.certify(&name, "10.0.0.5", &request).expect("certified");
    new.keep(&pair, &first, None).expect("kept");
    let server = for_peers(&cluster.ca(), &Identity::open(&pair).expect("it is of the key"));
    let client = to_peers(&cluster.ca(), &cluster.node("n1")).expect("config");
    shake(server.expect("config"), client, "10.0.0.5").expect("handshake");

    assert!(authority.certify(&name, "10.0.0.5", "nonsense").is_err());
    let changed = request.replacen("MI", "MJ", 1);
    assert!(authority.certify(&name, "10.0.0.5", &changed).is_err());

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let der = CertificateDer::from_pem_slice(first.as_bytes()).expect("pem");
    let again = authority.certify_again(&name, "10.0.0.5", &der).expect("certified again");
    std::fs::write(&pair.certificate, &again).expect("write");
    Identity::open(&pair).expect("it is of the same key");
    assert_ne!(again, first);

    // What was signed later is put in place once, and nothing else is.
    let now = SystemTime::now();
    let later = Authority::from_pem(
        &read(cluster.ca()),
        &howdah_base::Redacted::new(read(cluster.tls.path().join("ca.key"))),
        now + std::time::Duration::from_secs(60),
    );
    let later = later.expect("authority").certify_again(&name, "10.0.0.5", &der).expect("later");
    let replace = |text: &str| pair.replace(&cluster.ca(), text, now, None);
    assert!(replace(&later).expect("of the same key"));
    assert!(!replace(&later).expect("no better"), "it is there already");
    assert_eq!(read(pair.certificate.clone()), later);
    let others = read(cluster.pair("n1").certificate);
    assert!(replace(&others).is_err(), "another key's");
}
