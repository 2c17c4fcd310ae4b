//! A proxy on a host that is no node, while nobody can tell it how a role logs in.

use std::time::Duration;

use howdah_base::Span;
use howdah_proxy::Endpoint::Rw;
use howdah_proxy::VerifierAsk;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::pg::Pg;
use crate::pooled::{PID, direct, pooled, value, verifiers};
use crate::rig::{ALL, Node, Tls, config, connect, refusal, ruled};

/// Its pool has one server, which it reaches through `node`; and what it asks.
async fn elsewhere(node: &Node, tls: &Tls) -> (Node, mpsc::Receiver<VerifierAsk>) {
    let mut config = config("elsewhere", tls, &[ALL]);
    let (asks, inbox) = mpsc::channel(8);
    config.peers = None;
    config.verifiers = asks;
    config.connect_wait = Span(Duration::from_secs(4));
    config.policy = ruled(|policy| policy.pool.size = 1);
    let proxy = Node::start("elsewhere", 1, config).await;
    proxy.learns(1, Some("a"), &[(node, None)]);
    (proxy, inbox)
}

#[tokio::test]
async fn who_comes_while_no_node_answers_is_led_to_the_pool_as_soon_as_one_does() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let (proxy, mut asks) = elsewhere(&node, &tls).await;
    let known = direct(&pg).await;
    tokio::spawn(async move {
        for _ in 0..4 {
            drop(asks.recv().await.expect("it asks again"));
        }
        verifiers(asks, known).await;
    });
    let both = tokio::join!(connect(proxy.address(Rw)), connect(proxy.address(Rw)));
    let (one, two) = (both.0.expect("let in"), both.1.expect("let in"));
    // Past the pool each would have a server of its own.
    assert_eq!(value(&one, PID).await, value(&two, PID).await);
}

#[tokio::test]
async fn where_no_node_ever_answers_the_client_hears_that() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let (proxy, mut asks) = elsewhere(&node, &tls).await;
    tokio::spawn(async move { while asks.recv().await.is_some() {} });
    let refused = timeout(Duration::from_secs(60), connect(proxy.address(Rw))).await;
    let refused = refusal(refused.expect("it ends"));
    assert_eq!(refused, "FATAL 57P03: no node says how the role is to log in");
}

#[tokio::test]
async fn a_role_without_a_verifier_is_served_without_a_pool() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let (proxy, mut asks) = elsewhere(&node, &tls).await;
    tokio::spawn(async move {
        while let Some(ask) = asks.recv().await {
            let _ = ask.reply.send(None);
        }
    });
    let one = connect(proxy.address(Rw)).await.expect("let in");
    let two = connect(proxy.address(Rw)).await.expect("let in");
    assert_ne!(value(&one, PID).await, value(&two, PID).await);
}
