//! A server that is about to be shut down: who is there stays, who is on the way in is counted,
//! who comes waits.

use std::time::Duration;

use howdah_base::Span;
use howdah_proxy::Endpoint::{Ro, Rw};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pg::Pg;
use crate::rig::{ALL, Node, Tls, config, connect, refusal, server_of, until};

async fn two(pg: &Pg, connect_wait: Duration) -> (Node, Node) {
    let tls = Tls::new();
    let config = |name| {
        let mut config = config(name, &tls, &[ALL]);
        config.connect_wait = Span(connect_wait);
        config
    };
    let (a, b) =
        (Node::start("a", pg.port, config("a")).await, Node::start("b", 1, config("b")).await);
    for learner in [&a, &b] {
        learner.learns(1, Some("a"), &[(&a, None), (&b, None)]);
    }
    (a, b)
}

#[tokio::test]
async fn a_closing_server_keeps_its_clients_and_gets_no_new_ones() {
    let pg = Pg::start();
    let (a, b) = two(&pg, Duration::from_millis(400)).await;
    let there = [
        connect(a.address(Rw)).await.expect("the primary"),
        connect(b.address(Rw)).await.expect("the primary"),
    ];
    a.closes(true);
    for entry in [&a, &b] {
        let refused = refusal(connect(entry.address(Rw)).await);
        assert_eq!(refused, "FATAL 57P03: the rw endpoint has no server to offer");
    }
    for client in &there {
        assert_eq!(server_of(client).await, pg.port);
    }
    // A standby's reader too.
    a.learns(1, Some("b"), &[(&a, Some(0)), (&b, None)]);
    connect(a.address(Ro)).await.expect("the standby");
    a.closes(true);
    refusal(connect(a.address(Ro)).await);
}

#[tokio::test]
async fn who_waits_is_let_in_when_the_server_is_open_again() {
    let pg = Pg::start();
    let (a, b) = two(&pg, Duration::from_secs(10)).await;
    a.closes(true);
    let waiting = [&a, &b].map(|entry| tokio::spawn(connect(entry.address(Rw))));
    for entry in [&a, &b] {
        until("a client waits", async || match entry.counters.clients[Rw as usize].held() {
            1 => Ok(()),
            n => Err(format!("{n} clients")),
        })
        .await;
    }
    a.closes(false);
    for client in waiting {
        let client = client.await.expect("no panic").expect("the server");
        assert_eq!(server_of(&client).await, pg.port);
    }
}

#[tokio::test]
async fn a_client_counts_as_arriving_until_its_session_has_begun() {
    let pg = Pg::start();
    let (a, b) = two(&pg, Duration::from_secs(10)).await;
    for entry in [&a, &b] {
        let session = connect(entry.address(Rw)).await.expect("the primary");
        until("nobody arrives", async || arriving(&a, 0)).await;
        let mut undecided = TcpStream::connect(entry.address(Rw)).await.expect("a listener");
        undecided.write_all(b"\0\0\0\x12\0\x03\0\0user\0app\0\0").await.expect("sent");
        assert_eq!(undecided.read_u8().await.expect("the server's question"), b'R');
        until("one arrives", async || arriving(&a, 1)).await;
        drop(undecided);
        until("it has gone", async || arriving(&a, 0)).await;
        drop(session);
    }
    assert_eq!(b.counters.arriving.held(), 0, "b has no server that they came to");
}

fn arriving(node: &Node, want: usize) -> Result<(), String> {
    match node.counters.arriving.held() {
        n if n == want => Ok(()),
        n => Err(format!("{n} arrive")),
    }
}
