//! Whoever is slow, full or gone stalls nobody else.

use std::process::Command;
use std::time::Duration;

use howdah_proxy::Endpoint::Rw;
use howdah_wire::message;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::hand::{hear, say, session};
use crate::pg::Pg;
use crate::pooled::{PID, clients, direct, pooled_with, value};
use crate::rig::{Tls, connect, ruled, until};

/// Longer than anything here takes on any machine.
const LONG: Duration = Duration::from_secs(60);

fn query(sql: &str) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, b'Q', &[sql.as_bytes(), &[0]]);
    out
}

#[tokio::test]
async fn a_client_that_does_not_read_stalls_its_own_server_only() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |_| {}).await;
    let control = direct(&pg).await;
    let mut slow = session(&node).await;
    let wide = "select repeat('x', 1000) from generate_series(1, 200000)";
    say(&mut slow, &query(wide)).await;
    until("its server waits for it", async || {
        let sql = "select count(*) from pg_stat_activity where wait_event = 'ClientWrite'";
        let there = value(&control, sql).await;
        if there == "1" { Ok(()) } else { Err(there) }
    })
    .await;
    let other = connect(node.address(Rw)).await.expect("let in");
    for _ in 0..50 {
        assert_eq!(value(&other, "select 1").await, "1");
    }
    // And it gets all of it, when it reads.
    let mut rows = 0;
    loop {
        match timeout(LONG, hear(&mut slow)).await.expect("more").0 {
            b'D' => rows += 1,
            b'Z' => break,
            _ => {}
        }
    }
    assert_eq!(rows, 200_000);
}

#[tokio::test]
async fn both_ways_full_is_no_deadlock() {
    const BATCHES: usize = 4_000;
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |_| {}).await;
    let tcp = session(&node).await;
    let (mut reads, mut writes) = tcp.into_split();
    let mut batch = Vec::new();
    let sql = b"select repeat('y', 10000), $1::text\0";
    message(&mut batch, b'P', &[b"\0", sql, &0_u16.to_be_bytes()]);
    let value = vec![b'z'; 5_000];
    let len = u32::try_from(value.len()).expect("short").to_be_bytes();
    message(&mut batch, b'B', &[b"\0\0\0\0\0\x01", &len, &value, b"\0\0"]);
    message(&mut batch, b'E', &[b"\0\0\0\0\0"]);
    message(&mut batch, b'S', &[]);
    // It writes until nobody takes any more, without having read anything.
    let mut written = 0;
    let all = batch.repeat(BATCHES);
    while let Ok(more) = timeout(Duration::from_secs(1), writes.write(&all[written..])).await {
        written += more.expect("written");
        if written == all.len() {
            break;
        }
    }
    let rest =
        tokio::spawn(async move { writes.write_all(&all[written..]).await.map(|()| writes) });
    let mut seen = 0;
    let mut buffer = Vec::new();
    let read = async {
        use tokio::io::AsyncReadExt;
        while seen < BATCHES {
            buffer.clear();
            reads.read_buf(&mut buffer).await.expect("read");
            // ReadyForQuery in the idle state stands nowhere in these rows.
            seen += buffer.iter().filter(|byte| **byte == b'Z').count();
        }
    };
    timeout(LONG, read).await.expect("all answers");
    rest.await.expect("joined").expect("all written");
    assert_eq!(seen, BATCHES);
}

#[tokio::test]
async fn a_server_that_stands_still_stalls_its_own_client_only() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |_| {}).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    value(one, "begin").await;
    let pid = value(one, PID).await;
    let signal = |name: &str| {
        let killed = Command::new("kill").args([name, &pid]).status().expect("kill");
        assert!(killed.success());
    };
    signal("-STOP");
    let waits = one.simple_query("select 1");
    let others = async {
        for _ in 0..50 {
            assert_eq!(value(two, "select 2").await, "2");
        }
        signal("-CONT");
    };
    let (answered, ()) = timeout(LONG, async { tokio::join!(waits, others) }).await.expect("both");
    answered.expect("an answer in the end");
}

#[tokio::test]
async fn what_a_client_asked_that_vanishes_is_cancelled_and_its_place_is_free() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let one = |config: &mut howdah_proxy::ProxyConfig| config.policy = ruled(|p| p.pool.size = 1);
    let node = pooled_with(&pg, &tls, one).await;
    let control = direct(&pg).await;
    let mut gone = session(&node).await;
    say(&mut gone, &query("select pg_sleep(600)")).await;
    let sql = "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' \
               and pid <> pg_backend_pid() and state = 'active'";
    let running = async |count: &str| {
        until("so many run", async || {
            let there = value(&control, sql).await;
            if there == count { Ok(()) } else { Err(there) }
        })
        .await;
    };
    running("1").await;
    drop(gone);
    running("0").await;
    let next = connect(node.address(Rw)).await.expect("let in");
    assert_eq!(value(&next, "select 1").await, "1");
}
