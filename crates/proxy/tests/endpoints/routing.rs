//! Who ends up on which server, and who is thrown off it.

use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use howdah_base::Span;
use howdah_proxy::Endpoint::{Any, Ro, Rw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pg::Pg;
use crate::rig::{ALL, Node, Tls, config, connect, refusal, server_of, until, until_cut};

const LONG: Span = Span(Duration::from_secs(10));

async fn node(name: &'static str, pg: &Pg, tls: &Tls) -> Node {
    Node::start(name, pg.port, config(name, tls, &[ALL])).await
}

#[tokio::test]
async fn rw_leads_to_the_primary_from_every_node_and_follows_it() {
    let tls = Tls::new();
    let one = Pg::start();
    let two = one.copy();
    let (a, b) = (node("a", &one, &tls).await, node("b", &two, &tls).await);
    for learner in [&a, &b] {
        learner.learns(1, Some("a"), &[(&a, None), (&b, Some(0))]);
    }
    let local = connect(a.address(Rw)).await.expect("the primary's own node");
    let relayed = connect(b.address(Rw)).await.expect("another node");
    let reader = connect(b.address(Ro)).await.expect("the standby");
    assert_eq!(server_of(&local).await, one.port);
    assert_eq!(server_of(&relayed).await, one.port);
    assert_eq!(server_of(&reader).await, two.port);
    let row = local.query_one("select host(inet_client_addr())", &[]).await.expect("an answer");
    assert_eq!(row.get::<_, String>(0), "127.72.68.1");

    // The primary moves: each node hears of it by itself, and cuts.
    b.learns(2, Some("b"), &[(&a, Some(0)), (&b, None)]);
    until_cut(&relayed).await;
    a.learns(2, Some("b"), &[(&a, Some(0)), (&b, None)]);
    until_cut(&local).await;
    assert_eq!(server_of(&reader).await, two.port, "a reader stays on a new primary");
    for entry in [&a, &b] {
        let again = connect(entry.address(Rw)).await.expect("the new primary");
        assert_eq!(server_of(&again).await, two.port);
    }

    // And the reader who stayed is cut when that primary is deposed.
    b.learns(3, Some("a"), &[(&a, None), (&b, Some(0))]);
    until_cut(&reader).await;
    assert!(b.counters.cut.load(Relaxed) >= 2);
}

#[tokio::test]
async fn a_node_cuts_what_it_serves_for_others_before_they_know() {
    let tls = Tls::new();
    let pg = Pg::start();
    let (a, b) = (node("a", &pg, &tls).await, node("b", &pg, &tls).await);
    for learner in [&a, &b] {
        learner.learns(1, Some("a"), &[(&a, None), (&b, Some(0))]);
    }
    let relayed = connect(b.address(Rw)).await.expect("the primary");
    a.learns_of_itself(1, Some("a"), &[(&a, None), (&b, Some(0))], None, false);
    until_cut(&relayed).await;
}

#[tokio::test]
async fn an_old_term_is_refused_and_a_client_waits_for_the_new_one() {
    let tls = Tls::new();
    let pg = Pg::start();
    let a = node("a", &pg, &tls).await;
    let b = Node::start("b", 1, config("b", &tls, &[ALL])).await;
    a.learns(2, Some("a"), &[(&a, None), (&b, Some(0))]);
    b.learns(1, Some("a"), &[(&a, None), (&b, Some(0))]);
    let refused = refusal(connect(b.address(Rw)).await);
    assert_eq!(refused, "FATAL 57P03: the rw endpoint has no server to offer");
    // Nor does a server take writes in a term that it has not reached.
    b.learns(3, Some("a"), &[(&a, None), (&b, Some(0))]);
    refusal(connect(b.address(Rw)).await);

    let patient = node_with_long_wait("c", &pg, &tls).await;
    patient.learns(1, Some("a"), &[(&a, None)]);
    let waiting = tokio::spawn(connect(patient.address(Rw)));
    until("a client waits", async || held(&patient, 1)).await;
    patient.learns(2, Some("a"), &[(&a, None)]);
    let client = waiting.await.expect("no panic").expect("the primary of term 2");
    assert_eq!(server_of(&client).await, pg.port);
}

#[tokio::test]
async fn a_client_waits_for_a_primary_and_frees_its_place_when_it_leaves() {
    let tls = Tls::new();
    let pg = Pg::start();
    let a = node_with_long_wait("a", &pg, &tls).await;
    a.learns(1, None, &[(&a, Some(0))]);
    let impatient = greet(a.address(Rw), b"").await;
    until("the client waits", async || held(&a, 1)).await;
    drop(impatient);
    until("its place is free", async || held(&a, 0)).await;

    let waiting = tokio::spawn(connect(a.address(Rw)));
    until("a client waits", async || held(&a, 1)).await;
    a.learns(2, Some("a"), &[(&a, None)]);
    let client = waiting.await.expect("no panic").expect("the primary that appeared");
    assert_eq!(server_of(&client).await, pg.port);
}

#[tokio::test]
async fn what_a_waiting_client_says_too_early_reaches_the_server() {
    let tls = Tls::new();
    let pg = Pg::start();
    let a = node_with_long_wait("a", &pg, &tls).await;
    let mut hasty = greet(a.address(Rw), b"X\0\0\0\x04").await;
    until("the client waits", async || held(&a, 1)).await;
    a.learns(1, Some("a"), &[(&a, None)]);
    // The server asks for a password, and closes because the client has said goodbye already.
    let mut answer = Vec::new();
    hasty.read_to_end(&mut answer).await.expect("an orderly end");
    assert_eq!(answer.first(), Some(&b'R'), "{answer:?}");
}

#[tokio::test]
async fn a_client_of_a_server_that_is_gone_holds_no_place() {
    let tls = Tls::new();
    let pg = Pg::start();
    let a = node("a", &pg, &tls).await;
    let b = Node::start("b", 1, config("b", &tls, &[ALL])).await;
    for learner in [&a, &b] {
        learner.learns(1, Some("a"), &[(&a, None), (&b, None)]);
    }
    let mut idle = greet(b.address(Rw), b"").await;
    assert_eq!(idle.read_u8().await.expect("the server's question"), b'R');
    drop(pg);
    until("its place is free, though it has not hung up", async || held(&b, 0)).await;
    idle.read_to_end(&mut Vec::new()).await.expect("an orderly end");
}

/// A client that has sent its first packet and then `more`.
async fn greet(to: SocketAddr, more: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(to).await.expect("a listener");
    let packet = [b"\0\0\0\x12\0\x03\0\0user\0app\0\0", more].concat();
    client.write_all(&packet).await.expect("sent");
    client
}

#[tokio::test]
async fn ro_spreads_over_the_standbys_within_the_limit() {
    let tls = Tls::new();
    let one = Pg::start();
    let two = one.copy();
    let (a, b) = (node("a", &one, &tls).await, node("b", &two, &tls).await);
    for learner in [&a, &b] {
        learner.learns(1, None, &[(&a, Some(10)), (&b, Some(1000))]);
    }
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(connect(a.address(Ro)).await.expect("a standby"));
    }
    let mut servers = Vec::new();
    for session in &sessions {
        servers.push(server_of(session).await);
    }
    assert_eq!(servers.iter().filter(|port| **port == one.port).count(), 2, "{servers:?}");

    // With a's two gone a is the emptier one, but it lags too far.
    sessions.retain(|_| servers.remove(0) != one.port);
    until("two are left", async || match a.counters.clients[Ro as usize].held() {
        2 => Ok(()),
        n => Err(format!("{n} clients")),
    })
    .await;
    a.learns(1, None, &[(&a, Some(1001)), (&b, Some(0))]);
    let session = connect(a.address(Ro)).await.expect("the other standby");
    assert_eq!(server_of(&session).await, two.port);
    // The lag limit is not for `any`.
    let session = connect(a.address(Any)).await.expect("the emptier server");
    assert_eq!(server_of(&session).await, one.port);
}

#[tokio::test]
async fn ro_passes_over_a_dead_standby_and_falls_back_only_by_choice() {
    let tls = Tls::new();
    let pg = Pg::start();
    let a = node("a", &pg, &tls).await;
    let dead = Node::start("b", 1, config("b", &tls, &[ALL])).await;
    dead.learns(1, Some("a"), &[(&a, None), (&dead, Some(0))]);
    a.learns(1, Some("a"), &[(&a, None), (&dead, Some(0))]);
    let refused = refusal(connect(a.address(Ro)).await);
    assert_eq!(refused, "FATAL 57P03: the ro endpoint has no server to offer");
    let mut lenient = config("c", &tls, &[ALL]);
    lenient.ro_primary_fallback = true;
    let c = Node::start("c", 1, lenient).await;
    c.learns(1, Some("a"), &[(&a, None), (&dead, Some(0))]);
    let session = connect(c.address(Ro)).await.expect("the primary");
    assert_eq!(server_of(&session).await, pg.port);
}

async fn node_with_long_wait(name: &'static str, pg: &Pg, tls: &Tls) -> Node {
    let mut config = config(name, tls, &[ALL]);
    config.connect_wait = LONG;
    Node::start(name, pg.port, config).await
}

fn held(node: &Node, want: usize) -> Result<(), String> {
    match node.counters.clients[Rw as usize].held() {
        clients if clients == want => Ok(()),
        clients => Err(format!("{clients} clients")),
    }
}
