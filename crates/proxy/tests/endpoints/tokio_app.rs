//! tokio-postgres as applications use it: pipelined by itself, statements, portals, COPY, notices,
//! notifications, cancel.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use tokio::sync::mpsc;
use tokio_postgres::error::SqlState;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use crate::pg::PASSWORD;
use crate::pooled::value;
use crate::rig::{cancel, until};

/// More than there are servers in transaction mode.
const CLIENTS: i32 = 6;

/// All of it, in that database.
pub async fn works(at: SocketAddr, database: &str) {
    let session = || session(at, database);
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(session().await.0);
    }
    join_all(clients.iter().zip(0..).map(|(client, number)| statements(client, number))).await;
    join_all(clients.iter_mut().zip(0..).map(|(client, number)| portals(client, number))).await;
    copies(&clients[0]).await;
    let (hears, heard) = session().await;
    messages(&hears, heard, &clients[1]).await;
    cancelled(at, &clients[2], &clients[3]).await;
}

async fn session(
    at: SocketAddr,
    database: &str,
) -> (Client, mpsc::UnboundedReceiver<AsyncMessage>) {
    let mut config = Config::new();
    config.host("127.0.0.1").port(at.port()).user("app").password(PASSWORD).dbname(database);
    let (client, mut connection) = config.connect(NoTls).await.expect("let in");
    let (tell, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            let _ = tell.send(message);
        }
    });
    (client, heard)
}

async fn statements(client: &Client, number: i32) {
    let own = client.prepare(&format!("select {number} + $1::int")).await.expect("prepared");
    let fails = client.prepare("select 1 / $1::int").await.expect("prepared");
    let asked = (0..50_i32).map(async |turn| {
        let fails = client.query_one(&fails, &[&(turn % 2)]).await;
        let row = client.query_one(&own, &[&turn]).await.expect("an answer");
        let row: i32 = row.get(0);
        let state = fails.as_ref().err().and_then(|error| error.code()).cloned();
        (row, state == Some(SqlState::DIVISION_BY_ZERO))
    });
    let answers = join_all(asked).await;
    let wanted: Vec<_> = (0..50).map(|turn| (number + turn, turn % 2 == 0)).collect();
    assert_eq!(answers, wanted);
}

async fn portals(client: &mut Client, number: i32) {
    let transaction = client.transaction().await.expect("begun");
    let sql = "select g * $1::int from generate_series(1, 100) g";
    let portal = transaction.bind(sql, &[&number]).await.expect("bound");
    let mut rows = Vec::new();
    loop {
        let some = transaction.query_portal(&portal, 30).await.expect("rows");
        if some.is_empty() {
            break;
        }
        rows.extend(some.iter().map(|row| row.get::<_, i32>(0)));
    }
    assert_eq!(rows, (1..=100).map(|g| g * number).collect::<Vec<_>>());
    transaction.rollback().await.expect("rolled back");
}

async fn copies(client: &Client) {
    value(client, "create table copied6 (n int, t text)").await;
    let sink = client.copy_in("copy copied6 from stdin").await.expect("begun");
    let mut sink = std::pin::pin!(sink);
    let lines = (0..10_000).map(|n| Ok(Bytes::from(format!("{n}\t{}\n", "r".repeat(n % 50)))));
    sink.as_mut().send_all(&mut stream::iter(lines)).await.expect("sent");
    assert_eq!(sink.finish().await.expect("copied"), 10_000);
    let bad = client.copy_in::<_, Bytes>("copy copied6 from stdin").await.expect("begun");
    let mut bad = std::pin::pin!(bad);
    bad.send(Bytes::from_static(b"x\ty\n")).await.expect("sent");
    let error = bad.finish().await.expect_err("no number");
    assert_eq!(error.code(), Some(&SqlState::INVALID_TEXT_REPRESENTATION));
    // Dropped before its end.
    drop(client.copy_in::<_, Bytes>("copy copied6 from stdin").await.expect("begun"));
    let out = client.copy_out("copy copied6 to stdout").await.expect("begun");
    let pieces: Vec<_> = out.try_collect().await.expect("pieces");
    assert_eq!(pieces.iter().filter(|piece| piece.ends_with(b"\n")).count(), 10_000);
    value(client, "drop table copied6").await;
}

async fn messages(hears: &Client, mut heard: mpsc::UnboundedReceiver<AsyncMessage>, says: &Client) {
    value(hears, "listen tokio; do $$ begin raise notice 'here'; end $$").await;
    value(says, "notify tokio, 'there'").await;
    match heard.recv().await {
        Some(AsyncMessage::Notice(notice)) => assert_eq!(notice.message(), "here"),
        other => panic!("no notice: {other:?}"),
    }
    match heard.recv().await {
        Some(AsyncMessage::Notification(note)) => assert_eq!(note.payload(), "there"),
        other => panic!("no notification: {other:?}"),
    }
    // Who listens keeps a server.
    value(hears, "unlisten tokio").await;
}

async fn cancelled(at: SocketAddr, client: &Client, other: &Client) {
    let token = client.cancel_token();
    let sleeps = client.simple_query("select pg_sleep(65)");
    let cancels = async {
        let seen = "select count(*) from pg_stat_activity \
                    where query = 'select pg_sleep(65)' and state = 'active'";
        until("it sleeps", async || match &*value(other, seen).await {
            "1" => Ok(()),
            other => Err(other.to_owned()),
        })
        .await;
        cancel(at, &token).await;
    };
    let (slept, ()) = tokio::join!(sleeps, cancels);
    assert_eq!(slept.expect_err("cancelled").code(), Some(&SqlState::QUERY_CANCELED));
    assert_eq!((&*value(client, "select 1").await, &*value(other, "select 2").await), ("1", "2"));
}
