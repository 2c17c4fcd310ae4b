//! One port, two protocols: what a connection proves, what it may not do in the clear, and how a
//! machine that is no node yet is let in.

use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use howdah_api::client::{self, Answer, Client, Method, NoAnswer};
use howdah_api::join::{Denied, Doorkeeper, JoinRequest, Welcome};
use howdah_api::{
    Access, ApiConfig, Ask, Feeds, Health, Progress, Receipt, Refusal, Request, Server,
};
use howdah_base::record::ServerState;
use howdah_base::status::ClusterStatus;
use howdah_base::{NodeName, Redacted, Tick};
use howdah_tls::{Authority, Fingerprint, Identity, Pair, Refused};
use serde_json::{Map, json};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot, watch};

const WITHIN: Duration = Duration::from_secs(10);

/// Admits the secret `right`, and counts how often it was asked.
#[derive(Debug, Default)]
struct Keeper {
    asked: AtomicUsize,
    last: Mutex<Option<JoinRequest>>,
}

impl Doorkeeper for Keeper {
    fn admit(&self, request: &JoinRequest) -> Result<Welcome, Denied> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        *self.last.lock().expect("lock") = Some(request.clone());
        match &*request.secret {
            "right" => Ok(Welcome {
                certificate: "certificate".to_owned(),
                authority: "authority".to_owned(),
                authority_key: Some("key".to_owned()),
                file: "file".to_owned(),
                token: "token".to_owned(),
                secrets: BTreeMap::new(),
            }),
            "alive" => Err(Denied::Node(Refusal::new("node n2 is alive already"))),
            _ => Err(Denied::Token(Refusal::new("the token is wrong").hint("create another"))),
        }
    }

    fn waiting(&self, node: &NodeName) -> Option<String> {
        (node.as_str() == "witness").then(|| "a newer one".to_owned())
    }
}

struct Node {
    port: u16,
    keeper: Arc<Keeper>,
    /// Lets the node have its first picture.
    started: Option<oneshot::Sender<Feeds>>,
    feeds: Option<Feeds>,
    requests: mpsc::Receiver<Request>,
    /// The CA, and what it signed.
    dir: TempDir,
    _status: watch::Sender<Arc<ClusterStatus>>,
    _health: watch::Sender<Health>,
}

/// A node that is still starting, on all addresses.
async fn starting() -> Node {
    let dir = tempfile::tempdir().expect("a folder");
    let pair = authority(&dir).node(&name("n1"), &own_address().to_string(), None);
    let identity = Identity::open(&pair.expect("node")).expect("identity");
    let tls = howdah_tls::for_http(&dir.path().join("ca.crt"), &identity).expect("tls");
    let access = Access {
        token: Redacted::new("secret".to_owned()),
        audit_dir: dir.path().to_owned(),
        ..Access::default()
    };
    let listen = vec!["0.0.0.0:0".parse().expect("address")];
    let config = ApiConfig { listen, access, lease_ttl: Duration::from_secs(1) };
    let keeper = Arc::new(Keeper::default());
    let server = Server::bind(config).await.expect("bind");
    let server = server.with_tls(tls).with_doorkeeper(keeper.clone());
    let port = server.addresses()[0].port();
    let (status, status_reader) = watch::channel(Arc::new(cluster()));
    let (health, health_reader) = watch::channel(leading());
    let (sender, requests) = mpsc::channel(1);
    let (_, file) = watch::channel(None);
    let feeds = Feeds { status: status_reader, health: health_reader, file, requests: sender };
    let (started, starting) = oneshot::channel();
    tokio::spawn(server.run_when(async { starting.await.ok() }));
    Node {
        port,
        keeper,
        started: Some(started),
        feeds: Some(feeds),
        requests,
        dir,
        _status: status,
        _health: health,
    }
}

async fn running() -> Node {
    let mut node = starting().await;
    node.start().await;
    node
}

fn authority(dir: &TempDir) -> Authority {
    let cluster = "demo".parse().expect("name");
    Authority::open_or_create(dir.path(), &cluster, SystemTime::now()).expect("authority")
}

fn name(text: &str) -> NodeName {
    text.parse().expect("name")
}

/// An address of this machine that is not loopback, where it has one.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("socket");
    // Nothing is sent: the kernel only chooses the address that it would send from (RFC 5737).
    match socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr()) {
        Ok(own) => own.ip(),
        Err(_) => [127, 0, 0, 1].into(),
    }
}

fn cluster() -> ClusterStatus {
    let status = json!({
        "cluster": "demo", "seen_by": "n1", "durability": "quorum", "term": 1, "leader": "n1",
        "store": { "kind": "embedded", "reachable": true, "error": null }, "nodes": [],
        "endpoints": [], "nodes_spare": 1, "problems": [], "history": [], "config_revision": 1,
    });
    serde_json::from_value(status).expect("a status")
}

fn leading() -> Health {
    Health {
        state: ServerState::Primary,
        leader_until: Some(Tick(u64::MAX)),
        position: None,
        replayed: None,
        leader_end: None,
        voter: false,
        beat: Tick(u64::MAX),
        system_identifier: None,
        tags: Map::new(),
        paused: false,
        store_seen: None,
        store_reachable: true,
    }
}

impl Node {
    async fn start(&mut self) {
        let (started, feeds) = (self.started.take(), self.feeds.take());
        let feeds = feeds.expect("not started yet");
        assert!(started.expect("not started yet").send(feeds).is_ok());
        // Whoever comes next meets the whole of it, once the server has taken it in.
        for _ in 0..1000 {
            if self.plain("127.0.0.1", "/status").await.code == 200 {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("the node answers still as if it started");
    }

    fn at(&self, host: &str) -> String {
        format!("{host}:{}", self.port)
    }

    async fn plain(&self, host: &str, path: &str) -> Answer {
        client::get(&self.at(host), path, WITHIN).await.expect("answer")
    }

    fn tls(&self, own: Option<&Pair>) -> Client {
        Client::by_tls(howdah_tls::to_http(&self.dir.path().join("ca.crt"), own).expect("tls"))
    }

    /// Asks for a pause; the agent agrees whenever it hears of one. Returns the answer and
    /// who the agent thinks asked.
    async fn pause(
        &mut self,
        client: &Client,
        host: &str,
        token: Option<&str>,
    ) -> (Answer, Option<String>) {
        let address = self.at(host);
        let token = token.map(|token| Redacted::new(token.to_owned()));
        let ask = client::Ask {
            method: Method::POST,
            path: "/pause",
            token: token.as_ref(),
            body: String::new(),
            within: WITHIN,
        };
        let asked = client.ask(&address, &ask);
        tokio::pin!(asked);
        let mut by = None;
        loop {
            tokio::select! {
                answer = &mut asked => return (answer.expect("answer"), by),
                Some(request) = self.requests.recv() => {
                    assert_eq!(request.kind, Ask::Pause);
                    by = Some(request.by);
                    let _ = request.reply.send(Ok(Receipt::of(&request.kind, Progress::Done, "paused")));
                }
            }
        }
    }

    async fn join(&self, client: &Client, secret: &str) -> Answer {
        let request = JoinRequest {
            id: "id".to_owned(),
            secret: secret.to_owned(),
            node: name("n2"),
            request: "request".to_owned(),
        };
        let body = serde_json::to_string(&request).expect("json");
        let method = Method::POST;
        let ask = client::Ask { method, path: "/join", token: None, body, within: WITHIN };
        client.ask(&self.at("127.0.0.1"), &ask).await.expect("answer")
    }

    fn pinned(&self) -> Client {
        let ca = self.dir.path().join("ca.crt");
        let text = std::fs::read_to_string(&ca).expect("ca");
        let print = Fingerprint::of_pem(&text, &ca).expect("fingerprint");
        Client::by_tls(howdah_tls::to_pinned(print).expect("tls"))
    }
}

#[tokio::test]
async fn reading_works_over_both() {
    let node = running().await;
    assert_eq!(node.plain("127.0.0.1", "/primary").await.code, 200);
    assert_eq!(node.plain(&own_address().to_string(), "/status").await.code, 200);
    let answer = node.tls(None).get(&node.at("localhost"), "/status", WITHIN).await;
    let answer = answer.expect("answer");
    assert_eq!(answer.code, 200);
    assert!(answer.body.contains("\"demo\""), "{answer:?}");
}

#[tokio::test]
async fn a_change_is_taken_from_other_machines_by_tls_only() {
    let mut node = running().await;
    let own = own_address();
    if own.is_loopback() {
        eprintln!("this machine has no address but loopback: nothing to come from");
        return;
    }
    let own = own.to_string();
    let (answer, by) = node.pause(&Client::plain(), &own, Some("secret")).await;
    assert_eq!((answer.code, by), (403, None), "{answer:?}");
    assert!(answer.body.contains("TLS") && answer.body.contains("https://"), "{answer:?}");
    let tls = node.tls(None);
    let (answer, by) = node.pause(&tls, &own, Some("secret")).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    assert!(by.is_some());
    let (answer, _) = node.pause(&tls, &own, Some("wrong")).await;
    assert_eq!(answer.code, 401, "{answer:?}");
    let (answer, _) = node.pause(&Client::plain(), "127.0.0.1", Some("secret")).await;
    assert_eq!(answer.code, 200, "loopback never leaves the machine: {answer:?}");
}

#[tokio::test]
async fn a_certificate_does_what_the_token_does() {
    let mut node = running().await;
    let authority = authority(&node.dir);
    let anna = authority.operator("anna", node.dir.path(), None).expect("operator");
    let client = node.tls(Some(&anna));
    let (answer, by) = node.pause(&client, "127.0.0.1", None).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    assert!(by.as_ref().is_some_and(|by| by.contains("operator:anna")), "{by:?}");

    let other = authority.node(&name("n2"), "10.0.0.2", None).expect("node");
    let client = node.tls(Some(&other));
    let (answer, by) = node.pause(&client, "127.0.0.1", None).await;
    assert_eq!(answer.code, 200, "{answer:?}");
    assert!(by.as_ref().is_some_and(|by| by.contains("node:n2")), "{by:?}");

    let replicator = authority.replicator(None).expect("replicator");
    let client = node.tls(Some(&replicator));
    let (answer, by) = node.pause(&client, "127.0.0.1", None).await;
    assert!(matches!(answer.code, 401 | 403), "it may stream, and nothing else: {answer:?}");
    assert_eq!(by, None);
}

#[tokio::test]
async fn a_certificate_that_is_no_good_is_told_as_such() {
    let mut node = running().await;
    let long_ago = SystemTime::now() - Duration::from_secs(400 * 24 * 60 * 60);
    let cluster = "demo".parse().expect("name");
    let old = Authority::open_or_create(node.dir.path(), &cluster, long_ago).expect("authority");
    let expired = old.operator("anna", node.dir.path(), None).expect("operator");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let foreign = authority(&elsewhere).operator("eve", elsewhere.path(), None).expect("operator");
    let address = node.at("127.0.0.1");
    for (pair, wanted) in [(expired, Refused::OursExpired), (foreign, Refused::OursForeign)] {
        let refused = node.tls(Some(&pair)).get(&address, "/status", WITHIN).await;
        match refused.expect_err("refused") {
            NoAnswer::Refused { why, .. } => assert_eq!(why, wanted),
            other => panic!("{wanted:?}: {other}"),
        }
    }
    let ca = elsewhere.path().join("ca.crt");
    let stranger = Client::by_tls(howdah_tls::to_http(&ca, None).expect("tls"));
    let error = stranger.get(&address, "/status", WITHIN).await.expect_err("another cluster");
    let NoAnswer::Refused { why: Refused::TheirsForeign, .. } = &error else { panic!("{error}") };
    assert!(error.to_string().starts_with("a node of another cluster answers"), "{error}");
    let here = node.tls(None);
    let (answer, _) = node.pause(&here, "127.0.0.1", Some("secret")).await;
    assert_eq!(answer.code, 200, "and others are served: {answer:?}");
}

#[tokio::test]
async fn a_machine_joins_while_the_node_still_starts() {
    let mut node = starting().await;
    let early = node.plain("127.0.0.1", "/primary").await;
    assert_eq!(early.code, 503);
    assert!(early.starting, "whoever asks may ask another node: {}", early.body);
    assert!(early.body.contains("is starting"), "{early:?}");
    let welcome = node.join(&node.pinned(), "right").await;
    assert_eq!(welcome.code, 200, "{welcome:?}");
    let welcome: Welcome = serde_json::from_str(&welcome.body).expect("a welcome");
    assert_eq!(welcome.authority_key.as_deref(), Some("key"));
    assert!(!format!("{welcome:?}").contains("token"), "secrets are not printed");
    let heard = node.keeper.last.lock().expect("lock").clone().expect("a request");
    assert_eq!((&*heard.id, heard.node), ("id", name("n2")));

    node.start().await;
    assert_eq!(node.join(&node.pinned(), "right").await.code, 200, "and later");
    let log = std::fs::read_to_string(node.dir.path().join("audit.log")).expect("the audit log");
    let told: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&told[0]["event"], &told[1]["code"]), (&json!("asked"), &json!(200)), "{log}");
    assert!(told[0]["who"].as_str().is_some_and(|who| who.starts_with("join token ")), "{log}");
    assert!(!log.contains("right"), "the secret is cut: {log}");
    let newer = node.plain("127.0.0.1", "/certificates/witness").await;
    assert_eq!((newer.code, &*newer.body), (200, "a newer one"));
    assert_eq!(node.plain("127.0.0.1", "/certificates/n3").await.code, 404);
}

#[tokio::test]
async fn who_may_not_join_hears_why() {
    let node = running().await;
    let plain = node.join(&Client::plain(), "right").await;
    assert_eq!(plain.code, 403, "the answer carries keys: {plain:?}");
    assert_eq!(node.keeper.asked.load(Ordering::Relaxed), 0);
    let alive = node.join(&node.pinned(), "alive").await;
    assert_eq!(alive.code, 409, "{alive:?}");
    let wrong = node.join(&node.pinned(), "wrong").await;
    assert_eq!(wrong.code, 403, "{wrong:?}");
    assert!(wrong.body.contains("the token is wrong") && wrong.body.contains("create another"));
}

#[tokio::test]
async fn guessing_has_an_end() {
    let node = running().await;
    let client = node.pinned();
    let mut codes = Vec::new();
    for _ in 0..25 {
        codes.push(node.join(&client, "wrong").await.code);
    }
    assert_eq!(codes.iter().filter(|code| **code == 403).count(), 20, "{codes:?}");
    assert_eq!(codes.last(), Some(&429), "{codes:?}");
    assert_eq!(node.keeper.asked.load(Ordering::Relaxed), 20);
    assert_eq!(node.join(&client, "right").await.code, 429, "nobody is heard for a while");
}
