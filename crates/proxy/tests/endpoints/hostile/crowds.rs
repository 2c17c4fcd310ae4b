//! Thousands who mean no good, and a few who do: those are served, and new ones let in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use howdah_proxy::Endpoint::Rw;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::openings::noise;
use super::{LONG, log_in, packet, startup, to_address, to_node, until_end, zeros};
use crate::pg::Pg;
use crate::pooled::{clients, pooled_with, value};
use crate::rig::{Tls, connect, ruled};

/// Transactions of one client, one after the other, until it is told to stop.
struct Work {
    done: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Work {
    fn begin(client: Client) -> Work {
        let (done, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counts, stops) = (done.clone(), stop.clone());
        let task = tokio::spawn(async move {
            while !stops.load(Ordering::Relaxed) {
                let one = value(&client, "begin; select 1; commit");
                assert_eq!(timeout(LONG, one).await.expect("an answer"), "1");
                counts.fetch_add(1, Ordering::Relaxed);
            }
        });
        Work { done, stop, task }
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// One more is done after now.
    async fn goes_on(&self) {
        let before = self.done();
        let more = async {
            while self.done() == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, more).await.expect("it is served");
    }

    async fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("no panic");
        self.done.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_byte_a_second_takes_nobodys_place_and_is_cut() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |config| config.clients_max = 2).await;
    let first = startup(&zeros("user|app|database|postgres|application_name|a long name||"));
    let mut slow = JoinSet::new();
    for _ in 0..20 {
        let (mut tcp, first) = (to_node(&node).await, first.clone());
        slow.spawn(async move {
            let dribbles = async {
                let (mut reads, mut writes) = tcp.split();
                let dribble = async {
                    for byte in &first {
                        if writes.write_all(&[*byte]).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                    panic!("all of it was waited for");
                };
                let mut rest = Vec::new();
                tokio::select! {
                    () = dribble => {}
                    _ = tokio::io::AsyncReadExt::read_to_end(&mut reads, &mut rest) => {}
                }
            };
            timeout(LONG, dribbles).await.expect("it is cut");
        });
    }
    let good = clients(&node, 2).await;
    for client in good {
        assert_eq!(value(&client, "select 1").await, "1");
    }
    while let Some(cut) = slow.join_next().await {
        cut.expect("no panic");
    }
}

#[tokio::test]
async fn two_thousand_that_say_nothing_push_each_other_out() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |_| {}).await;
    let work = Work::begin(clients(&node, 1).await.remove(0));
    let mut silent: Vec<TcpStream> = Vec::new();
    for number in 0..2_000 {
        let mut tcp = to_node(&node).await;
        // Nothing, or the beginning of something.
        tcp.write_all(&b"\0\0\0\x40\0\x03\0\0user"[..number % 13]).await.expect("sent");
        silent.push(tcp);
        if number % 500 == 499 {
            let comes = timeout(LONG, connect(node.address(Rw))).await.expect("not kept waiting");
            let comes = comes.expect("let in");
            assert_eq!(value(&comes, "select 1").await, "1");
            work.goes_on().await;
        }
    }
    // Whoever has waited longest has gone.
    until_end(&mut silent[0]).await;
    work.goes_on().await;
    assert!(work.end().await > 4);
}

#[tokio::test]
async fn more_good_clients_than_there_is_room_for_at_once_all_log_in() {
    const GOOD: usize = 700;
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |config| {
        config.clients_max = 800;
        config.policy = ruled(|policy| policy.pool.times.wait = LONG);
    })
    .await;
    let mut all = Vec::new();
    for _ in 0..GOOD {
        all.push(to_node(&node).await);
    }
    let first = startup(&zeros("user|app|database|postgres||"));
    let mut logins = JoinSet::new();
    for mut tcp in all {
        let first = first.clone();
        // It stays when it is in.
        logins.spawn(async move { (log_in(&mut tcp, &first).await, tcp) });
    }
    let heard = timeout(LONG, logins.join_all()).await.expect("not kept waiting");
    assert!(
        heard.iter().all(|(last, _)| last == "Z"),
        "{:?}",
        heard.iter().find(|(l, _)| l != "Z")
    );
}

#[tokio::test]
async fn a_storm_of_bad_logins_stops_nobody() {
    const BAD: usize = 2_000;
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |config| {
        config.clients_max = 60;
        config.policy = ruled(|policy| policy.pool.times.wait = LONG);
    })
    .await;
    let work = Work::begin(clients(&node, 1).await.remove(0));
    let address = node.address(Rw);
    let mut storm = JoinSet::new();
    for of in 0..40 {
        storm.spawn(async move {
            for number in 0..BAD / 40 {
                bad_login(address, of + number).await;
            }
        });
    }
    let comes = async {
        for _ in 0..5 {
            let comes = timeout(LONG, connect(address)).await.expect("not kept waiting");
            assert_eq!(value(&comes.expect("let in"), "select 1").await, "1");
            work.goes_on().await;
        }
    };
    let ends = async {
        while let Some(ended) = storm.join_next().await {
            ended.expect("no panic");
        }
    };
    tokio::join!(comes, ends);
    work.goes_on().await;
    assert!(work.end().await > 6);
}

/// A wrong password, somebody whom nobody knows, or noise in place of an answer.
async fn bad_login(address: std::net::SocketAddr, number: usize) {
    if number.is_multiple_of(4) {
        let mut tcp = to_address(address).await;
        let first = startup(&zeros("user|app|database|postgres||"));
        let _ = tcp.write_all(&[first, noise(number as u64, 40)].concat()).await;
        return until_end(&mut tcp).await;
    }
    let user = if number.is_multiple_of(2) { "app" } else { "nobody" };
    let mut config = tokio_postgres::Config::new();
    config.user(user).password("wrong").dbname("postgres");
    let tcp = to_address(address).await;
    let refused = timeout(LONG, config.connect_raw(tcp, tokio_postgres::NoTls)).await;
    let refused = refused.expect("an answer").err().expect("refused");
    let code = refused.as_db_error().map(|error| error.code().code().to_owned());
    assert_eq!(code.as_deref(), Some("28P01"), "{refused:?}");
}

#[tokio::test]
async fn thousands_of_keys_cancel_nobodys_statement() {
    let (pg, tls) = (Pg::start(), Tls::new());
    let node = pooled_with(&pg, &tls, |_| {}).await;
    let runs = clients(&node, 1).await.remove(0);
    let address = node.address(Rw);
    let statement = tokio::spawn(async move { value(&runs, "select 7 from pg_sleep(1)").await });
    let mut storm = JoinSet::new();
    for of in 0..40_u64 {
        storm.spawn(async move {
            for number in 0..50 {
                let seed = of * 50 + number;
                // The number of a process that is there, and a key that is not its.
                let key = [&[0, 0, 0, (seed % 4) as u8], &noise(seed, seed as usize % 260)[..]];
                let said = packet(&[&[0x04, 0xd2, 0x16, 0x2e], &key.concat()[..]].concat());
                let mut tcp = to_address(address).await;
                let _ = tcp.write_all(&said).await;
                until_end(&mut tcp).await;
            }
        });
    }
    while let Some(ended) = storm.join_next().await {
        ended.expect("no panic");
    }
    let kept = timeout(LONG, statement).await.expect("an answer").expect("no panic");
    assert_eq!(kept, "7");
    let good = clients(&node, 1).await.remove(0);
    assert_eq!(value(&good, "select 1").await, "1");
}
