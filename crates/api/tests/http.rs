//! The paths over a real socket, asked by the project's own client and by hand.

use std::sync::Arc;
use std::time::Duration;

use howdah_api::client::{self, Answer};
use howdah_api::{
    Access, ApiConfig, Ask, Basic, Feeds, FileInForce, Health, Progress, Receipt, Refusal, Request,
    Server,
};
use howdah_base::record::ServerState;
use howdah_base::status::{ClusterStatus, NodeStatus, StoreStatus};
use howdah_base::{Redacted, Term, Tick};
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

const WITHIN: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(1);

fn done(kind: &Ask, message: &str) -> Receipt {
    Receipt::of(kind, Progress::Done, message)
}

struct Node {
    address: String,
    health: watch::Sender<Health>,
    _status: watch::Sender<Arc<ClusterStatus>>,
    requests: mpsc::Receiver<Request>,
    /// Where its audit log lies.
    dir: TempDir,
}

async fn node() -> Node {
    node_with(ClusterStatus { ..cluster() }).await
}

async fn node_with(seen: ClusterStatus) -> Node {
    let dir = tempfile::tempdir().expect("a folder");
    let basic = Basic { user: "admin".to_owned(), password: token("word") };
    let access = Access {
        token: token("secret"),
        basic: Some(basic),
        plain_changes: false,
        audit_dir: dir.path().to_owned(),
    };
    let listen = vec!["127.0.0.1:0".parse().expect("address")];
    let config = ApiConfig { listen, access, lease_ttl: LEASE };
    let server = Server::bind(config).await.expect("bind");
    let address = server.addresses()[0].to_string();
    let (status, status_reader) = watch::channel(Arc::new(seen));
    let (health, health_reader) = watch::channel(leading());
    let (sender, requests) = mpsc::channel(1);
    let (_, file) = watch::channel(Some(Arc::new(file())));
    let feeds = Feeds { status: status_reader, health: health_reader, file, requests: sender };
    tokio::spawn(server.run(feeds));
    Node { address, health, _status: status, requests, dir }
}

const FILE: &str = r#"
cluster = "demo"
base_dir = "/var/lib/howdah/demo"
[nodes.n1]
[nodes.n2]
"#;

fn file() -> FileInForce {
    let context = howdah_spec::Context { default_base: "/".into(), relative_to: "/".into() };
    let spec = howdah_spec::parse("demo", FILE, &context).expect("valid");
    FileInForce { revision: 7, text: FILE.to_owned(), spec: Arc::new(spec) }
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
        nodes: vec![line("n1"), line("n2")],
        endpoints: Vec::new(),
        nodes_spare: Some(1),
        rpo: None,
        opted_out: Vec::new(),
        opted_out_sessions: 0,
        problems: Vec::new(),
        history: Vec::new(),
        config_revision: 1,
        paused: None,
        planned: None,
        switchover: Vec::new(),
        backups: None,
    }
}

/// A leader whose last beat lies ahead of every clock: age is not this file's subject.
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

fn line(name: &str) -> NodeStatus {
    let line = json!({
        "node": name, "host": "127.0.0.1", "postgres_port": 5433, "http_port": 8008,
        "state": "streaming", "position": null, "lag_bytes": null, "lag_ms": null,
        "voter": false, "rule": 0, "reason": "", "not_promotable": null, "pending_restart": [],
        "problems": [], "alive": true, "member": null,
    });
    serde_json::from_value(line).expect("a line")
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
        for path in ["/primary", "/", "/my-leader", "/liveness", "/cluster", "/status"] {
            let up = node.ask(method, path, "").await;
            assert!(up.starts_with("HTTP/1.1 200 OK\r\n"), "{method} {path}: {up}");
            assert!(up.ends_with("\r\n\r\n"), "{method} {path} has a body: {up}");
        }
        for path in ["/replica", "/nothing", "/restart"] {
            let down = node.ask(method, path, "").await;
            assert!(down.starts_with("HTTP/1.1 503 "), "{method} {path}: {down}");
        }
    }
}

#[tokio::test]
async fn the_root_is_a_page_for_browsers_and_a_check_for_the_rest() {
    let node = node().await;
    for path in ["/", "/status"] {
        let page = node.ask("GET", path, "Accept: text/html,*/*\r\n").await;
        assert!(page.contains("content-type: text/html"), "{page}");
        assert!(page.contains("<pre>cluster demo, leader n1"), "{page}");
        assert!(page.contains("store &lt;embedded&gt;"), "{page}");
    }
    let text = node.ask("GET", "/status", "Accept: text/plain\r\n").await;
    assert!(text.contains("\r\n\r\ncluster demo, leader n1"), "{text}");
    let check = node.ask("GET", "/", "Accept: */*\r\n").await;
    assert!(check.contains("content-type: application/json"), "{check}");
    assert!(check.contains("\"role\":\"primary\""), "{check}");
    node.health.send_modify(|health| health.state = ServerState::Streaming);
    assert!(node.ask("GET", "/", "").await.starts_with("HTTP/1.1 503 "));
    assert!(node.ask("GET", "/", "Accept: text/html\r\n").await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn status_is_json_that_reads_back() {
    let node = node().await;
    let status: ClusterStatus =
        serde_json::from_str(&node.get("/status").await.body).expect("status");
    assert_eq!(status, cluster());
    assert_eq!(node.get("/history").await.body, "[]\n");
    let cluster: Value = serde_json::from_str(&node.get("/cluster").await.body).expect("JSON");
    assert_eq!(cluster["members"][0]["role"], "leader");
    let unknown = node.get("/nothing").await;
    assert_eq!(unknown.code, 503);
    assert!(unknown.body.contains("/api"), "{}", unknown.body);
}

#[tokio::test]
async fn every_described_path_answers_and_every_route_is_described() {
    let node = node().await;
    let description: Value =
        serde_json::from_str(&node.get("/openapi.json").await.body).expect("JSON");
    let paths = description["paths"].as_object().expect("paths");
    assert!(paths.len() > 40, "{}", paths.len());
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            let method = method.to_uppercase();
            let answer = node.ask(&method, path, "Content-Length: 0\r\n").await;
            let code = answer.split(' ').nth(1).expect("a code");
            let described = &operation["responses"];
            assert!(described.get(code).is_some(), "{method} {path}: {code} is not described");
            let guarded = operation.get("security").is_some();
            assert_eq!(guarded, code == "401", "{method} {path}: {code}");
        }
    }
    // A method that is not described is taken by nothing.
    for (path, operations) in paths {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            if operations.get(method.to_lowercase()).is_none() {
                let answer = node.ask(method, path, "Content-Length: 0\r\n").await;
                let refused = ["405", "501"].iter().any(|code| answer.contains(code));
                assert!(refused, "{method} {path}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_needs_a_proof() {
    let mut node = node().await;
    for secret in ["", "wrong", "secret2", "secre"] {
        for path in ["/switchover", "/failover", "/apply", "/stop", "/restart", "/sigterm"] {
            let answer = node.post(path, secret, r#"{"to": "n2"}"#).await;
            assert_eq!(answer.code, 401, "{path} with `{secret}`");
            let refusal: Refusal = serde_json::from_str(&answer.body).expect("refusal");
            assert!(refusal.hint.is_some());
        }
    }
    let bare = node.ask("DELETE", "/restart", "").await;
    assert!(bare.starts_with("HTTP/1.1 401 "), "{bare}");
    assert!(bare.contains("www-authenticate: Bearer, Basic realm=\"howdah\""), "{bare}");
    for path in ["/file", "/audit"] {
        assert_eq!(node.get(path).await.code, 401, "{path}");
    }
    assert!(node.requests.try_recv().is_err(), "nothing reached the agent");
    let get = node.ask("GET", "/stop", "Authorization: Bearer secret\r\n").await;
    assert!(get.starts_with("HTTP/1.1 405 ") && get.contains("allow: POST"), "{get}");
    // `admin:word`
    let file = node.ask("GET", "/file", "Authorization: Basic YWRtaW46d29yZA==\r\n").await;
    assert!(file.contains("etag: \"7\"") && file.ends_with(FILE), "{file}");
}

#[tokio::test]
async fn a_request_reaches_the_agent_and_its_answer_comes_back() {
    let node = node().await;
    let log = node.dir.path().join("audit.log");
    let answer = node
        .settle("/switchover", r#"{"to": "n2"}"#, |request| {
            let to = Some("n2".parse().expect("name"));
            assert_eq!(request.kind, Ask::Switchover { to, at_unix_ms: None });
            assert_eq!(request.by, "http 127.0.0.1");
            let written = std::fs::read_to_string(&log).expect("the audit log");
            assert_eq!(written.lines().count(), 1, "written before it is carried out");
            request
                .reply
                .send(Ok(done(&request.kind, "n2 is the primary of term 2")))
                .expect("reply");
        })
        .await;
    assert_eq!(answer.code, 200);
    let said: Value = serde_json::from_str(&answer.body).expect("JSON");
    let message = "n2 is the primary of term 2";
    let node = json!({ "node": "n2", "state": "done", "message": message });
    let receipt = json!({
        "what": "switchover", "state": "done", "message": message, "nodes": [node],
    });
    assert_eq!(said, receipt);
}

#[tokio::test]
async fn patronis_clients_are_answered_in_text() {
    let mut node = node().await;
    let body = r#"{"leader": "n1", "candidate": "n2"}"#;
    let headers = format!(
        "Authorization: Basic YWRtaW46d29yZA==\r\nX-Howdah-By: anna\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let head = "POST /switchover HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
    let text = format!("{head}{headers}");
    let answer = async {
        let mut stream = TcpStream::connect(&node.address).await.expect("connect");
        stream.write_all(text.as_bytes()).await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    };
    let act = async {
        let request = node.requests.recv().await.expect("request");
        assert_eq!(request.by, "anna");
        request.reply.send(Ok(done(&request.kind, "n2 leads term 2"))).expect("reply");
    };
    let (answer, ()) = tokio::join!(answer, act);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\nn2 leads term 2\n"), "{answer}");
}

#[tokio::test]
async fn the_audit_log_tells_what_was_asked_and_what_was_denied() {
    let node = node().await;
    assert_eq!(node.post("/failover", "wrong", "{}").await.code, 401);
    assert_eq!(node.post("/failover", "secret", r#"{"to": "n9"}"#).await.code, 412);
    let tail = node.ask("GET", "/audit", "Authorization: Bearer secret\r\n").await;
    let (_, lines) = tail.split_once("\r\n\r\n").expect("a body");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = lines.iter().map(|line| (&line["event"], &line["code"])).collect();
    let wanted = [
        (json!("denied"), json!(401)),
        (json!("asked"), Value::Null),
        (json!("answered"), json!(412)),
    ];
    assert_eq!(told, wanted.each_ref().map(|(event, code)| (event, code)));
    assert_eq!((&lines[1]["who"], &lines[1]["path"]), (&json!("token"), &json!("/failover")));
    assert_eq!(lines[1]["body"], json!({ "to": "n9" }));
}

#[tokio::test]
async fn nothing_is_done_that_cannot_be_written_down() {
    let mut node = node().await;
    std::fs::create_dir(node.dir.path().join("audit.log")).expect("a folder in its place");
    let answer = node.post("/switchover", "secret", r#"{"to": "n2"}"#).await;
    assert_eq!(answer.code, 503);
    assert!(answer.body.contains("audit log of this node cannot be written"), "{}", answer.body);
    assert!(node.requests.try_recv().is_err(), "nothing reached the agent");
}

#[tokio::test]
async fn a_change_of_settings_is_a_change_of_the_file() {
    let shown: Value = serde_json::from_str(&node().await.get("/config").await.body).expect("JSON");
    assert_eq!((&shown["ttl"], &shown["synchronous_mode"]), (&json!(6), &json!("quorum")));
    let node = node().await;
    let body = r#"{"ttl": 9}"#;
    let head = format!(
        "PATCH /config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Authorization: Bearer secret\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut node = node;
    let answer = async {
        let mut stream = TcpStream::connect(&node.address).await.expect("connect");
        stream.write_all(head.as_bytes()).await.expect("write");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        answer
    };
    let act = async {
        let request = node.requests.recv().await.expect("request");
        let Ask::Apply { text, revision: Some(7) } = &request.kind else {
            panic!("{:?}", request.kind)
        };
        assert!(text.contains("lease = \"9s\""), "{text}");
        request.reply.send(Ok(done(&request.kind, "revision 8"))).expect("reply");
    };
    let (answer, ()) = tokio::join!(answer, act);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"ttl\":9"), "{answer}");
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
