//! Statements of clients that share servers when tables change under them, when somebody takes them
//! away, and where a transaction may have only one.

use bytes::Bytes;
use futures_util::SinkExt;
use howdah_proxy::{Endpoint::Rw, ProxyConfig};
use howdah_spec::PoolMode;
use tokio_postgres::{Client, Error};

use crate::hand::{ask, session};
use crate::pg::Pg;
use crate::pooled::{clients, pooled, pooled_with, value};
use crate::raw::Raw;
use crate::rig::{Node, Tls, connect, ruled, until_cut};

/// All clients share one server.
fn one_server(config: &mut ProxyConfig) {
    config.policy = ruled(|policy| policy.pool.size = 1);
}

fn state<T>(result: Result<T, Error>) -> String {
    let error = result.err().expect("an error");
    error.code().map_or_else(|| format!("{error:?}"), |code| code.code().to_owned())
}

async fn one_with_table(pg: &Pg, tls: &Tls) -> (Node, Vec<Client>) {
    let node = pooled_with(pg, tls, one_server).await;
    let clients = clients(&node, 2).await;
    value(&clients[0], "create table t (id int); insert into t values (7)").await;
    (node, clients)
}

const ALL_OF_IT: (u8, &[u8]) = (b'P', b"all\0select * from t\0\0\0");
const BIND: (u8, &[u8]) = (b'B', b"\0all\0\0\0\0\0\0\0");
const DESCRIBE: (u8, &[u8]) = (b'D', b"P\0");
const EXECUTE: (u8, &[u8]) = (b'E', b"\0\0\0\0\0");

#[tokio::test]
async fn a_table_that_changes_costs_nobody_an_error_who_asks_what_its_rows_are() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let (node, clients) = one_with_table(&pg, &tls).await;
    let one = &mut session(&node).await;
    assert_eq!(ask(one, &[ALL_OF_IT]).await, "1 ZI");
    for column in ["a", "b"] {
        assert_eq!(ask(one, &[BIND, DESCRIBE, EXECUTE]).await, "2 T D C ZI");
        value(&clients[0], &format!("alter table t add column {column} int")).await;
    }
    assert_eq!(ask(one, &[BIND, DESCRIBE, EXECUTE]).await, "2 T D C ZI");
    // Who goes by what it was told before is to prepare it anew.
    value(&clients[0], "alter table t drop column a").await;
    assert_eq!(ask(one, &[BIND, EXECUTE]).await, "E0A000 ZI");
    assert_eq!(ask(one, &[BIND, EXECUTE]).await, "2 D C ZI");
}

#[tokio::test]
async fn in_a_transaction_the_error_passes_once() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |_| {}).await;
    let clients = clients(&node, 1).await;
    value(&clients[0], "create table t (id int); insert into t values (7)").await;
    let one = &mut session(&node).await;
    assert_eq!(ask(one, &[ALL_OF_IT]).await, "1 ZI");
    assert_eq!(ask(one, &[(b'Q', b"begin\0")]).await, "C ZT");
    assert_eq!(ask(one, &[BIND, DESCRIBE, EXECUTE]).await, "2 T D C ZT");
    assert_eq!(ask(one, &[(b'Q', b"commit; begin\0")]).await, "C C ZT");
    // On the other server.
    value(&clients[0], "alter table t add column a int").await;
    assert_eq!(ask(one, &[BIND, DESCRIBE, EXECUTE]).await, "E0A000 ZE");
    assert_eq!(ask(one, &[(b'Q', b"rollback; begin\0")]).await, "C C ZT");
    assert_eq!(ask(one, &[BIND, DESCRIBE, EXECUTE]).await, "2 T D C ZT");
    assert_eq!(ask(one, &[(b'Q', b"commit\0")]).await, "C ZI");
}

#[tokio::test]
async fn a_text_that_is_parsed_anew_means_what_it_means_now() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let (_node, clients) = one_with_table(&pg, &tls).await;
    let [one, two] = &clients[..] else { panic!("two clients") };
    let columns = async |client: &Client| {
        let rows = client.query_typed("select * from t", &[]).await.expect("a row");
        rows[0].len()
    };
    assert_eq!(columns(one).await, 1);
    value(two, "alter table t add column a int").await;
    assert_eq!(columns(one).await, 2, "by another session");
    value(one, "begin; alter table t add column b int").await;
    assert_eq!(columns(one).await, 3, "by its own, in the middle of a transaction");
    value(one, "rollback").await;
    assert_eq!(columns(one).await, 2);
    value(one, "begin").await;
    assert_eq!(columns(one).await, 2);
    value(one, "commit").await;
}

#[tokio::test]
async fn what_a_client_deallocates_is_its_own() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let (node, clients) = one_with_table(&pg, &tls).await;
    let (one, two) = (&mut session(&node).await, &mut session(&node).await);
    for session in [&mut *one, &mut *two] {
        assert_eq!(ask(session, &[ALL_OF_IT, BIND, EXECUTE]).await, "1 2 D C ZI");
    }
    let named = "select count(*) from pg_prepared_statements where name = 'all'";
    assert_eq!(value(&clients[0], named).await, "0", "servers' names are others");
    let gone = (b'Q', &b"deallocate \"all\"\0"[..]);
    assert_eq!(ask(one, &[gone]).await, "C ZI");
    assert_eq!(ask(one, &[BIND, EXECUTE]).await, "E26000 ZI");
    assert_eq!(ask(one, &[gone]).await, "E26000 ZI");
    assert_eq!(ask(two, &[BIND, EXECUTE]).await, "2 D C ZI", "it is another client's");
    // By messages, with more behind it in the same batch.
    let parse = (b'P', &b"\0deallocate \"all\"\0\0\0"[..]);
    let bind = (b'B', &b"\0\0\0\0\0\0\0\0"[..]);
    let asked = [ALL_OF_IT, parse, bind, EXECUTE, ALL_OF_IT, BIND, EXECUTE];
    assert_eq!(ask(one, &asked).await, "1 1 2 C 1 2 D C ZI");
    let parse = (b'P', &b"\0deallocate all\0\0\0"[..]);
    let asked = [parse, bind, EXECUTE, ALL_OF_IT, BIND, EXECUTE];
    assert_eq!(ask(one, &asked).await, "1 2 C 1 2 D C ZI");
    assert_eq!(ask(one, &[BIND, EXECUTE]).await, "2 D C ZI");
    assert_eq!(ask(two, &[BIND, EXECUTE]).await, "2 D C ZI", "prepared anew for the other");
    assert_eq!(ask(two, &[(b'Q', b"discard all\0")]).await, "C ZI");
    assert_eq!(ask(two, &[BIND, EXECUTE]).await, "E26000 ZI");
    assert_eq!(ask(one, &[BIND, EXECUTE]).await, "2 D C ZI");
}

#[tokio::test]
async fn what_a_client_deallocates_among_other_statements_is_its_own() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let (node, clients) = one_with_table(&pg, &tls).await;
    let (one, two) = (&mut session(&node).await, &mut session(&node).await);
    for session in [&mut *one, &mut *two] {
        assert_eq!(ask(session, &[ALL_OF_IT]).await, "1 ZI");
    }
    let gone = (b'Q', &b"select ';'; deallocate \"all\"; select 2\0"[..]);
    assert_eq!(ask(one, &[gone]).await, "T D C C T D C ZI");
    assert_eq!(ask(one, &[BIND, EXECUTE]).await, "E26000 ZI");
    assert_eq!(ask(one, &[gone]).await, "T D C E26000 ZI");
    assert_eq!(ask(two, &[BIND, EXECUTE]).await, "2 D C ZI", "it is another client's");
    let named = "select count(*) from pg_prepared_statements where name = 'all'";
    assert_eq!(value(&clients[0], named).await, "0");
    // It is not come to, and the name stays; the second time it is, and nothing takes that back.
    let (fails, aborts) =
        (&b"select 1 / 0; deallocate \"all\"\0"[..], &b"deallocate \"all\"; selekt\0"[..]);
    assert_eq!(ask(two, &[(b'Q', fails)]).await, "E22012 ZI");
    assert_eq!(ask(two, &[(b'Q', aborts)]).await, "E42601 ZI");
    assert_eq!(ask(two, &[BIND, EXECUTE]).await, "2 D C ZI");
    let gone = &b"deallocate \"all\"; select 1 / 0\0"[..];
    assert_eq!(ask(two, &[(b'Q', gone)]).await, "C E22012 ZI");
    assert_eq!(ask(two, &[BIND, EXECUTE]).await, "E26000 ZI");
}

#[tokio::test]
async fn in_a_transaction_it_is_as_the_transaction_stands() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let (node, _clients) = one_with_table(&pg, &tls).await;
    let one = &mut session(&node).await;
    let gone = (b'Q', &b"deallocate \"all\"; select 2\0"[..]);
    assert_eq!(ask(one, &[ALL_OF_IT, (b'Q', b"begin\0")]).await, "1 C ZT");
    assert_eq!(ask(one, &[(b'Q', b"select 1 / 0\0")]).await, "E22012 ZE");
    assert_eq!(ask(one, &[gone]).await, "E25P02 ZE");
    assert_eq!(ask(one, &[(b'Q', b"rollback\0")]).await, "C ZI");
    assert_eq!(ask(one, &[BIND, EXECUTE]).await, "2 D C ZI");
    assert_eq!(ask(one, &[(b'Q', b"begin\0")]).await, "C ZT");
    assert_eq!(ask(one, &[gone]).await, "C T D C ZT");
    assert_eq!(ask(one, &[(b'Q', b"commit\0")]).await, "C ZI");
    assert_eq!(ask(one, &[BIND, EXECUTE]).await, "E26000 ZI");
}

#[tokio::test]
async fn a_statement_that_another_client_takes_away_is_prepared_anew() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, one_server).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    let mine = one.prepare("select $1::int + 1").await.expect("prepared");
    let more = one.prepare("select $1::int + 2").await.expect("prepared");
    assert_eq!(state(two.simple_query("deallocate howdah_00000001").await), "26000");
    // In one session whoever is in it can look.
    let look = "select name from pg_prepared_statements where name ~ '^howdah_' order by 1 limit 1";
    for _ in 0..2 {
        let name = value(two, look).await;
        assert_eq!(name.len(), 23, "{name}");
        value(two, &format!("deallocate \"{name}\"")).await;
    }
    for statement in [&mine, &more] {
        one.query_one(statement, &[&1_i32]).await.expect("the client hears nothing of it");
    }
    value(two, "do $$ begin execute 'deallocate all'; end $$").await;
    for statement in [&mine, &more] {
        one.query_one(statement, &[&1_i32]).await.expect("the client hears nothing of it");
    }
}

#[tokio::test]
async fn a_copy_that_fails_leaves_everybody_well() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let (_node, clients) = one_with_table(&pg, &tls).await;
    let [one, two] = &clients[..] else { panic!("two clients") };
    for _ in 0..20 {
        let sink = one.copy_in("copy t from stdin").await.expect("begun");
        let mut sink = std::pin::pin!(sink);
        // It may have failed when the last is sent, or not.
        for _ in 0..20 {
            let _ = sink.as_mut().feed(Bytes::from_static(b"no number\n")).await;
        }
        assert_eq!(state(sink.finish().await), "22P02");
        assert_eq!(value(one, "select 1").await, "1");
        assert_eq!(value(two, "select count(*) from t").await, "1");
    }
    // One that its client breaks off.
    drop(one.copy_in::<_, Bytes>("copy t from stdin").await.expect("begun"));
    assert_eq!(value(one, "select 1").await, "1");
    assert_eq!(value(two, "select count(*) from t").await, "1");
}

#[tokio::test]
async fn in_statement_mode_a_block_of_several_ends_its_client_s_session() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let statement = |config: &mut ProxyConfig| {
        config.policy = ruled(|policy| {
            policy.pool.size = 1;
            policy.pool.mode = PoolMode::Statement;
        });
    };
    let node = pooled_with(&pg, &tls, statement).await;
    let [one, two] = &clients(&node, 2).await[..] else { panic!("two clients") };
    assert_eq!(value(one, "select 1").await, "1");
    value(two, "begin; create table t (id int); commit").await;
    let _ = one.simple_query("begin").await;
    until_cut(one).await;
    assert_eq!(value(two, "select count(*) from t").await, "0");
    let three = connect(node.address(Rw)).await.expect("let in");
    let prepared = three.prepare("select $1::int").await.expect("prepared");
    three.query_one(&prepared, &[&1_i32]).await.expect("a row");
    assert_eq!(value(&three, "set work_mem = '77MB'").await, "");
    assert_eq!(value(two, "show work_mem").await, "4MB");
}

#[tokio::test]
async fn errors_call_a_statement_by_its_clients_name() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled(&pg, &tls).await;
    let mut one = Raw::connect(node.address(Rw), "app", "postgres").await.expect("let in");
    one.send(b'P', &[b"mine\0select $1::int\0\0\0"]).await;
    // It has a value, and gets none.
    one.send(b'B', &[b"\0mine\0\0\0\0\0\0\0"]).await;
    one.send(b'S', &[]).await;
    assert_eq!(one.next().await.0, b'1');
    let [_, code, said] = one.answer().await.error.expect("an error");
    assert_eq!(code, "08P01");
    let want = "bind message supplies 0 parameters, but prepared statement \"mine\" requires 1";
    assert_eq!(said, want);
}
