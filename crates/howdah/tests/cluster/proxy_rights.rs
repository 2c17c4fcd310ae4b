//! What a proxy on a host without a node may ask of nodes: what it takes to serve clients, and nothing
//! by which nodes decide among themselves; verifiers of ordinary roles only.

use std::process::Command;
use std::sync::Arc;

use howdah_testkit::{Cluster, Node, Store};
use howdah_tls::{Identity, Pair};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pooled::setup;
use crate::proxy_elsewhere::folder;

type Peer = TlsStream<TcpStream>;

async fn dial(port: u16, tls: Arc<ClientConfig>) -> Option<Peer> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.expect("a listener");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    TlsConnector::from(tls).connect(name, tcp).await.ok()
}

/// Says one thing, and hears what the node says to it; nothing when it hangs up.
async fn say(peer: &mut Peer, text: &str) -> Option<String> {
    let len = u16::try_from(text.len()).expect("short").to_be_bytes();
    peer.write_all(&[&len[..], text.as_bytes()].concat()).await.ok()?;
    let mut answer = vec![0; peer.read_u16().await.ok()?.into()];
    peer.read_exact(&mut answer).await.ok()?;
    String::from_utf8(answer).ok()
}

/// What the node answers to who wants that.
async fn ask(node: &Node, tls: &Arc<ClientConfig>, want: &str) -> Option<(Peer, String)> {
    let mut peer = dial(node.ports.peer, tls.clone()).await?;
    let (name, file) = (&node.name, "000000010000000000000001");
    let preamble = format!(
        r#"{{"version":1,"cluster":"test","to":"{name}","term":1,"want":"{want}","client":"10.0.0.1","from":"{name}","file":"{file}"}}"#
    );
    let answer = say(&mut peer, &preamble).await?;
    Some((peer, answer))
}

#[test]
fn a_proxy_may_serve_clients_and_do_nothing_else() {
    let setup = setup().on(Store::Etcd);
    let setup = setup.set("roles.keeper", "kind", "\"backup\"");
    let cluster = setup.set("roles.keeper", "password", "{ file = \"keeper\" }").start();
    let primary = cluster.primary();
    primary.sql("create role chief superuser login password 'secret'").expect("a superuser");
    let folder = folder(&cluster, "app1");
    let ca = cluster.base_dir().join("tls/ca.crt");
    let tls = |pair: Pair| {
        let identity = Identity::open(&pair).expect("a pair");
        howdah_tls::to_peers(&ca, &identity).expect("a configuration")
    };
    let proxy = tls(Pair::at(&folder, "proxy"));
    let server = tls(Pair::at(&folder, "server"));
    let node = tls(Pair::at(&cluster.base_dir().join("tls"), "n1"));
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let refused = r#"{"Err":"only nodes may ask for that, and this is a proxy"}"#;
        for want in ["Wal", "Wait"] {
            let (_, answer) = ask(primary, &proxy, want).await.expect("an answer");
            assert_eq!(answer, refused, "{want}");
            let (_, answer) = ask(primary, &node, want).await.expect("an answer");
            assert_ne!(answer, refused, "{want}");
        }
        assert!(ask(primary, &server, "Cancel").await.is_none(), "it is for clients only");
        let (mut peer, answer) = ask(primary, &proxy, "Verifiers").await.expect("an answer");
        assert_eq!(answer, r#"{"Ok":null}"#);
        for (role, may) in [
            ("app", true),
            ("chief", false),
            ("keeper", false),
            ("postgres", false),
            ("howdah_replicator", false),
            ("nobody", false),
        ] {
            let answer = say(&mut peer, &format!(r#"{{"role":"{role}"}}"#)).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.contains("SCRAM-SHA-256$"), may, "{role}: {answer}");
            assert!(may || answer == r#"{"Ok":null}"#, "{role}: {answer}");
        }
    });
    let in_clear = |pair: Pair| howdah_tls::to_http(&ca, Some(&pair)).expect("a configuration");
    runtime.block_on(async {
        let store = primary.ports.store;
        let proxy = in_clear(Pair::at(&folder, "proxy"));
        let server = in_clear(Pair::at(&folder, "server"));
        let node = in_clear(Pair::at(&cluster.base_dir().join("tls"), "n1"));
        assert!(asked_for_health(store, node).await.contains("200 OK"), "a node may");
        for other in [proxy, server] {
            let answer = asked_for_health(store, other).await;
            assert!(!answer.contains("200 OK"), "the store is not for proxies: {answer}");
        }
    });
    assert_knows_no_node(&cluster);
}

/// What etcd says to it, if anything.
async fn asked_for_health(port: u16, tls: Arc<ClientConfig>) -> String {
    let mut answer = String::new();
    if let Some(mut peer) = dial(port, tls).await {
        let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        if peer.write_all(request).await.is_ok() {
            // Refused, it ends in an error; what came before it counts.
            let _ = peer.read_to_string(&mut answer).await;
        }
    }
    answer
}

/// No certificate for clients is made that proves to be a node.
fn assert_knows_no_node(cluster: &Cluster) {
    for words in [["n1"].to_vec(), vec!["app2", "--host", "n2"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        command.args(["certs", "proxy"]).args(&words).arg("-f").arg(cluster.file_path());
        let said = command.output().expect("run `howdah`");
        assert_eq!(said.status.code(), Some(64), "{words:?}");
        let said = String::from_utf8_lossy(&said.stderr).into_owned();
        assert!(said.contains("that is a node of the cluster"), "{said}");
    }
}
