//! Clients that share servers: each has its own settings, statements and locks, wherever it is led,
//! and keeps its connection while there is no server.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use howdah_base::Span;
use howdah_proxy::Endpoint::Rw;
use howdah_proxy::{ProxyConfig, VERIFIER_ASKS_MAX, VerifierAsk};
use howdah_spec::PoolMode;
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

use crate::pg::{PASSWORD, Pg};
use crate::rig::{ALL, Node, Tls, cancel, config, connect, refusal, ruled, until};

/// A node whose clients share two servers.
pub async fn pooled(pg: &Pg, tls: &Tls) -> Node {
    pooled_with(pg, tls, |_| {}).await
}

pub async fn pooled_with(pg: &Pg, tls: &Tls, change: impl FnOnce(&mut ProxyConfig)) -> Node {
    let mut config = config("a", tls, &[ALL]);
    config.connect_wait = Span(Duration::from_secs(5));
    config.policy = ruled(|_| {});
    let (asks, inbox) = mpsc::channel(VERIFIER_ASKS_MAX);
    config.verifiers = asks;
    change(&mut config);
    tokio::spawn(verifiers(inbox, direct(pg).await));
    let node = Node::start("a", pg.port, config).await;
    node.learns(1, Some("a"), &[(&node, None)]);
    node
}

/// A node with a pool of that kind, in which clients may wait for long.
pub async fn pool_of(pg: &Pg, tls: &Tls, mode: PoolMode, size: u32) -> Node {
    pooled_with(pg, tls, |config| {
        config.clients_max = 200;
        config.policy = ruled(|policy| {
            policy.pool.mode = mode;
            policy.pool.size = size;
            policy.pool.times.wait = Duration::from_secs(60);
        });
    })
    .await
}

/// A session past the proxy.
pub async fn direct(pg: &Pg) -> Client {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((Ipv4Addr::new(127, 72, 68, 1), 0).into()).expect("the proxy's address");
    let tcp = socket.connect((Ipv4Addr::LOCALHOST, pg.port).into()).await.expect("a server");
    let mut config = Config::new();
    config.user("app").password(PASSWORD).dbname("postgres");
    let (client, session) = config.connect_raw(tcp, NoTls).await.expect("a session");
    tokio::spawn(session);
    client
}

pub async fn verifiers(mut asks: mpsc::Receiver<VerifierAsk>, client: Client) {
    while let Some(VerifierAsk { role, reply }) = asks.recv().await {
        let sql = "select rolpassword from pg_authid where rolname = $1::text::name";
        let row = client.query_opt(sql, &[&role]).await.expect("an answer");
        let text = row.and_then(|row| row.get::<_, Option<String>>(0));
        let _ = reply.send(text.and_then(|text| text.parse().ok()));
    }
}

pub async fn value(client: &Client, sql: &str) -> String {
    let messages = client.simple_query(sql).await.unwrap_or_else(|e| panic!("`{sql}`: {e:?}"));
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    row.unwrap_or_default().to_owned()
}

pub async fn clients(node: &Node, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(connect(node.address(Rw)).await.expect("let in"));
    }
    clients
}

pub const PID: &str = "select pg_backend_pid()";
/// BEGIN alone is answered without a server.
pub const HOLD: &str = "begin; select 1";

#[tokio::test]
async fn many_clients_share_few_servers() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let clients = clients(&node, 10).await;
    let mut servers = BTreeSet::new();
    for _ in 0..3 {
        let sql = "select pg_backend_pid() from pg_sleep(0.01)";
        let asked = clients.iter().map(|client| value(client, sql));
        for pid in join_all(asked).await {
            servers.insert(pid);
        }
    }
    assert_eq!(servers.len(), 2, "{servers:?}");
}

#[tokio::test]
async fn settings_go_along_with_their_client_and_with_nobody_else() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |config| config.policy = ruled(|p| p.pool.size = 1)).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    let server = value(one, PID).await;
    value(one, "set work_mem = '77MB'").await;
    value(one, "set search_path = \"$user\", pg_catalog, public").await;
    value(one, "select set_config('app.tenant', 'it''s \\ one', false)").await;
    value(one, "begin; set local work_mem = '99MB'; commit").await;
    value(one, "begin; set statement_timeout = '3s'; rollback").await;
    assert_eq!(value(two, PID).await, server, "there is one");
    assert_eq!(value(two, "show work_mem").await, "4MB");
    assert_eq!(value(two, "select current_setting('app.tenant', true)").await, "");
    assert_eq!(value(one, "show work_mem").await, "77MB");
    assert_eq!(value(one, "show search_path").await, "\"$user\", pg_catalog, public");
    assert_eq!(value(one, "show app.tenant").await, "it's \\ one");
    assert_eq!(value(one, "show statement_timeout").await, "0");
    value(one, "reset work_mem").await;
    value(two, "select 1").await;
    assert_eq!(value(one, "show work_mem").await, "4MB");
    value(one, "discard all").await;
    value(two, "select 1").await;
    assert_eq!(value(one, "show search_path").await, "\"$user\", public");
}

#[tokio::test]
async fn what_a_client_asks_for_with_its_first_packet_it_has() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |config| config.policy = ruled(|p| p.pool.size = 1)).await;
    let with = async |options: &str, name: &str| {
        let mut config = Config::new();
        config.host("127.0.0.1").port(node.address(Rw).port()).dbname("postgres");
        config.user("app").password(PASSWORD).application_name(name).options(options);
        let (client, session) = config.connect(NoTls).await?;
        tokio::spawn(session);
        Ok::<_, tokio_postgres::Error>(client)
    };
    let one = with("-c work_mem=9MB --statement-timeout=7s", "one").await.expect("let in");
    let two = with("", "two").await.expect("let in");
    assert_eq!(value(&one, "show work_mem").await, "9MB");
    assert_eq!(value(&one, "show statement_timeout").await, "7s");
    assert_eq!(value(&two, "show work_mem").await, "4MB");
    assert_eq!(value(&two, "show application_name").await, "two");
    assert_eq!(value(&one, "show application_name").await, "one");
    value(&one, "reset work_mem").await;
    value(&two, "select 1").await;
    assert_eq!(value(&one, "show work_mem").await, "9MB", "what it began with");
    let refused = with("-c work_mem=nonsense", "three").await.expect_err("no value");
    assert_eq!(refused.code().map(|code| code.code()), Some("22023"), "{refused:?}");
    assert_eq!(value(&two, "show work_mem").await, "4MB");
}

#[tokio::test]
async fn what_cannot_leave_its_server_keeps_its_client_there() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    for (makes, ends) in [
        ("create temp table mine (id int)", "drop table mine"),
        ("select pg_advisory_lock(7)", "select pg_advisory_unlock(7)"),
        ("listen news", "unlisten news"),
        ("prepare mine as select 1", "deallocate mine"),
        ("declare mine cursor with hold for select 1", "close mine"),
    ] {
        let [one, two, three] = &clients(&node, 3).await[..] else { panic!("three clients") };
        value(one, makes).await;
        let server = value(one, PID).await;
        for _ in 0..3 {
            assert_ne!(value(two, PID).await, server, "{makes}");
            assert_ne!(value(three, PID).await, server, "{makes}");
            assert_eq!(value(one, PID).await, server, "{makes}");
        }
        value(one, ends).await;
        let servers = join_all(
            [two, three]
                .map(|c| value(c, "select pg_backend_pid() from pg_sleep(0.1)"))
                .into_iter(),
        );
        assert!(servers.await.contains(&server), "it is the others' again: {ends}");
    }
}

#[tokio::test]
async fn prepared_statements_work_on_whatever_server() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let clients = clients(&node, 4).await;
    let mut prepared = Vec::new();
    for (at, client) in clients.iter().enumerate() {
        let sql = format!("select {at} + $1::int from pg_sleep(0.001)");
        prepared.push((client, client.prepare(&sql).await.expect("prepared"), at));
    }
    for round in 0..20_i32 {
        let asked = prepared.iter().map(async |(client, statement, at)| {
            let row = client.query_one(statement, &[&round]).await.expect("an answer");
            (row.get::<_, i32>(0), *at)
        });
        for (sum, at) in join_all(asked).await {
            assert_eq!(sum, round + i32::try_from(at).expect("small"));
        }
    }
}

#[tokio::test]
pub async fn clients_without_a_transaction_outlive_the_loss_of_every_server() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [idle, busy, late] = &clients(&node, 3).await[..] else { panic!("three clients") };
    let before = value(idle, PID).await;
    value(busy, HOLD).await;
    node.learns(2, None, &[(&node, None)]);
    let lost = busy.simple_query("commit").await.expect_err("its transaction is gone");
    assert_eq!(lost.code().map(|code| code.code()), Some("57P01"), "{lost:?}");
    let waits = value(late, PID);
    tokio::pin!(waits);
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waits).await;
    assert!(early.is_err(), "there is no primary");
    node.learns(3, Some("a"), &[(&node, None)]);
    let after = waits.await;
    assert_ne!(after, before);
    assert_eq!(value(idle, "select 5").await, "5");
    // The COMMIT may have been on its way when the server was lost: then the block is open still.
    busy.batch_execute("rollback").await.expect("ended");
    assert_eq!(value(busy, "select 6").await, "6", "it is connected as before");
}

#[tokio::test]
async fn a_statement_that_loses_its_server_fails_and_its_client_goes_on() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    value(one, HOLD).await;
    let statement = one.prepare("select $1::int + pg_backend_pid()").await.expect("prepared");
    let sleeps = one.simple_query("select pg_sleep(30)");
    let ends = async {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity \
                   where query ~ '^select pg_sleep'";
        until("it is ended", async || match &*value(two, sql).await {
            "t" => Ok(()),
            other => Err(other.to_owned()),
        })
        .await;
    };
    let (slept, ()) = tokio::join!(sleeps, ends);
    let error = slept.expect_err("its server is gone");
    assert_eq!(error.code().map(|code| code.code()), Some("57P01"), "{error:?}");
    let refused = one.query_one(&statement, &[&1_i32]).await.expect_err("it is aborted");
    assert_eq!(refused.code().map(|code| code.code()), Some("25P02"), "{refused:?}");
    one.batch_execute("rollback").await.expect("ended");
    one.query_one(&statement, &[&1_i32]).await.expect("prepared anew elsewhere");
    assert_eq!(value(two, "select 3").await, "3");
}

#[tokio::test]
async fn a_handover_lets_transactions_end_and_holds_new_ones() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [runs, comes] = &clients(&node, 2).await[..] else { panic!("two clients") };
    value(runs, HOLD).await;
    node.hands_over(true);
    let waits = value(comes, "select 7");
    tokio::pin!(waits);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut waits).await.is_err());
    assert_eq!(value(runs, "select 6").await, "6");
    value(runs, "commit").await;
    node.hands_over(false);
    assert_eq!(waits.await, "7");
}

#[tokio::test]
async fn large_answers_and_copies_pass_whole_beside_each_other() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    let large = async |client: &Client| {
        let sql = "select repeat('x', 1000) || n from generate_series(1, 20000) n";
        let rows = client.query(sql, &[]).await.expect("rows");
        let last = rows.last().expect("a row").get::<_, String>(0);
        (rows.len(), last.len())
    };
    let seen = join_all([one, two].into_iter().map(large)).await;
    assert_eq!(seen, [(20_000, 1_005); 2]);
    value(one, "create table copied (line text)").await;
    let sink = one.copy_in("copy copied from stdin").await.expect("begun");
    let mut sink = std::pin::pin!(sink);
    for _ in 0..200 {
        let lines = Bytes::from(format!("{}\n", "y".repeat(99)).repeat(1_000));
        sink.as_mut().feed(lines).await.expect("sent");
    }
    assert_eq!(sink.finish().await.expect("copied"), 200_000);
    let out = two.copy_out("copy copied to stdout").await.expect("begun");
    let sizes = out.map(|piece| piece.expect("a piece").len());
    assert_eq!(sizes.fold(0, async |sum, size| sum + size).await, 20_000_000);
    assert_eq!(value(one, "select 1").await, "1");
}

#[tokio::test]
async fn pipelines_of_any_length_are_answered() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let clients = clients(&node, 4).await;
    let run = async |client: &Client| {
        let statement = client.prepare("select $1::int + 1").await.expect("prepared");
        let asked = (0..300).map(async |n: i32| {
            let row = client.query_one(&statement, &[&n]).await.expect("an answer");
            assert_eq!(row.get::<_, i32>(0), n + 1);
        });
        join_all(asked).await.len()
    };
    assert_eq!(join_all(clients.iter().map(run)).await, [300; 4]);
}

#[tokio::test]
async fn more_statements_than_a_server_keeps_are_prepared_anew() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |config| config.policy = ruled(|p| p.pool.size = 1)).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    let mut kept = Vec::new();
    for number in 0..1_100_i32 {
        let statement = one.prepare(&format!("select {number} + $1::int")).await.expect("prepared");
        kept.push((number, statement));
    }
    let held = "select count(*) from pg_prepared_statements";
    let count: u32 = value(two, held).await.parse().expect("a number");
    assert!((400..=501).contains(&count), "{count}");
    for (number, statement) in kept.iter().step_by(97) {
        let row = one.query_one(statement, &[&1_i32]).await.expect("an answer");
        assert_eq!(row.get::<_, i32>(0), number + 1);
    }
    let three = connect(node.address(Rw)).await.expect("let in");
    assert_eq!(value(&three, "show work_mem").await, "4MB");
}

#[tokio::test]
async fn who_waits_too_long_for_a_server_is_told_so() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let short = |config: &mut ProxyConfig| {
        config.policy = ruled(|policy| {
            policy.pool.size = 1;
            policy.pool.times.wait = Duration::from_millis(300);
        });
    };
    let node = pooled_with(&pg, &tls, short).await;
    let [holds, waits] = &clients(&node, 2).await[..] else { panic!("two clients") };
    value(holds, HOLD).await;
    let error = waits.simple_query("select 1").await.expect_err("no server");
    assert_eq!(error.code().map(|code| code.code()), Some("57P03"), "{error:?}");
    assert_eq!(value(holds, "select 2").await, "2");
}

#[tokio::test]
async fn a_role_made_a_moment_ago_logs_in_and_a_wrong_password_does_not() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [app] = &clients(&node, 1).await[..] else { panic!("a client") };
    let log_in = async |password: &str| {
        let mut config = Config::new();
        config.host("127.0.0.1").port(node.address(Rw).port()).dbname("postgres");
        let (client, session) = config.user("fresh").password(password).connect(NoTls).await?;
        tokio::spawn(session);
        Ok(client)
    };
    value(app, "create role fresh login password 'first'").await;
    let fresh = log_in("first").await.expect("let in");
    assert_eq!(value(&fresh, "select current_user").await, "fresh");
    assert_eq!(
        refusal(log_in("wrong").await),
        "FATAL 28P01: password authentication failed for user \"fresh\""
    );
    value(app, "alter role fresh password 'second'").await;
    assert_eq!(value(&fresh, "select 1").await, "1", "who is in stays in");
    refusal(log_in("first").await);
    let again = log_in("second").await.expect("let in");
    assert_eq!(value(&again, "select current_user").await, "fresh");
}

#[tokio::test]
async fn a_cancel_request_reaches_the_server_of_the_moment() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    let token = one.cancel_token();
    let sleeps = one.simple_query("select pg_sleep(30)");
    let cancels = async {
        let seen = "select count(*) from pg_stat_activity where query ~ '^select pg_sleep'";
        until("it sleeps", async || match &*value(two, seen).await {
            "1" => Ok(()),
            other => Err(other.to_owned()),
        })
        .await;
        cancel(node.address(Rw), &token).await;
    };
    let (slept, ()) = tokio::join!(sleeps, cancels);
    let error = slept.expect_err("cancelled");
    assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{error:?}");
    for client in [one, two] {
        assert_eq!(value(client, "select 3").await, "3");
    }
}

#[tokio::test]
async fn a_cancel_request_may_come_to_any_node() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let other = Node::start("b", pg.port, config("b", &tls, &[ALL])).await;
    for asks in [&node, &other] {
        asks.learns(1, Some("a"), &[(&node, None), (&other, None)]);
    }
    let one = connect(node.address(Rw)).await.expect("let in");
    let control = direct(&pg).await;
    let token = one.cancel_token();
    let sleeps = one.simple_query("select pg_sleep(30)");
    let cancels = async {
        let seen = "select count(*) from pg_stat_activity where query ~ '^select pg_sleep'";
        until("it sleeps", async || match &*value(&control, seen).await {
            "1" => Ok(()),
            other => Err(other.to_owned()),
        })
        .await;
        cancel(other.address(Rw), &token).await;
    };
    let (slept, ()) = tokio::join!(sleeps, cancels);
    let error = slept.expect_err("cancelled");
    assert_eq!(error.code().map(|code| code.code()), Some("57014"), "{error:?}");
}

#[tokio::test]
async fn in_session_mode_a_client_has_its_server_to_itself_and_leaves_nothing() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let session = |config: &mut ProxyConfig| {
        config.policy = ruled(|policy| {
            policy.pool.mode = PoolMode::Session;
            policy.pool.size = 1;
        });
    };
    let node = pooled_with(&pg, &tls, session).await;
    let one = connect(node.address(Rw)).await.expect("let in");
    value(&one, "set work_mem = '77MB'; create temp table mine (id int)").await;
    let server = value(&one, PID).await;
    assert_eq!(value(&one, "show work_mem").await, "77MB");
    drop(one);
    let two = connect(node.address(Rw)).await.expect("let in");
    assert_eq!(value(&two, PID).await, server);
    assert_eq!(value(&two, "show work_mem").await, "4MB");
    assert_eq!(value(&two, "select to_regclass('mine')::text").await, "");
}
