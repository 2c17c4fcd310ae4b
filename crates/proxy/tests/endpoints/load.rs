//! The console while clients are at work: values move as PgBouncer's do; and an operator that goes
//! in the middle of something.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use howdah_proxy::Endpoint::Rw;
use howdah_proxy::policy::Policy;
use tokio::process::Command;

use crate::pg::{PASSWORD, Pg};
use crate::pgbouncer::PgBouncer;
use crate::pooled::{clients, pooled, pooled_with, value};
use crate::raw::{Raw, Said};
use crate::rig::{Tls, ruled, until};

const POOL: [(&str, &str); 2] = [("database", "postgres"), ("user", "app")];
const DATABASE: [(&str, &str); 1] = [("database", "postgres")];
const CLIENTS: u64 = 6;
const TRANSACTIONS: u64 = 200;
/// Each lasts as long at least, µs.
const EACH_US: u64 = 5_000;

async fn console(address: SocketAddr) -> Raw {
    Raw::connect(address, "app", "pgbouncer").await.expect("let in")
}

/// The most that was seen while it lasted, and what was counted in the end.
#[derive(Debug)]
struct Load {
    clients: u64,
    servers: u64,
    waiting: u64,
    wait_us: u64,
    /// Values of total_xact_count that were seen, in order.
    xacts: Vec<u64>,
    end: Said,
}

async fn load(address: SocketAddr, script: &str) -> Load {
    let (clients, transactions) = (CLIENTS.to_string(), TRANSACTIONS.to_string());
    let port = address.port().to_string();
    let mut bench = Command::new("timeout")
        .args(["120", "pgbench", "-n", "-c", &clients, "-t", &transactions, "-f", script])
        .args(["-h", "127.0.0.1", "-p", &port, "-U", "app", "postgres"])
        .env("PGPASSWORD", PASSWORD)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("pgbench");
    let mut console = console(address).await;
    let [mut busy, mut servers, mut waiting, mut wait_us] = [0; 4];
    let mut xacts = Vec::new();
    loop {
        let ended = bench.try_wait().expect("a child");
        let said = console.ask("show pools").await;
        if said.rows.iter().any(|row| row[0].as_deref() == Some("postgres")) {
            let of = |column| said.number(column, &POOL);
            busy = busy.max(of("cl_active") + of("cl_waiting"));
            servers = servers.max(of("sv_active"));
            waiting = waiting.max(of("cl_waiting"));
            wait_us = wait_us.max(of("maxwait") * 1_000_000 + of("maxwait_us"));
            xacts.push(console.ask("show stats").await.number("total_xact_count", &DATABASE));
        }
        if let Some(ended) = ended {
            assert!(ended.success(), "{ended}");
            let end = console.ask("show stats").await;
            return Load { clients: busy, servers, waiting, wait_us, xacts, end };
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn values_move_under_load_as_pgbouncers_do() {
    let before = Instant::now();
    let (pg, tls) = (Pg::start(), Tls::new());
    pg.lets_in("host all all 127.0.0.1/32 scram-sha-256");
    // Threads are looked at one after the other: a server that moves just then may be seen twice.
    let one = |policy: &mut Policy| policy.threads = Some(1);
    let node = pooled_with(&pg, &tls, |config| config.policy = ruled(one)).await;
    let bouncer = PgBouncer::start(&pg).await;
    let script = pg.dir.join("script.sql");
    std::fs::write(&script, "select pg_sleep(0.005);\n").expect("written");
    let script = script.display().to_string();
    let (own, other) =
        tokio::join!(load(node.address(Rw), &script), load(bouncer.address(), &script));
    let elapsed = before.elapsed().as_secs();
    let all = CLIENTS * TRANSACTIONS;
    for load in [&own, &other] {
        // Of servers there are two.
        assert_eq!((load.clients, load.servers), (CLIENTS, 2), "{load:?}");
        assert!((1..=CLIENTS - 1).contains(&load.waiting) && load.wait_us > 0, "{load:?}");
        assert!(load.xacts.is_sorted(), "{load:?}");
        let moves = load.xacts.iter().filter(|count| (1..all).contains(*count)).count();
        assert!(moves > 3, "{load:?}");
        let end = |column| load.end.number(column, &DATABASE);
        for column in ["total_xact_count", "total_query_count"] {
            assert_eq!(end(column), all, "{column}: {load:?}");
        }
        for column in ["total_query_time", "total_xact_time"] {
            assert!(end(column) >= all * EACH_US, "{column}: {load:?}");
        }
        for column in ["avg_query_time", "avg_xact_time"] {
            assert!(end(column) >= EACH_US, "{column}: {load:?}");
        }
        // Four of six wait for as long as another's transaction takes.
        assert!(end("total_wait_time") > all * EACH_US / 2, "{load:?}");
        assert!(end("avg_wait_time") > EACH_US / 2, "{load:?}");
        let rate = end("avg_xact_count");
        assert!((all / (elapsed + 2)..=all).contains(&(rate + 1)), "{rate} {load:?}");
        for column in ["avg_query_count", "avg_recv", "avg_sent"] {
            assert!(end(column) > 0, "{column}: {load:?}");
        }
    }
    let said = [&own, &other].map(|load| load.end.number("total_received", &DATABASE));
    // The goodbyes of pgbench's clients, and of one that only looks, are counted here.
    let goodbyes = 5 * (CLIENTS + 1);
    assert!((0..=goodbyes).contains(&(said[0] - said[1])), "{said:?}");
}

/// PgBouncer stays paused then, and nobody has been told so.
#[tokio::test]
async fn a_pause_goes_with_the_operator_that_waits_for_it() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [runs, comes] = &clients(&node, 2).await[..] else { panic!("two clients") };
    let address = node.address(Rw);
    for command in ["pause postgres", "pause"] {
        value(runs, "begin; select 1").await;
        let mut one = console(address).await;
        one.send(b'Q', &[command.as_bytes(), &[0]]).await;
        until("it holds", async || {
            let held = console(address).await.ask("show pools").await.value("held", &POOL);
            if held == "1" { Ok(()) } else { Err(held) }
        })
        .await;
        let waits = value(comes, "select 7");
        drop(one);
        assert_eq!(waits.await, "7", "{command}");
        value(runs, "commit").await;
        assert_eq!(value(runs, "select 8").await, "8");
        let mut other = console(address).await;
        let said = other.ask("show databases").await;
        assert_eq!(said.value("paused", &[("name", "postgres")]), "0", "{command}");
        assert_eq!(other.ask("show state").await.value("value", &[("key", "paused")]), "no");
    }
    // Whoever was told that it is done may go.
    let mut one = console(address).await;
    assert_eq!(one.ask("pause postgres").await.tag.as_deref(), Some("PAUSE"));
    drop(one);
    let mut other = console(address).await;
    let said = other.ask("show databases").await;
    assert_eq!(said.value("paused", &[("name", "postgres")]), "1");
    assert_eq!(other.ask("resume postgres").await.tag.as_deref(), Some("RESUME"));
    assert_eq!(value(comes, "select 9").await, "9");
}

#[tokio::test]
async fn databases_are_where_their_primary_is() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    value(&clients(&node, 1).await[0], "select 1").await;
    let mut operator = console(node.address(Rw)).await;
    let said = operator.ask("show databases").await;
    let place = ["host", "port"].map(|column| said.value(column, &[("name", "postgres")]));
    assert_eq!(place, ["127.0.0.1".to_owned(), pg.port.to_string()]);
    // Another leads: this node's own server is another's standby.
    let config = crate::rig::config("b", &tls, &[crate::rig::ALL]);
    let other = crate::rig::Node::start("b", 1, config).await;
    node.learns(2, Some("b"), &[(&node, Some(0)), (&other, None)]);
    let said = operator.ask("show databases").await;
    let place = ["host", "port"].map(|column| said.value(column, &[("name", "postgres")]));
    assert_eq!(place, ["127.0.0.1".to_owned(), "1".to_owned()]);
}
