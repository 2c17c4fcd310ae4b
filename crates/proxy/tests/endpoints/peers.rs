//! Nodes among themselves: who may come to the peer port, and as what.

use std::sync::Arc;
use std::time::Duration;

use howdah_proxy::Endpoint::{Peer, Rw};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::rig::{ALL, Node, Tls, config, connect, refusal};

/// What `node` answers to a preamble; nothing when it hangs up.
pub async fn greet(node: &Node, tls: Arc<ClientConfig>, preamble: &str) -> Option<String> {
    let tcp = TcpStream::connect(node.address(Peer)).await.expect("a listener");
    let name = ServerName::try_from("127.0.0.1").expect("a name");
    let mut peer = TlsConnector::from(tls).connect(name, tcp).await.ok()?;
    let len = u16::try_from(preamble.len()).expect("short").to_be_bytes();
    peer.write_all(&[&len[..], preamble.as_bytes()].concat()).await.ok()?;
    let mut answer = vec![0; peer.read_u16().await.ok()?.into()];
    peer.read_exact(&mut answer).await.ok()?;
    String::from_utf8(answer).ok()
}

fn preamble(cluster: &str, to: &str, term: u64, want: &str) -> String {
    format!(
        r#"{{"version":1,"cluster":"{cluster}","to":"{to}","term":{term},"want":"{want}","client":"10.0.0.1"}}"#
    )
}

#[tokio::test]
async fn a_peer_is_judged_by_certificate_name_and_term() {
    let tls = Tls::new();
    let a = Node::start("a", 1, config("a", &tls, &[ALL])).await;
    a.learns(5, Some("a"), &[(&a, None)]);
    for (said, answer) in [
        (preamble("other", "a", 5, "Primary"), r#"{"Err":"this is `a` of `test`"}"#),
        (preamble("test", "b", 5, "Primary"), r#"{"Err":"this is `a` of `test`"}"#),
        (preamble("test", "a", 4, "Primary"), r#"{"Err":"the term is over, now is `5`"}"#),
        (
            preamble("test", "a", 6, "Primary"),
            r#"{"Err":"this server takes no writes in term `6`"}"#,
        ),
        (preamble("test", "a", 5, "Standby"), r#"{"Err":"this server is no running standby"}"#),
    ] {
        let got = greet(&a, tls.peer_client.clone(), &said).await;
        assert_eq!(got.as_deref(), Some(answer), "{said}");
    }
    // The last gate is the server itself, and port 1 has none.
    let got = greet(&a, tls.peer_client.clone(), &preamble("test", "a", 5, "Primary")).await;
    assert!(got.as_deref().is_some_and(|got| got.contains("the server is not there")), "{got:?}");
    assert_eq!(greet(&a, tls.peer_client.clone(), "{").await, None);
    let stranger = Arc::new(tls.stranger.clone());
    assert_eq!(greet(&a, stranger, &preamble("test", "a", 5, "Primary")).await, None);
}

#[tokio::test]
async fn connections_without_a_certificate_keep_no_node_out() {
    let tls = Tls::new();
    let node = config("a", &tls, &[ALL]);
    // As many as are ever accepted, and a few.
    let most = node.clients_max as usize + 1_024 + 20;
    let a = Node::start("a", 1, node).await;
    a.learns(5, Some("a"), &[(&a, None)]);
    let mut silent = Vec::new();
    for _ in 0..most {
        silent.push(TcpStream::connect(a.address(Peer)).await.expect("a listener"));
    }
    let said = preamble("test", "b", 5, "Primary");
    let comes = greet(&a, tls.peer_client.clone(), &said);
    // Nobody who says nothing has to go by itself before 10 s are over.
    let got = timeout(Duration::from_secs(9), comes).await.expect("not kept waiting");
    assert_eq!(got.as_deref(), Some(r#"{"Err":"this is `a` of `test`"}"#));
}

#[tokio::test]
async fn a_node_of_another_authority_is_not_trusted() {
    let (ours, theirs) = (Tls::new(), Tls::new());
    let a = Node::start("a", 1, config("a", &ours, &[ALL])).await;
    let impostor = Node::start("b", 1, config("b", &theirs, &[ALL])).await;
    a.learns(1, Some("b"), &[(&a, Some(0)), (&impostor, None)]);
    refusal(connect(a.address(Rw)).await);
}
