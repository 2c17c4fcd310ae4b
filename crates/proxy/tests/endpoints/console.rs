//! The console: what operators see and say through the database `pgbouncer`, beside Debian's
//! PgBouncer where it has the same.

use std::time::Duration;

use howdah_proxy::Endpoint::Rw;
use howdah_proxy::{Operators, WishKind};
use tokio::process::Command;
use tokio::sync::{mpsc, watch};
use tokio_postgres::{Client, Config, NoTls};

use crate::pg::{PASSWORD, Pg};
use crate::pgbouncer::PgBouncer;
use crate::pooled::{HOLD, clients, pooled, pooled_with, value};
use crate::raw::{Raw, Said};
use crate::rig::{Node, Tls, until};

async fn console(node: &Node) -> Raw {
    Raw::connect(node.address(Rw), "app", "pgbouncer").await.expect("let in")
}

const POOL: [(&str, &str); 2] = [("database", "postgres"), ("user", "app")];
const DATABASE: [(&str, &str); 1] = [("database", "postgres")];

/// Columns of PgBouncer's master that 1.18 has not, or under another name: pooler.md of the issue.
const SINCE: [(&str, &[&str]); 10] = [
    ("pools", &["load_balance_hosts"]),
    (
        "stats",
        &[
            "total_server_assignment_count",
            "total_client_parse_count",
            "total_server_parse_count",
            "total_bind_count",
            "total_client_login_count",
            "avg_server_assignment_count",
            "avg_client_parse_count",
            "avg_server_parse_count",
            "avg_bind_count",
            "avg_client_login_count",
        ],
    ),
    ("stats_totals", &COUNTS),
    ("stats_averages", &AVERAGES),
    ("clients", &OF_SOCKETS),
    ("servers", &OF_SOCKETS),
    ("sockets", &OF_SOCKETS),
    ("active_sockets", &OF_SOCKETS),
    (
        "databases",
        &[
            "reserve_pool_size",
            "server_lifetime",
            "load_balance_hosts",
            "max_client_connections",
            "current_client_connections",
        ],
    ),
    (
        "users",
        &[
            "pool_size",
            "reserve_pool_size",
            "max_user_connections",
            "current_connections",
            "max_user_client_connections",
            "current_client_connections",
        ],
    ),
];
const COUNTS: [&str; 5] = [
    "server_assignment_count",
    "client_parse_count",
    "server_parse_count",
    "bind_count",
    "client_login_count",
];
const AVERAGES: [&str; 5] = [
    "server_assignment_count",
    "avg_client_parse_count",
    "avg_server_parse_count",
    "avg_bind_count",
    "avg_client_login_count",
];
const OF_SOCKETS: [&str; 3] = ["replication", "prepared_statements", "id"];
/// Ours, behind all others.
const OURS: [&str; 7] =
    ["endpoints", "held", "wait_p50_us", "wait_p99_us", "endpoint", "pinned", "node"];

#[tokio::test]
async fn tables_have_pgbouncers_columns_in_its_order_and_of_its_types() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let bouncer = PgBouncer::start(&pg).await;
    let mut ours = console(&node).await;
    let mut theirs = Raw::connect(bouncer.address(), "app", "pgbouncer").await.expect("let in");
    for show in [
        "pools",
        "stats",
        "stats_totals",
        "stats_averages",
        "totals",
        "clients",
        "servers",
        "sockets",
        "active_sockets",
        "databases",
        "users",
        "lists",
        "config",
        "mem",
        "version",
        "dns_hosts",
        "dns_zones",
        "timezone",
    ] {
        let (own, other) =
            (ours.ask(&format!("show {show}")).await, theirs.ask(&format!("SHOW {show};")).await);
        assert_eq!((&own.tag, &own.error), (&other.tag, &other.error), "{show}");
        let since = SINCE.iter().find(|(name, _)| *name == show).map_or(&[][..], |(_, new)| *new);
        let is_new = |name: &str| since.contains(&name) || OURS.contains(&name);
        let shared: Vec<_> = own.columns.iter().filter(|(name, ..)| !is_new(name)).collect();
        let known = other.columns.iter().filter(|(name, ..)| name != "reserve_pool");
        assert_eq!(shared, known.collect::<Vec<_>>(), "{show}");
        let names = own.names();
        let first_own = names.iter().position(|name| OURS.contains(name)).unwrap_or(names.len());
        assert!(names[first_own..].iter().all(|name| OURS.contains(name)), "{show}: {names:?}");
        assert!(since.iter().all(|name| names.contains(name)), "{show}: {names:?}");
    }
    for rows in ["lists", "totals"] {
        let names =
            |said: Said| said.rows.into_iter().map(|row| row[0].clone()).collect::<Vec<_>>();
        let own = names(ours.ask(&format!("show {rows}")).await);
        let other = names(theirs.ask(&format!("show {rows}")).await);
        assert!(other.iter().all(|name| own.contains(name)), "{rows}: {own:?} {other:?}");
    }
}

#[tokio::test]
async fn commands_are_answered_in_pgbouncers_words() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let bouncer = PgBouncer::start(&pg).await;
    let mut ours = console(&node).await;
    let mut theirs = Raw::connect(bouncer.address(), "app", "pgbouncer").await.expect("let in");
    for command in [
        "resume postgres",
        "resume",
        "disable",
        "disable pgbouncer",
        "enable",
        "pause pgbouncer",
        "kill pgbouncer",
        "reconnect pgbouncer",
        "wait_close pgbouncer",
        "reload x",
        "shutdown x",
        "set client_encoding to 'x'",
        "show TIMEZONE",
        "wait_close",
        "wait_close postgres",
        "reconnect",
        "reconnect postgres;",
        "disable postgres",
        "enable postgres",
        "pause postgres",
        "pause postgres",
        "RESUME postgres",
        "foo",
        "",
        "show",
        "show nothing",
        "select 1",
        "pause a b",
        "pause",
        "pause",
        "kill postgres",
        "resume",
        "resume",
        "kill \"postgres\"",
        "resume postgres",
        "set nonsense",
    ] {
        assert_eq!(ours.ask(command).await, theirs.ask(command).await, "`{command}`");
    }
    let help = |said: Said| (said.tag, said.notice);
    assert_eq!(help(ours.ask("show help").await), help(theirs.ask("show help").await));
    for raw in [&mut ours, &mut theirs] {
        raw.send(b'P', &[b"\0select 1\0\0\0"]).await;
        let (kind, body) = raw.next().await;
        let why = "extended query protocol not supported by admin console";
        let said = String::from_utf8_lossy(&body).into_owned();
        assert!(kind == b'E' && said.contains(why), "{said}");
    }
    // Where the program that is compared with is older.
    let mut ours = console(&node).await;
    for (command, want) in [
        ("kill_client 12345678", "client not found"),
        ("kill_client", "invalid client pointer supplied"),
        ("kill_client x", "invalid client pointer supplied"),
    ] {
        let error = ours.ask(command).await.error.expect(command);
        assert_eq!(error, ["ERROR", "08P01", want], "{command}");
    }
}

#[tokio::test]
async fn the_same_load_counts_the_same() {
    let (pg, tls) = (Pg::start(), Tls::new());
    pg.lets_in("host all all 127.0.0.1/32 scram-sha-256");
    let node = pooled(&pg, &tls).await;
    let bouncer = PgBouncer::start(&pg).await;
    let mut counts = Vec::new();
    for address in [node.address(Rw), bouncer.address()] {
        let mut config = Config::new();
        config.host("127.0.0.1").port(address.port()).dbname("postgres").user("app");
        let (client, session) = config.password(PASSWORD).connect(NoTls).await.expect("let in");
        tokio::spawn(session);
        for _ in 0..10 {
            value(&client, "select 1").await;
        }
        for sql in ["begin", "select 2", "select 3 from pg_sleep(0.01)", "commit"] {
            value(&client, sql).await;
        }
        let mut console = Raw::connect(address, "app", "pgbouncer").await.expect("let in");
        let said = console.ask("show stats_totals").await;
        let all = ["xact_count", "query_count", "bytes_received"];
        counts.push(all.map(|column| said.number(column, &DATABASE)));
        for column in ["bytes_sent", "xact_time", "query_time"] {
            assert!(said.number(column, &DATABASE) > 0, "{column}: {said:?}");
        }
        let (query, xact) =
            (said.number("query_time", &DATABASE), said.number("xact_time", &DATABASE));
        assert!(query >= 10_000 && xact >= query, "{query} {xact}");
        let said = console.ask("show pools").await;
        let pools = ["cl_active", "cl_waiting", "sv_active", "sv_idle", "pool_mode"];
        let now = pools.map(|column| said.value(column, &POOL));
        assert_eq!(now, ["1", "0", "0", "1", "transaction"], "{said:?}");
    }
    assert_eq!(counts[0], counts[1], "transactions, queries, bytes of the client");
    assert_eq!(counts[0][..2], [11, 14]);
}

#[tokio::test]
async fn statements_logins_and_waits_are_counted() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let all = clients(&node, 3).await;
    let mut console = console(&node).await;
    for client in &all {
        let statement = client.prepare("select $1::int + 1").await.expect("prepared");
        for _ in 0..2 {
            client.query_one(&statement, &[&1_i32]).await.expect("an answer");
        }
    }
    let said = console.ask("show stats_totals").await;
    let count = |column: &str| said.number(column, &DATABASE);
    assert_eq!((count("client_login_count"), count("bind_count")), (3, 6), "{said:?}");
    assert_eq!(count("client_parse_count"), 3);
    // Each thread names what its clients prepare, and one that gives its server back late makes the next
    // client take the other: each of the two servers hears of it once a client at most.
    assert!((1..=6).contains(&count("server_parse_count")), "{said:?}");
    // Two hold both servers: the third waits for as long as they do.
    let [one, two, three] = &all[..] else { panic!("three clients") };
    value(one, HOLD).await;
    value(two, HOLD).await;
    let waits = three.simple_query("select 7");
    let ends = async {
        until("one waits", async || {
            let said = Raw::connect(node.address(Rw), "app", "pgbouncer")
                .await
                .expect("let in")
                .ask("show pools")
                .await;
            let seen = ["cl_active", "cl_waiting", "sv_active"].map(|c| said.value(c, &POOL));
            if seen == ["2", "1", "2"] { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await;
        let said = console.ask("show clients").await;
        assert_eq!(said.value("wait", &[("state", "waiting")]), "0", "{said:?}");
        assert_ne!(said.value("link", &[("state", "active"), ("database", "postgres")]), "");
        value(one, "commit").await;
    };
    let (answer, ()) = tokio::join!(waits, ends);
    answer.expect("an answer");
    let said = console.ask("show stats").await;
    assert!(said.number("total_wait_time", &DATABASE) > 0, "{said:?}");
    let said = console.ask("show pools").await;
    assert!(said.number("wait_p99_us", &POOL) > 0, "{said:?}");
    value(two, "commit").await;
}

#[tokio::test]
async fn a_pause_lets_transactions_end_and_none_begin() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [runs, comes] = &clients(&node, 2).await[..] else { panic!("two clients") };
    let (mut one, mut other) = (console(&node).await, console(&node).await);
    value(runs, HOLD).await;
    let paused = one.ask("pause postgres");
    tokio::pin!(paused);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut paused).await.is_err());
    let waits = value(comes, "select 7");
    tokio::pin!(waits);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut waits).await.is_err());
    assert_eq!(value(runs, "select 6").await, "6");
    assert_eq!(other.ask("show pools").await.value("held", &POOL), "1");
    value(runs, "commit").await;
    assert_eq!(paused.await.tag.as_deref(), Some("PAUSE"));
    let said = other.ask("show databases").await;
    assert_eq!(said.value("paused", &[("name", "postgres")]), "1");
    assert_eq!(said.value("current_connections", &[("name", "postgres")]), "0", "{said:?}");
    assert_eq!(other.ask("resume postgres").await.tag.as_deref(), Some("RESUME"));
    assert_eq!(waits.await, "7");
    assert_eq!(value(runs, "select 8").await, "8", "it is connected as before");
}

#[tokio::test]
async fn whoever_is_killed_is_told_so_and_the_others_stay() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    let mut console = console(&node).await;
    value(one, "set application_name = 'the one'").await;
    // The server is asked what its session has of its own, behind the client's answer.
    until("its name is known", async || {
        let said = Raw::connect(node.address(Rw), "app", "pgbouncer").await.expect("let in");
        let said = { said }.ask("show clients").await;
        let named = said.rows.iter().flatten().any(|value| value.as_deref() == Some("the one"));
        if named { Ok(()) } else { Err(format!("{said:?}")) }
    })
    .await;
    let number = console.ask("show clients").await.value("id", &[("application_name", "the one")]);
    let killed = console.ask(&format!("kill_client {number}")).await;
    assert_eq!(killed.tag.as_deref(), Some("KILL_CLIENT"), "{killed:?}");
    until_gone(one).await;
    assert_eq!(value(two, "select 1").await, "1");
    assert_eq!(console.ask("kill postgres").await.tag.as_deref(), Some("KILL"));
    until_gone(two).await;
    let comes = clients(&node, 1);
    tokio::pin!(comes);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), &mut comes).await.is_err(),
        "it waits"
    );
    assert_eq!(console.ask("resume postgres").await.tag.as_deref(), Some("RESUME"));
    assert_eq!(value(&comes.await[0], "select 2").await, "2");
}

async fn until_gone(client: &Client) {
    until("it is gone", async || match client.is_closed() {
        true => Ok(()),
        false => Err("connected".to_owned()),
    })
    .await;
}

#[tokio::test]
async fn servers_are_exchanged_when_they_come_free() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [client] = &clients(&node, 1).await[..] else { panic!("a client") };
    let (mut one, mut other) = (console(&node).await, console(&node).await);
    let pid = "select pg_backend_pid()";
    value(client, "begin").await;
    let before = value(client, pid).await;
    assert_eq!(one.ask("reconnect postgres").await.tag.as_deref(), Some("RECONNECT"));
    let closed = one.ask("wait_close postgres");
    tokio::pin!(closed);
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut closed).await.is_err());
    let said = other.ask("show servers").await;
    assert_eq!(said.value("close_needed", &[("remote_pid", &before)]), "1", "{said:?}");
    assert_eq!(value(client, pid).await, before, "its transaction goes on");
    value(client, "commit").await;
    assert_eq!(closed.await.tag.as_deref(), Some("WAIT_CLOSE"));
    assert_ne!(value(client, pid).await, before);
}

#[tokio::test]
async fn who_may_only_look_commands_nothing_and_who_may_not_is_not_let_in() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let (told, operators) = watch::channel(std::sync::Arc::new(Operators {
        look: ["app".to_owned()].into(),
        ..Operators::default()
    }));
    let node = pooled_with(&pg, &tls, |config| config.console.operators = operators).await;
    let mut looks = console(&node).await;
    for command in [
        "pause",
        "pause postgres",
        "resume",
        "resume postgres",
        "reconnect",
        "kill postgres",
        "kill_client 1",
        "disable postgres",
        "enable postgres",
        "wait_close",
        "reload",
        "shutdown",
        "suspend",
        "set pool_mode = 'session'",
    ] {
        let error = looks.ask(command).await.error.expect(command);
        assert_eq!(error, ["ERROR", "08P01", "admin access needed"], "{command}");
    }
    assert_eq!(looks.ask("show pools").await.error, None);
    told.send_replace(std::sync::Arc::default());
    let refused = Raw::connect(node.address(Rw), "app", "pgbouncer").await.err();
    assert_eq!(refused.expect("not let in"), ["FATAL", "08P01", "not allowed"]);
}

#[tokio::test]
async fn what_is_not_the_poolers_own_is_left_to_whoever_runs_it() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let (wishes, mut inbox) = mpsc::channel(4);
    let node = pooled_with(&pg, &tls, |config| config.console.wishes = wishes).await;
    let grants = tokio::spawn(async move {
        let mut heard = Vec::new();
        while let Some(wish) = inbox.recv().await {
            heard.push(wish.what.clone());
            let granted = match wish.what {
                WishKind::Set { .. } => {
                    Err(howdah_proxy::Declined { why: "SET failed".to_owned(), hint: None })
                }
                _ => Ok(()),
            };
            wish.reply.send(granted).expect("somebody waits");
            if heard.len() == 4 {
                break;
            }
        }
        heard
    });
    let mut console = console(&node).await;
    assert_eq!(console.ask("reload").await.tag.as_deref(), Some("RELOAD"));
    let error = console.ask("set pool_mode = 'session'").await.error.expect("declined");
    assert_eq!(error[2], "SET failed");
    assert_eq!(console.ask("shutdown").await.tag.as_deref(), Some("SHUTDOWN"));
    let set = WishKind::Set { key: "pool_mode".to_owned(), value: "session".to_owned() };
    let heard = grants.await.expect("heard");
    assert_eq!(heard, [WishKind::Reload, set, WishKind::MayStop, WishKind::Stop]);
}

#[tokio::test]
async fn a_database_can_be_closed_to_new_clients() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let [client] = &clients(&node, 1).await[..] else { panic!("a client") };
    let mut console = console(&node).await;
    console.ask("disable postgres").await;
    let refused = Raw::connect(node.address(Rw), "app", "postgres").await.err();
    assert_eq!(
        refused.expect("not let in"),
        ["FATAL", "08P01", "database \"postgres\" is disabled"]
    );
    assert_eq!(value(client, "select 1").await, "1", "who is in stays in");
    console.ask("enable postgres").await;
    Raw::connect(node.address(Rw), "app", "postgres").await.expect("let in");
}

#[tokio::test]
async fn psql_and_the_scrape_of_metrics_see_the_pools() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let mut metrics = None;
    let node = pooled_with(&pg, &tls, |config| metrics = Some(config.metrics.clone())).await;
    let [client] = &clients(&node, 1).await[..] else { panic!("a client") };
    value(client, "select 1").await;
    let url =
        format!("postgresql://app:{PASSWORD}@127.0.0.1:{}/pgbouncer", node.address(Rw).port());
    let psql = ["10", "psql", "-X", "-A", "-t", "-c", "show pools", &url];
    let said = Command::new("timeout").args(psql).output().await.expect("psql");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let pool = "postgres|app|1|0|0|0|0|0|0|1|0|0|0|0|0|transaction||rw|0|";
    assert!(said.lines().any(|line| line.starts_with(pool)), "{said}");
    let metrics = metrics.expect("told");
    until("psql has gone", async || {
        let page = metrics.page().await;
        let there = "howdah_endpoint_clients{endpoint=\"rw\"} 1";
        if page.lines().any(|line| line == there) { Ok(()) } else { Err(page) }
    })
    .await;
    let page = metrics.page().await;
    for line in [
        "pgbouncer_up 1",
        "pgbouncer_pools_client_active_connections{database=\"postgres\",user=\"app\"} 1",
        "pgbouncer_pools_server_idle_connections{database=\"postgres\",user=\"app\"} 1",
        "pgbouncer_stats_queries_pooled_total{database=\"postgres\"} 1",
        "pgbouncer_stats_sql_transactions_pooled_total{database=\"postgres\"} 1",
        "pgbouncer_used_clients 1",
        "howdah_pool_wait_seconds_count{database=\"postgres\",user=\"app\",endpoint=\"rw\"} 1",
        "howdah_pool_total_seconds_bucket{database=\"postgres\",user=\"app\",endpoint=\"rw\",le=\"+Inf\"} 1",
        "howdah_endpoint_clients{endpoint=\"rw\"} 1",
        "howdah_endpoint_refused_total 0",
    ] {
        assert!(page.lines().any(|other| other == line), "{line}\n{page}");
    }
}
