//! The paths over a real socket, asked by the project's own client and by hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use howdah_api::client::{self, Answer};
use howdah_api::{Access, ApiConfig, Ask, Feeds, Health, Refusal, Request, Server};
use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, StoreStatus};
use howdah_base::{Redacted, Term, Tick};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

const WITHIN: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(1);

struct Node {
    address: String,
    health: watch::Sender<Health>,
    _status: watch::Sender<Arc<ClusterStatus>>,
    requests: mpsc::Receiver<Request>,
}

async fn node() -> Node {
    let config = ApiConfig {
        listen: vec!["127.0.0.1:0".parse().expect("address")],
        access: Access { token: token("secret"), ..Access::default() },
        lease_ttl: LEASE,
    };
    let server = Server::bind(config).await.expect("bind");
    let address = server.addresses()[0].to_string();
    let (status, status_reader) = watch::channel(Arc::new(cluster()));
    let (health, health_reader) = watch::channel(leading());
    let (sender, requests) = mpsc::channel(1);
    let (_, file) = watch::channel(None);
    let (status_reader, health_reader) = (status_reader, health_reader);
    let feeds = Feeds { status: status_reader, health: health_reader, file, requests: sender };
    tokio::spawn(server.run(feeds));
    Node { address, health, _status: status, requests }
}

fn token(text: &str) -> Redacted<String> {
    Redacted::new(text.to_owned())
}

fn cluster() -> ClusterStatus {
    ClusterStatus {
        cluster: "demo".parse().expect("name"),
        seen_by: "n1".parse().expect("name"),
        durability: "quorum".to_owned(),
        term: Term(1),
        leader: Some("n1".parse().expect("name")),
        store: StoreStatus { kind: "<embedded>".to_owned(), reachable: true, error: None },
        nodes: Vec::new(),
        endpoints: Vec::new(),
        nodes_spare: Some(1),
        problems: Vec::new(),
        history: Vec::new(),
        config_revision: 1,
        paused: None,
        planned: None,
    }
}

/// A leader whose last beat lies ahead of every clock: age is not this file's subject.
fn leading() -> Health {
    Health {
        cluster: "demo".parse().expect("name"),
        node: "n1".parse().expect("name"),
        term: Term(1),
        state: ServerState::Primary,
        leader_until: Some(Tick(u64::MAX)),
        position: None,
        replayed: None,
        lag_bytes: None,
        voter: false,
        beat: Tick(u64::MAX),
        version: None,
        system_identifier: None,
        tags: BTreeMap::new(),
    }
}

impl Node {
    async fn get(&self, path: &str) -> Answer {
        client::get(&self.address, path, WITHIN).await.expect("answer")
    }

    async fn post(&self, path: &str, secret: &str, body: &str) -> Answer {
        let secret = token(secret);
        client::post(&self.address, path, &secret, body.to_owned(), WITHIN).await.expect("answer")
    }

    /// Posts while `agent` deals with the one request that arrives.
    async fn settle(mut self, path: &str, body: &str, agent: impl FnOnce(Request)) -> Answer {
        let secret = token("secret");
        let answer = client::post(&self.address, path, &secret, body.to_owned(), WITHIN);
        let act = async { agent(self.requests.recv().await.expect("request")) };
        tokio::join!(answer, act).0.expect("answer")
    }

    /// Everything that comes back for `text`, until the server closes.
    async fn raw(&self, text: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.expect("connect");
        stream.write_all(text.as_bytes()).await.expect("write");
        let mut answer = String::new();
        let read = tokio::time::timeout(WITHIN, stream.read_to_string(&mut answer)).await;
        read.expect("an end in time").expect("read");
        answer
    }

    async fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        self.raw(&format!("{head}{headers}\r\n")).await
    }
}

#[tokio::test]
async fn a_health_check_turns_with_the_agents_judgement() {
    let node = node().await;
    assert_eq!(node.get("/primary").await.code, 200);
    assert_eq!(node.get("/replica").await.code, 503);
    node.health.send_modify(|health| health.state = ServerState::Streaming);
    assert_eq!(node.get("/primary").await.code, 503);
    assert_eq!(node.get("/replica").await.code, 200);
    assert_eq!(node.get("/replica?lag=1MB").await.code, 503, "the lag is unknown");
    assert_eq!(node.get("/replica?lag=much").await.code, 400);
    node.health.send_modify(|health| health.beat = Tick(0));
    assert_eq!(node.get("/replica").await.code, 503, "the agent has been silent since boot");
}

#[tokio::test]
async fn head_and_options_answer_with_the_status_alone() {
    let node = node().await;
    for method in ["HEAD", "OPTIONS"] {
        let up = node.ask(method, "/primary", "").await;
        assert!(up.starts_with("HTTP/1.1 200 OK\r\n"), "{method}: {up}");
        assert!(up.ends_with("\r\n\r\n"), "{method} has a body: {up}");
        let down = node.ask(method, "/replica", "").await;
        assert!(down.starts_with("HTTP/1.1 503 "), "{method}: {down}");
    }
}

#[tokio::test]
async fn the_page_is_a_page_for_browsers_and_text_for_the_rest() {
    let node = node().await;
    let page = node.ask("GET", "/", "Accept: text/html,*/*\r\n").await;
    assert!(page.contains("content-type: text/html"), "{page}");
    assert!(page.contains("<pre>cluster demo, leader n1"), "{page}");
    assert!(page.contains("store &lt;embedded&gt;"), "{page}");
    let text = node.ask("GET", "/", "Accept: */*\r\n").await;
    assert!(text.contains("content-type: text/plain"), "{text}");
    assert!(text.contains("\r\n\r\ncluster demo, leader n1"), "{text}");
}

#[tokio::test]
async fn status_is_json_that_reads_back() {
    let node = node().await;
    for path in ["/status", "/"] {
        let answer = node.get(path).await;
        let status: ClusterStatus = serde_json::from_str(&answer.body).expect("status");
        assert_eq!(status, cluster(), "{path}");
    }
    assert_eq!(node.get("/history").await.body, "[]\n");
    assert_eq!(node.get("/explain").await.body, "[]\n");
    assert_eq!(node.get("/nothing").await.code, 404);
}

#[tokio::test]
async fn a_request_needs_the_token() {
    let mut node = node().await;
    for secret in ["", "wrong", "secret2", "secre"] {
        for path in ["/switchover", "/failover", "/apply", "/stop"] {
            let answer = node.post(path, secret, r#"{"to": "n2"}"#).await;
            assert_eq!(answer.code, 401, "{path} with `{secret}`");
            let refusal: Refusal = serde_json::from_str(&answer.body).expect("refusal");
            assert!(refusal.hint.is_some());
        }
    }
    assert!(node.requests.try_recv().is_err(), "nothing reached the agent");
    let get = node.ask("GET", "/stop", "Authorization: Bearer secret\r\n").await;
    assert!(get.starts_with("HTTP/1.1 405 "), "{get}");
}

#[tokio::test]
async fn a_request_reaches_the_agent_and_its_answer_comes_back() {
    let answer = node()
        .await
        .settle("/switchover", r#"{"to": "n2"}"#, |request| {
            let to = Some("n2".parse().expect("name"));
            assert_eq!(request.kind, Ask::Switchover { to, at_unix_ms: None });
            assert_eq!(request.by, "http 127.0.0.1");
            request.reply.send(Ok("n2 is the primary of term 2".to_owned())).expect("reply");
        })
        .await;
    assert_eq!(answer.code, 200);
    assert_eq!(answer.body, "{\"message\":\"n2 is the primary of term 2\"}\n");
}

#[tokio::test]
async fn a_refusal_comes_back_with_its_hint() {
    let answer = node()
        .await
        .settle("/failover", r#"{"to": "n2"}"#, |request| {
            let refusal = Refusal::new("the leader is alive: `n1`").hint("howdah switchover n2");
            request.reply.send(Err(refusal)).expect("reply");
        })
        .await;
    assert_eq!(answer.code, 409);
    let refusal = r#"{"error":"the leader is alive: `n1`","hint":"howdah switchover n2"}"#;
    assert_eq!(answer.body.trim_end(), refusal);
}

#[tokio::test]
async fn an_agent_that_drops_a_request_is_told_of() {
    let answer = node().await.settle("/stop", "", drop).await;
    assert_eq!(answer.code, 503);
    assert!(answer.body.contains("may still be carried out"), "{}", answer.body);
}

#[tokio::test]
async fn what_is_too_long_or_nonsense_is_refused() {
    let node = node().await;
    let long = "x".repeat(300 * 1024);
    let answer = client::post(&node.address, "/apply", &token("secret"), long, WITHIN).await;
    // The server may close before it has read everything; it never accepts.
    assert!(answer.as_ref().map_or(true, |answer| answer.code == 413), "{answer:?}");
    assert_eq!(node.post("/switchover", "secret", "nonsense").await.code, 400);
    let garbage = node.raw("\x16\x03\x01 not http\r\n\r\n").await;
    assert!(garbage.starts_with("HTTP/1.1 400 "), "{garbage}");
    let header = format!("X: {}\r\n", "x".repeat(100 * 1024));
    let answer = node.ask("GET", "/", &header).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
}

#[tokio::test]
async fn a_node_that_is_not_there_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    let silent = client::get(&address, "/", Duration::from_millis(50)).await.expect_err("silent");
    assert_eq!(silent.to_string(), format!("no answer within 0.05s: `{address}`"));
    drop(listener);
    let gone = client::get(&address, "/", WITHIN).await.expect_err("gone");
    assert!(gone.to_string().starts_with("cannot connect: "), "{gone}");
    assert!(gone.to_string().ends_with(&format!("`{address}`")), "{gone}");
}
