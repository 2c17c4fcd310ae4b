//! How many servers clients get, for how long, and whom first.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use howdah_proxy::Endpoint::Rw;
use howdah_proxy::policy::{ClassRule, Leaves, Own, Policy};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use crate::pg::{PASSWORD, Pg};
use crate::pooled::{HOLD, PID, clients, direct, pooled_with, value};
use crate::rig::{Node, Tls, connect_from, refusal, ruled, until};

/// A node whose rules the test may exchange.
async fn ruled_node(
    pg: &Pg,
    tls: &Tls,
    change: impl FnOnce(&mut Policy),
) -> (Node, watch::Sender<Arc<Policy>>) {
    let first = ruled(change).borrow().clone();
    let (rules, now) = watch::channel(first);
    (pooled_with(pg, tls, |config| config.policy = now).await, rules)
}

/// A session that goes by `name`.
async fn named(node: &Node, database: &str, name: &str) -> Client {
    let mut config = Config::new();
    config.host("127.0.0.1").port(node.address(Rw).port()).dbname(database);
    config.user("app").password(PASSWORD).application_name(name);
    let (client, session) = config.connect(NoTls).await.expect("let in");
    tokio::spawn(session);
    client
}

type Asked = JoinHandle<Result<Vec<SimpleQueryMessage>, Error>>;

/// `count` clients that wait for a lock, each with a server.
async fn blocked(node: &Node, name: &str, count: usize) -> Vec<Asked> {
    let mut asked = Vec::new();
    for _ in 0..count {
        let client = named(node, "postgres", name).await;
        asked.push(tokio::spawn(async move {
            client.simple_query("select pg_advisory_xact_lock(1)").await
        }));
    }
    asked
}

/// Waits until so many backends wait for the lock.
async fn until_blocked(control: &Client, count: usize) {
    let sql = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
    until("backends wait for a lock", async || {
        let there = value(control, sql).await;
        if there == count.to_string() { Ok(()) } else { Err(format!("{there} of {count}")) }
    })
    .await;
}

async fn backends(control: &Client, database: &str) -> usize {
    let sql = format!(
        "select count(*) from pg_stat_activity where backend_type = 'client backend' \
         and datname = '{database}' and pid <> pg_backend_pid()"
    );
    value(control, &sql).await.parse().expect("a number")
}

fn code(error: &Error) -> &str {
    error.code().map_or("none", |code| code.code())
}

#[tokio::test]
async fn what_is_guaranteed_to_a_class_is_there_while_jobs_hold_the_rest() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let first = ClassRule {
        name: "consultation".to_owned(),
        guaranteed: 50,
        weight: 3,
        application_names: vec!["consultation".to_owned()],
        ..ClassRule::default()
    };
    let change = |policy: &mut Policy| {
        policy.pool.size = 4;
        policy.classes.insert(0, first);
    };
    let (node, _rules) = ruled_node(&pg, &tls, change).await;
    let control = direct(&pg).await;
    value(&control, "select pg_advisory_lock(1)").await;
    let asks = named(&node, "postgres", "consultation").await;
    let jobs = blocked(&node, "jobs", 8).await;
    until_blocked(&control, 2).await;
    for _ in 0..20 {
        assert_eq!(value(&asks, "select 1 from pg_sleep(0.001)").await, "1");
    }
    until_blocked(&control, 2).await;
    // Nothing is kept for a class that nobody is of.
    drop(asks);
    until_blocked(&control, 4).await;
    value(&control, "select pg_advisory_unlock(1)").await;
    for job in join_all(jobs).await {
        job.expect("joined").expect("in the end each has its turn");
    }
}

#[tokio::test]
async fn a_limit_that_databases_share_is_kept_and_idle_servers_make_room() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let control = direct(&pg).await;
    value(&control, "create database other").await;
    let change = |policy: &mut Policy| {
        policy.pool.size = 3;
        policy.servers_max = Some(3);
    };
    let (node, rules) = ruled_node(&pg, &tls, change).await;
    let busy = async |clients: &[Client]| {
        join_all(clients.iter().map(|c| value(c, "select 1 from pg_sleep(0.05)"))).await
    };
    let mut ones = Vec::new();
    let mut twos = Vec::new();
    for _ in 0..4 {
        ones.push(named(&node, "postgres", "one").await);
        twos.push(named(&node, "other", "two").await);
    }
    for _ in 0..3 {
        busy(&ones).await;
        busy(&twos).await;
        let there = (backends(&control, "postgres").await, backends(&control, "other").await);
        assert!(there.1 == 3, "{there:?}");
    }
    // A limit of the database's own, while it is served.
    let mut policy = Policy::clone(&rules.borrow());
    policy.servers_max = None;
    policy.databases.insert("other".to_owned(), Own { size: Some(1), ..Own::default() });
    rules.send_replace(Arc::new(policy));
    until("fewer servers for one database", async || {
        busy(&ones).await;
        let sql = "select pg_backend_pid() from pg_sleep(0.01)";
        let pids = join_all(twos.iter().map(|client| value(client, sql))).await;
        let pids: std::collections::BTreeSet<_> = pids.into_iter().collect();
        if pids.len() == 1 { Ok(()) } else { Err(format!("{pids:?}")) }
    })
    .await;
}

#[tokio::test]
async fn a_reserve_is_for_those_who_have_waited() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let change = |policy: &mut Policy| {
        policy.pool.size = 1;
        policy.pool.reserve = 1;
        policy.pool.reserve_wait = Duration::from_millis(200);
    };
    let (node, _rules) = ruled_node(&pg, &tls, change).await;
    let [holds, waits, more] = &clients(&node, 3).await[..] else { panic!("three clients") };
    value(holds, HOLD).await;
    let first = value(holds, PID).await;
    value(waits, "begin").await;
    assert_ne!(value(waits, PID).await, first);
    let third = more.simple_query("select 1");
    let waited = tokio::time::timeout(Duration::from_millis(500), third).await;
    assert!(waited.is_err(), "there is one of the reserve");
    value(holds, "commit").await;
    value(waits, "commit").await;
}

#[tokio::test]
async fn bounds_in_time_cancel_a_statement_and_end_who_idles() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let change = |policy: &mut Policy| {
        policy.pool.times.query = Some(Duration::from_millis(300));
        policy.pool.times.idle_transaction = Some(Duration::from_millis(300));
        policy.pool.times.transaction = Some(Duration::from_secs(1));
    };
    let (node, rules) = ruled_node(&pg, &tls, change).await;
    let [one, two, three] = &clients(&node, 3).await[..] else { panic!("three clients") };
    let error = one.simple_query("select pg_sleep(60)").await.expect_err("cancelled");
    assert_eq!(code(&error), "57014", "{error:?}");
    assert_eq!(value(one, "select 1").await, "1", "and the client stays");
    value(two, "begin").await;
    until(
        "it is ended",
        async || {
            if two.is_closed() { Ok(()) } else { Err("an open session".to_owned()) }
        },
    )
    .await;
    value(three, "begin").await;
    let ended = async {
        loop {
            if let Err(error) = three.simple_query("select pg_sleep(0.1)").await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(20), ended).await.expect("ended");
    assert!(code(&error) == "25P04" || error.is_closed(), "{error:?}");
    let mut policy = Policy::clone(&rules.borrow());
    policy.pool.times.client_idle = Some(Duration::from_millis(200));
    rules.send_replace(Arc::new(policy));
    until(
        "it is ended",
        async || {
            if one.is_closed() { Ok(()) } else { Err("an open session".to_owned()) }
        },
    )
    .await;
}

#[tokio::test]
async fn servers_go_when_they_are_old_or_unused_and_some_are_kept() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let change = |policy: &mut Policy| {
        policy.pool.size = 3;
        policy.pool.times.server_idle = Some(Duration::from_millis(100));
    };
    let (node, rules) = ruled_node(&pg, &tls, change).await;
    let control = direct(&pg).await;
    let [one] = &clients(&node, 1).await[..] else { panic!("a client") };
    let first = value(one, PID).await;
    let all = async |count: usize| {
        until("so many servers", async || {
            // One reads verifiers.
            let there = backends(&control, "postgres").await - 1;
            if there == count { Ok(()) } else { Err(format!("{there} of {count}")) }
        })
        .await;
    };
    all(0).await;
    let mut policy = Policy::clone(&rules.borrow());
    policy.pool.min = 2;
    rules.send_replace(Arc::new(policy.clone()));
    all(2).await;
    policy.pool.times.server_idle = None;
    policy.pool.times.server_lifetime = Some(Duration::from_millis(100));
    rules.send_replace(Arc::new(policy));
    until("another server", async || {
        let now = value(one, PID).await;
        if now == first { Err(now) } else { Ok(()) }
    })
    .await;
}

/// As one whose machine has gone without a word.
#[tokio::test]
async fn a_server_that_does_not_answer_any_more_is_replaced_before_its_client_notices() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let change = |policy: &mut Policy| {
        policy.pool.size = 1;
        policy.pool.times.server_check = Some(Duration::ZERO);
    };
    let (node, _rules) = ruled_node(&pg, &tls, change).await;
    let one = &clients(&node, 1).await[0];
    one.batch_execute("set work_mem = '7MB'").await.expect("set");
    let first = value(one, PID).await;
    // Between statements it is asked, and answers.
    assert_eq!(value(one, PID).await, first);
    let backend = Pid::from_raw(first.parse().expect("a number"));
    kill(backend, Signal::SIGSTOP).expect("stopped");
    one.batch_execute("begin").await.expect("answered at once");
    assert_ne!(value(one, PID).await, first);
    assert_eq!(value(one, "show work_mem").await, "7MB");
    one.batch_execute("rollback").await.expect("it was a transaction");
    kill(backend, Signal::SIGCONT).expect("goes on, and finds that nobody is there");
}

#[tokio::test]
async fn more_clients_than_are_allowed_are_refused_and_more_requests_too() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let change = |policy: &mut Policy| {
        policy.pool.size = 1;
        policy.waiting_max = 1;
        policy.address_clients_max = Some(1);
        policy.roles.insert("app".to_owned(), Own { clients_max: Some(4), ..Own::default() });
    };
    let (node, _rules) = ruled_node(&pg, &tls, change).await;
    let from = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
    let mut all = Vec::new();
    for last in 1..=4 {
        all.push(connect_from(from(last), node.address(Rw)).await.expect("let in"));
    }
    let refused = refusal(connect_from(from(5), node.address(Rw)).await);
    assert_eq!(refused, "FATAL 53300: too many clients of role \"app\"");
    all.pop();
    until("its place is free", async || match connect_from(from(1), node.address(Rw)).await {
        Err(error) if code(&error) == "53300" => {
            let message = error.as_db_error().map(|db| db.message().to_owned());
            match message.as_deref() {
                Some("too many clients of address \"127.0.0.1\"") => Ok(()),
                other => Err(format!("{other:?}")),
            }
        }
        other => Err(format!("{:?}", other.map(|_| ()))),
    })
    .await;
    let [holds, waits, more] = &all[..] else { panic!("three clients") };
    value(holds, HOLD).await;
    // Which of the two comes first is not said.
    let ask = async |client: &Client| {
        let answer = client.simple_query("select 1").await;
        if answer.is_err() {
            value(holds, "commit").await;
        }
        answer.err().map(|error| code(&error).to_owned())
    };
    let (one, two) = tokio::join!(ask(waits), ask(more));
    assert_eq!(one.clone().xor(two.clone()).as_deref(), Some("53300"), "{one:?}, {two:?}");
}

#[tokio::test]
async fn a_pool_may_refuse_what_cannot_leave_its_server_or_pin_settings() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let change = |policy: &mut Policy| policy.pool.leaves = Leaves::Reject;
    let (node, rules) = ruled_node(&pg, &tls, change).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    value(one, "set work_mem = '9MB'").await;
    assert_eq!(value(one, "show work_mem").await, "9MB");
    two.simple_query("listen news").await.expect("its own answer comes first");
    // What it says before its session has been looked at is answered.
    until("it is refused", async || match two.simple_query("select 1").await {
        Ok(_) => Err("an answer".to_owned()),
        Err(error) if code(&error) == "0A000" || error.is_closed() => Ok(()),
        Err(error) => Err(format!("{error:?}")),
    })
    .await;
    let mut policy = Policy::clone(&rules.borrow());
    policy.pool.leaves = Leaves::Pin;
    policy.pool.size = 1;
    rules.send_replace(Arc::new(policy));
    let [three] = &clients(&node, 1).await[..] else { panic!("a client") };
    value(three, "set work_mem = '7MB'").await;
    let other = tokio::time::timeout(Duration::from_millis(300), one.simple_query("select 1"));
    assert!(other.await.is_err(), "the only server is kept");
    value(three, "reset work_mem").await;
}

#[tokio::test]
async fn a_smaller_pool_lets_servers_go_that_nobody_uses() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let (node, rules) = ruled_node(&pg, &tls, |policy| policy.pool.size = 3).await;
    let control = direct(&pg).await;
    let all = clients(&node, 3).await;
    join_all(all.iter().map(|client| value(client, "select 1 from pg_sleep(0.2)"))).await;
    let mut policy = Policy::clone(&rules.borrow());
    policy.pool.size = 1;
    rules.send_replace(Arc::new(policy));
    until("one is left", async || {
        // One reads verifiers.
        let there = backends(&control, "postgres").await - 1;
        if there == 1 { Ok(()) } else { Err(there.to_string()) }
    })
    .await;
    assert_eq!(value(&all[0], "select 1").await, "1");
}

#[tokio::test]
async fn databases_that_share_one_server_take_it_from_each_other_whoever_comes_and_goes() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let control = direct(&pg).await;
    value(&control, "create database other").await;
    let change = |policy: &mut Policy| {
        policy.pool.reserve = 1;
        policy.servers_max = Some(1);
    };
    let (node, _rules) = ruled_node(&pg, &tls, change).await;
    let stays = named(&node, "postgres", "stays").await;
    for round in 0..60_u64 {
        let other = named(&node, "other", "other");
        // It goes at any moment: before it is in, while its server is dialled, afterwards.
        let _ = tokio::time::timeout(Duration::from_millis(round % 20), async {
            value(&other.await, "select 1").await
        })
        .await;
        assert_eq!(value(&stays, "select 1").await, "1");
    }
}

#[tokio::test]
async fn statements_of_one_client_are_bounded_and_a_server_that_is_kept_forgets_some() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let session = |policy: &mut Policy| policy.pool.mode = howdah_spec::PoolMode::Session;
    let (node, _rules) = ruled_node(&pg, &tls, session).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    for number in 0..600 {
        drop(one.prepare(&format!("select {number}")).await.expect("prepared"));
    }
    let kept = value(one, "select count(*) from pg_prepared_statements").await;
    assert!(kept.parse::<u32>().expect("a number") <= 501, "{kept}");
    let mut all = Vec::new();
    let refused = loop {
        let long = "x".repeat(900_000);
        match two.prepare(&format!("select '{}{long}'", all.len())).await {
            Ok(statement) => all.push(statement),
            Err(error) => break error,
        }
        assert!(all.len() < 100, "no bound");
    };
    assert!(code(&refused) == "54000" || refused.is_closed(), "{refused:?}");
    assert_eq!(value(one, "select 1").await, "1");
}
