//! Several data threads: one limit for all of them, servers go where they are wanted, nobody starves,
//! and whatever ends while something is on its way leaves the counts right. Each thread compares them
//! with what it has ten times a second in builds with assertions, and ends where they are wrong.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use howdah_proxy::Endpoint::Rw;
use howdah_spec::PoolMode;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::{Client, Config, NoTls};

use crate::conversations::chance::Chance;
use crate::pg::{PASSWORD, Pg};
use crate::pooled::{PID, clients, direct, pooled_with, value};
use crate::raw::Raw;
use crate::rig::{Node, Tls, cancel, connect, ruled, until};

const THREADS: u32 = 3;
/// Nothing here waits so long unless somebody has been forgotten.
const PATIENCE: Duration = Duration::from_secs(20);

async fn node_of(pg: &Pg, tls: &Tls, size: u32, all: Option<u32>) -> Node {
    pooled_with(pg, tls, |config| {
        config.clients_max = 200;
        config.policy = ruled(|policy| {
            policy.threads = Some(THREADS);
            policy.pool.size = size;
            policy.servers_max = all;
            policy.pool.times.wait = PATIENCE;
        });
    })
    .await
}

/// Backends beside the test's own.
const SERVERS: &str = "select count(*) from pg_stat_activity where backend_type = 'client backend' \
                       and usename = 'app' and application_name <> 'outside'";

async fn outside(pg: &Pg) -> Client {
    let client = direct(pg).await;
    value(&client, "set application_name = 'outside'").await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_limit_holds_over_all_threads_and_everybody_gets_on() {
    const SIZE: usize = 4;
    let (pg, tls) = (Pg::start(), Tls::new());
    let control = outside(&pg).await;
    let node = node_of(&pg, &tls, 4, None).await;
    let clients = clients(&node, 40).await;
    let watch = async {
        let mut most = 0;
        let end = Instant::now() + Duration::from_secs(4);
        while Instant::now() < end {
            let there: usize = value(&control, SERVERS).await.parse().expect("a number");
            // One of them asks for verifiers.
            most = most.max(there - 1);
        }
        most
    };
    let load = join_all(clients.iter().map(|client| async move {
        let end = Instant::now() + Duration::from_secs(3);
        let (mut turns, mut longest) = (0, Duration::ZERO);
        let statement = client.prepare("select $1::int + 1").await.expect("prepared");
        while Instant::now() < end {
            let begun = Instant::now();
            let row = client.query_one(&statement, &[&turns]).await.expect("an answer");
            assert_eq!(row.get::<_, i32>(0), turns + 1);
            longest = longest.max(begun.elapsed());
            turns += 1;
        }
        (turns, longest)
    }));
    let (most, done) = tokio::join!(watch, load);
    assert!((1..=SIZE).contains(&most), "{most} servers");
    let (least, longest) = (done.iter().map(|one| one.0).min(), done.iter().map(|one| one.1).max());
    let all: i32 = done.iter().map(|one| one.0).sum();
    // Each its turn, about as many as the others.
    assert!(least >= Some(all / 40 / 4), "{least:?} of {all}: {done:?}");
    assert!(longest < Some(Duration::from_secs(2)), "{longest:?}");
    drop(clients);
    until_free(&node, SIZE).await;
}

#[tokio::test]
async fn a_server_serves_clients_of_all_threads_with_what_each_of_them_has() {
    let (pg, tls) = (Pg::start(), Tls::new());
    for size in [1, 4] {
        let node = node_of(&pg, &tls, size, None).await;
        let clients = clients(&node, 2 * THREADS as usize).await;
        let mut statements = Vec::new();
        for (number, client) in clients.iter().enumerate() {
            value(client, &format!("set application_name = 'client {number}'")).await;
            // Half of them say the same, and all call it the same.
            let text = format!("select $1::int * {}", number / 2);
            statements.push(client.prepare(&text).await.expect("prepared"));
        }
        let mut servers = BTreeSet::new();
        for _ in 0..10 {
            for (number, (client, statement)) in clients.iter().zip(&statements).enumerate() {
                let name = value(client, "show application_name").await;
                assert_eq!(name, format!("client {number}"));
                let row = client.query_one(statement, &[&10]).await.expect("an answer");
                assert_eq!(row.get::<_, i32>(0), i32::try_from(10 * (number / 2)).expect("few"));
                servers.insert(value(client, PID).await);
            }
        }
        // A thread that sleeps between an answer and giving its server back makes the next one open
        // another, so it may be more than there are threads, and never more than the pool has.
        assert!(servers.len() <= size as usize, "{servers:?}: no more than the pool has");
    }
}

#[tokio::test]
async fn one_client_after_the_other_finds_the_same_server_and_no_thread_keeps_it() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = node_of(&pg, &tls, 4, None).await;
    let mut servers = BTreeSet::new();
    for _ in 0..10 {
        let client = connect(node.address(Rw)).await.expect("let in");
        servers.insert(value(&client, PID).await);
    }
    assert_eq!(servers.len(), 1, "{servers:?}");
    // A client of each thread, one of which has the server.
    for client in clients(&node, 3).await {
        servers.insert(value(&client, PID).await);
    }
    assert_eq!(servers.len(), 1, "{servers:?}");
}

#[tokio::test]
async fn servers_that_idle_at_any_thread_make_room_for_other_pools() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let control = outside(&pg).await;
    for name in ["d0", "d1", "d2", "d3", "d4", "d5"] {
        value(&control, &format!("create database {name}")).await;
    }
    let node = node_of(&pg, &tls, 4, Some(2)).await;
    let mut there = Vec::new();
    for number in 0..6 {
        let mut config = Config::new();
        config.host("127.0.0.1").port(node.address(Rw).port()).dbname(format!("d{number}"));
        config.user("app").password(PASSWORD);
        let (client, session) = config.connect(NoTls).await.expect("let in");
        tokio::spawn(session);
        there.push(client);
    }
    for _ in 0..5 {
        let asked = there.iter().map(|client| timeout(PATIENCE, value(client, "select 1")));
        for answer in join_all(asked).await {
            assert_eq!(answer.expect("in time"), "1");
        }
        let sql = "select count(*) from pg_stat_activity where datname like 'd_'";
        // One that was told to end is seen until it has; one too many would stay.
        until("no more are there than may be", async || {
            let count: usize = value(&control, sql).await.parse().expect("a number");
            if count <= 2 { Ok(()) } else { Err(format!("{count} servers")) }
        })
        .await;
    }
}

/// Whoever asks, waits, is cancelled, or has gone while a server or a place was on its way to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_comes_cancels_and_vanishes_leaves_every_place_free() {
    let (pg, tls) = (Pg::start(), Tls::new());
    for (mode, size) in
        [(PoolMode::Transaction, 1), (PoolMode::Transaction, 3), (PoolMode::Session, 2)]
    {
        let node = pooled_with(&pg, &tls, |config| {
            config.clients_max = 200;
            config.policy = ruled(|policy| {
                policy.threads = Some(THREADS);
                policy.pool.mode = mode;
                policy.pool.size = size;
                policy.pool.times.wait = PATIENCE;
            });
        })
        .await;
        let seed = std::env::var("HOWDAH_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or(1) * 1_000 + u64::from(size);
        join_all((0..16).map(|number| lives(&node, seed + number * 50))).await;
        let next = connect(node.address(Rw)).await.expect("let in");
        assert_eq!(value(&next, "select 1").await, "1");
        drop(next);
        until_free(&node, size as usize).await;
    }
}

async fn lives(node: &Node, seed: u64) {
    let mut chance = Chance(seed);
    for _ in 0..8 {
        let client = connect(node.address(Rw)).await.expect("let in");
        for _ in 0..chance.below(6) {
            match chance.below(7) {
                0 => drop(value(&client, "set work_mem = '9MB'; select 1").await),
                1 => drop(value(&client, "begin; select 1; commit").await),
                2 => {
                    let statement = client.prepare("select $1::int").await.expect("prepared");
                    let asked = timeout(PATIENCE, client.query_one(&statement, &[&7])).await;
                    assert_eq!(asked.expect("in time").expect("an answer").get::<_, i32>(0), 7);
                }
                3 => {
                    let token = client.cancel_token();
                    let asked = client.simple_query("select pg_sleep(0.05)");
                    let (asked, ()) = tokio::join!(asked, cancel(node.address(Rw), &token));
                    let code = asked.err().and_then(|error| error.code().cloned());
                    assert!(code.is_none_or(|code| code.code() == "57014"));
                }
                // It goes while its request is on the way.
                4 => {
                    let tcp = TcpStream::connect(node.address(Rw)).await.expect("a listener");
                    let token = client.cancel_token();
                    let told = token.cancel_query_raw(tcp, NoTls);
                    let asked = client.simple_query("select pg_sleep(0.05)");
                    let wait = wait_of(&mut chance);
                    drop(timeout(wait, async { tokio::join!(asked, told) }).await);
                    break;
                }
                // It goes on waiting, or is at it, when the next one asks, or it goes.
                5 => {
                    let wait = wait_of(&mut chance);
                    drop(timeout(wait, client.simple_query("select pg_sleep(0.002)")).await);
                }
                _ => assert_eq!(value(&client, "select 5").await, "5"),
            }
        }
    }
}

fn wait_of(chance: &mut Chance) -> Duration {
    Duration::from_micros(chance.below(3_000) as u64)
}

/// Nobody is there any more, and all servers are free: no place has been lost on the way.
async fn until_free(node: &Node, servers_max: usize) {
    let console = Raw::connect(node.address(Rw), "app", "pgbouncer").await.expect("let in");
    let console = Mutex::new(console);
    until("all is free", async || {
        let mut console = console.lock().await;
        let pools = console.ask("show pools").await;
        let of = |column| pools.number(column, &[("database", "postgres")]);
        let used = ["cl_active", "cl_waiting", "sv_active", "sv_tested", "sv_login"].map(of);
        let (idle, servers) = (of("sv_idle"), console.ask("show servers").await.rows.len());
        match used == [0; 5] && idle == servers as u64 && servers <= servers_max {
            true => Ok(()),
            false => Err(format!("{servers} servers, {pools:?}")),
        }
    })
    .await;
}
