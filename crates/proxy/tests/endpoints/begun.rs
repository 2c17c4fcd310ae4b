//! A BEGIN that is answered at once: whoever has said nothing else holds no server, and is in a
//! transaction all the same.

use std::time::Duration;

use howdah_proxy::Endpoint::Rw;
use howdah_proxy::policy::Policy;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::timeout;

use crate::pg::Pg;
use crate::pooled::{PID, clients, direct, pooled_with, value};
use crate::raw::Raw;
use crate::rig::{Node, Tls, ruled, until};

/// Clients of one server.
pub async fn of_one(pg: &Pg, tls: &Tls, change: impl FnOnce(&mut Policy)) -> Node {
    let rules = |policy: &mut Policy| {
        policy.pool.size = 1;
        change(policy);
    };
    pooled_with(pg, tls, |config| config.policy = ruled(rules)).await
}

pub async fn session(node: &Node) -> Raw {
    Raw::connect(node.address(Rw), "app", "postgres").await.expect("let in")
}

/// Tag, SQLSTATE, or the first value.
pub async fn ask(raw: &mut Raw, sql: &str) -> String {
    let said = raw.ask(sql).await;
    match (said.error, said.rows.first()) {
        (Some([_, code, _]), _) => code,
        (None, Some(row)) => row[0].clone().unwrap_or_default(),
        (None, None) => said.tag.unwrap_or_default(),
    }
}

#[tokio::test]
async fn who_has_only_begun_holds_no_server() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = of_one(&pg, &tls, |_| {}).await;
    let (mut one, mut two) = (session(&node).await, session(&node).await);
    assert_eq!(ask(&mut one, "BEGIN").await, "BEGIN");
    assert_eq!(ask(&mut two, "start transaction isolation level serializable;").await, {
        "START TRANSACTION"
    });
    assert_eq!(ask(&mut two, "show transaction_isolation").await, "serializable");
    assert_eq!(ask(&mut two, "rollback").await, "ROLLBACK");
    assert_eq!(ask(&mut one, "create table t (a int)").await, "CREATE TABLE");
    assert_eq!(ask(&mut one, "select 1 / 0").await, "22012");
    assert_eq!(ask(&mut one, "select 1").await, "25P02");
    assert_eq!(ask(&mut one, "commit").await, "ROLLBACK");
    assert_eq!(ask(&mut two, "select count(*) from t").await, "42P01", "it was one transaction");
    assert_eq!(ask(&mut one, "begin work").await, "BEGIN");
    assert_eq!(ask(&mut one, "commit").await, "COMMIT");
    assert_eq!(ask(&mut one, "begin").await, "BEGIN");
    assert_eq!(ask(&mut two, "select 2").await, "2");
    let twice = one.ask("begin").await;
    assert_eq!(twice.notice.expect("a warning")[1], "25001");
    assert_eq!(ask(&mut one, "rollback").await, "ROLLBACK");
}

#[tokio::test]
async fn who_has_only_begun_outlives_every_server_and_waits_while_nothing_begins() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = of_one(&pg, &tls, |_| {}).await;
    let (mut one, mut two) = (session(&node).await, session(&node).await);
    let before = ask(&mut two, PID).await;
    assert_eq!(ask(&mut one, "begin").await, "BEGIN");
    node.hands_over(true);
    let control = direct(&pg).await;
    value(&control, &format!("select pg_terminate_backend({before})")).await;
    one.send(b'Q', &[b"show transaction_isolation\0"]).await;
    let early = timeout(Duration::from_millis(200), one.next()).await;
    assert!(early.is_err(), "nothing begins now");
    node.hands_over(false);
    assert_eq!(one.answer().await.rows[0][0].as_deref(), Some("read committed"));
    // Its server is lost in the middle: then it is as in any transaction.
    let pid = ask(&mut one, PID).await;
    value(&control, &format!("select pg_terminate_backend({pid})")).await;
    until("it is lost", async || {
        match &*value(&control, &format!("select count(*) from pg_stat_activity where pid = {pid}"))
            .await
        {
            "0" => Ok(()),
            other => Err(other.to_owned()),
        }
    })
    .await;
    assert_eq!(ask(&mut one, "commit").await, "57P01");
    assert!(ask(&mut one, PID).await.parse::<u32>().is_ok());
}

/// What goes alone for a comment in front of the statement, goes twice here.
#[tokio::test]
async fn who_has_begun_has_begun_although_a_server_is_lost_that_was_told_its_settings() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = of_one(&pg, &tls, |_| {}).await;
    let (mut one, mut two) = (session(&node).await, session(&node).await);
    assert_eq!(ask(&mut one, "create table kept (a int)").await, "CREATE TABLE");
    assert_eq!(ask(&mut one, "set work_mem = '7MB'").await, "SET");
    let pid = ask(&mut two, PID).await;
    assert_eq!(ask(&mut one, "begin").await, "BEGIN");
    let backend = Pid::from_raw(pid.parse().expect("a number"));
    kill(backend, Signal::SIGSTOP).expect("stopped");
    value(&direct(&pg).await, &format!("select pg_terminate_backend({pid})")).await;
    one.send(b'Q', &[b"/* shop */ insert into kept values (1)\0"]).await;
    let early = timeout(Duration::from_millis(200), one.next()).await;
    assert!(early.is_err(), "its server stands still");
    kill(backend, Signal::SIGCONT).expect("goes on");
    assert_eq!(one.answer().await.tag.as_deref(), Some("INSERT 0 1"));
    assert_eq!(ask(&mut one, "show work_mem").await, "7MB");
    assert_eq!(ask(&mut one, "rollback").await, "ROLLBACK");
    assert_eq!(ask(&mut two, "select count(*) from kept").await, "0", "it was rolled back");
}

#[tokio::test]
async fn who_leaves_behind_its_begin_leaves_nothing() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = of_one(&pg, &tls, |_| {}).await;
    let mut one = session(&node).await;
    let before = ask(&mut one, PID).await;
    assert_eq!(ask(&mut one, "begin").await, "BEGIN");
    drop(one);
    let mut two = session(&node).await;
    assert_eq!(ask(&mut two, PID).await, before, "nobody had it meanwhile");
    let control = direct(&pg).await;
    let sql = "select count(*) from pg_stat_activity where state like 'idle in transaction%'";
    assert_eq!(value(&control, sql).await, "0");
}

#[tokio::test]
async fn bounds_in_time_count_from_the_begin() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let idle = |policy: &mut Policy| {
        policy.pool.times.idle_transaction = Some(Duration::from_millis(300));
    };
    let whole = |policy: &mut Policy| {
        policy.pool.times.transaction = Some(Duration::from_millis(900));
    };
    let node = of_one(&pg, &tls, idle).await;
    let mut one = session(&node).await;
    assert_eq!(ask(&mut one, "begin").await, "BEGIN");
    let (kind, body) = one.next().await;
    assert_eq!((kind, body.windows(6).any(|it| it == b"C25P03")), (b'E', true));
    let node = of_one(&pg, &tls, whole).await;
    let mut one = session(&node).await;
    let begun = std::time::Instant::now();
    assert_eq!(ask(&mut one, "begin").await, "BEGIN");
    timeout(Duration::from_millis(600), one.next()).await.expect_err("nothing");
    assert_eq!(ask(&mut one, "select 1").await, "1");
    let (kind, body) = one.next().await;
    assert_eq!((kind, body.windows(6).any(|it| it == b"C25P04")), (b'E', true));
    assert!(begun.elapsed() < Duration::from_millis(1_400), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_transaction_that_a_server_refuses_is_aborted_and_nothing_is_done_in_it() {
    let (pg, tls) = (Pg::start(), Tls::new());
    pg.stands_by();
    let node = of_one(&pg, &tls, |_| {}).await;
    let mut one = session(&node).await;
    let count = "select count(*) from pg_settings where name = 'work_mem'";
    for end in ["rollback", "commit"] {
        assert_eq!(ask(&mut one, "begin isolation level serializable").await, "BEGIN");
        assert_eq!(ask(&mut one, count).await, "0A000");
        assert_eq!(ask(&mut one, count).await, "25P02");
        assert_eq!(ask(&mut one, end).await, "ROLLBACK");
        assert_eq!(ask(&mut one, count).await, "1");
    }
    assert_eq!(ask(&mut one, "begin read write").await, "BEGIN");
    assert_eq!(ask(&mut one, "commit").await, "0A000", "it must not pass for done");
    assert_eq!(ask(&mut one, "begin read only").await, "BEGIN");
    assert_eq!(ask(&mut one, count).await, "1");
    assert_eq!(ask(&mut one, "commit").await, "COMMIT");
}

#[tokio::test]
async fn whoever_prepares_its_begin_holds_no_server_either() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = of_one(&pg, &tls, |_| {}).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    let begin = one.prepare("begin").await.expect("prepared");
    for _ in 0..2 {
        one.execute(&begin, &[]).await.expect("begun");
        assert_eq!(value(two, "select 2").await, "2");
        assert_eq!(value(one, "select 1").await, "1");
        one.batch_execute("commit").await.expect("ended");
    }
}
