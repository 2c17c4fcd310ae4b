//! The receiver on real servers: what is in the repository is what the server wrote.

use std::time::Duration;

use howdah_archive::receive::{self, Cluster, Command, Receiver, Server};
use howdah_base::{History, Lsn, Position, Tick, Timeline, WalFile};
use howdah_postgres::PgError;
use howdah_postgres::replication::{Client, Event, Start, Stream};
use howdah_testkit::{Load, PgNode, majors, wait};
use tokio::time::{Instant, timeout, timeout_at};

use crate::repository::Repository;

const SLOT: &str = "howdah_archive";

#[test]
fn under_load_every_segment_arrives_byte_for_byte() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").set("wal_sender_timeout = '1s'").start();
        run(async {
            let mut shell = Shell::begin(&node).await;
            let load = meanwhile(|| Load::on(&node, 4));
            for _ in 0..4 {
                let end = meanwhile(|| switch(&node));
                shell.until(&node, end).await.expect("it streams");
                // What the server was told is never more than what is durable.
                let told = "select coalesce(max(flush_lsn), '0/0') from pg_stat_replication";
                let told = meanwhile(|| lsn(&node, told));
                assert!(told <= shell.reported(), "{told}");
            }
            meanwhile(|| load.ends());
            let end = meanwhile(|| lsn(&node, "select pg_current_wal_flush_lsn()"));
            shell.until(&node, end).await.expect("it streams");
            assert!(shell.compare(&node, Timeline(1), end) >= 4);
            let chunks: usize = shell.repository.chunks.values().map(|chunks| chunks.len()).sum();
            assert!(
                shell.repository.chunks.len() <= 1,
                "chunks of whole segments are left: {chunks}"
            );
        });
    });
}

#[test]
fn a_killed_server_costs_nothing_and_nothing_is_put_twice() {
    majors::each(|mut node| {
        node.set("wal_keep_size = '1GB'").start();
        run(async {
            let mut shell = Shell::begin(&node).await;
            let load = meanwhile(|| Load::on(&node, 30));
            let end = meanwhile(|| switch(&node));
            shell.until(&node, end).await.expect("it streams");
            meanwhile(|| {
                node.kill9();
                drop(load);
            });
            let error = shell.until(&node, Lsn(u64::MAX)).await.expect_err("it is gone");
            assert!(matches!(error, PgError::Lost(_)), "{error}");
            meanwhile(|| node.start());
            shell.receiver.resume();
            let end = meanwhile(|| switch(&node));
            shell.until(&node, end).await.expect("it streams again");
            assert!(shell.compare(&node, Timeline(1), end) >= 2);
        });
    });
}

#[test]
fn a_promotion_is_followed_with_its_history_first() {
    majors::each(|mut node| {
        node.start();
        let mut standby = node.standby();
        standby.set("wal_keep_size = '1GB'").start();
        run(async {
            let mut shell = Shell::begin(&standby).await;
            let end = meanwhile(|| {
                node.query("create table t as select generate_series(1, 100000)");
                let end = lsn(&node, "select pg_current_wal_lsn()");
                let replayed = format!("select pg_last_wal_replay_lsn() >= '{end}'");
                let there = || (standby.query(&replayed) == ["t"]).then_some(());
                wait::until("it is there", Duration::from_secs(30), there, String::new);
                node.stop();
                standby.query("select pg_promote()");
                standby.query("create table u as select generate_series(1, 100000)");
                switch(&standby)
            });
            shell.until(&standby, end).await.expect("it streams");
            let history = shell.repository.histories.get(&2).expect("the history");
            let text = String::from_utf8(history.clone()).expect("text");
            let history = History::parse(Timeline(2), &text).expect("a history");
            let switchpoint = history.forks[0].1;
            shell.first = Lsn(switchpoint.0 / shell.segment * shell.segment);
            assert!(shell.compare(&standby, Timeline(2), end) >= 1);
            // The old timeline's last segment is there up to the switchpoint, and no further.
            let old = WalFile::of(Timeline(1), switchpoint, shell.segment);
            let kept = shell.repository.segment(&old);
            assert_eq!(kept.len() as u64, switchpoint.0 % shell.segment);
            let new = WalFile::of(Timeline(2), switchpoint, shell.segment);
            assert!(shell.repository.segment(&new).starts_with(&kept));
        });
    });
}

#[test]
fn a_slot_that_was_given_up_leaves_a_gap_that_is_recorded() {
    majors::each(|mut node| {
        node.start();
        run(async {
            let mut shell = Shell::begin(&node).await;
            let end = meanwhile(|| switch(&node));
            shell.until(&node, end).await.expect("it streams");
            let ends = receive::Repository { end, history: History::root(Timeline(1)) };
            shell.stop(&node).await;
            meanwhile(|| {
                for _ in 0..3 {
                    node.query("select pg_logical_emit_message(true, 'a', 'b')");
                    node.query("select pg_switch_wal()");
                }
                node.query("checkpoint");
            });
            client(&node).await.create_slot(SLOT).await.expect("a slot");
            let mut shell = Shell::resume(&node, Some(&ends), None).await;
            let error = shell.until(&node, Lsn(u64::MAX)).await.expect_err("it is gone");
            assert!(error.is_refused("58P01"), "{error}");
            let oldest = meanwhile(|| {
                let sql = "select min(name) from pg_ls_waldir() where name ~ '^[0-9A-F]{24}$'";
                node.query(sql)[0].clone()
            });
            let number = u64::from_str_radix(&oldest[16..], 16).expect("hexadecimal");
            let oldest = Lsn(number * shell.segment);
            let mut shell = Shell::resume(&node, Some(&ends), Some(oldest)).await;
            let now = meanwhile(|| switch(&node));
            shell.until(&node, now).await.expect("it streams");
            assert_eq!(shell.gaps, [(end, oldest)]);
            shell.first = oldest;
            assert!(shell.compare(&node, Timeline(1), now) >= 1);
        });
    });
}

/// The least that makes the receiver run: everything is durable at once.
struct Shell {
    receiver: Receiver,
    repository: Repository,
    stream: Option<Stream>,
    begun: Instant,
    segment: u64,
    first: Lsn,
    gaps: Vec<(Lsn, Lsn)>,
}

impl Shell {
    async fn begin(node: &PgNode) -> Shell {
        client(node).await.create_slot(SLOT).await.expect("a slot");
        Shell::resume(node, None, None).await
    }

    async fn resume(
        node: &PgNode,
        ends: Option<&receive::Repository>,
        oldest: Option<Lsn>,
    ) -> Shell {
        let mut client = client(node).await;
        let identity = client.identify().await.expect("an identity");
        let segment = client.segment_size().await.expect("a size");
        let slot = client.slot(SLOT).await.expect("an answer").and_then(|slot| slot.restart);
        let Position { timeline, lsn } = identity.end;
        let server = Server { history: History::root(timeline), end: lsn, slot, oldest };
        let begun = receive::begin(ends, &server, segment).expect("a place");
        let first = begun.at.lsn;
        let (major, system_identifier) = (client.major(), identity.system_identifier);
        let cluster = Cluster { major, system_identifier, segment };
        Shell {
            receiver: Receiver::new(cluster, begun),
            repository: Repository::default(),
            stream: None,
            begun: Instant::now(),
            segment,
            first,
            gaps: Vec::new(),
        }
    }

    fn reported(&self) -> Lsn {
        self.repository.reported.last().copied().unwrap_or_default()
    }

    /// Until the server was told that everything below `end` is flushed.
    async fn until(&mut self, node: &PgNode, end: Lsn) -> Result<(), PgError> {
        loop {
            self.follow(node).await?;
            if self.reported() >= end {
                return Ok(());
            }
            let stream = self.stream.as_mut().expect("it was started");
            let wake = self.receiver.wake_at().map_or(60_000, |at| at.0);
            let wake = self.begun + Duration::from_millis(wake);
            let event = timeout_at(wake, stream.next()).await;
            let now = Tick(self.begun.elapsed().as_millis() as u64);
            match event {
                Ok(event) => match event? {
                    Event::Wal { start, bytes, .. } => {
                        assert!(self.receiver.wants_wal(), "everything is durable at once");
                        self.receiver.wal(now, start, &bytes).expect("WAL");
                    }
                    Event::KeepAlive { .. } => {}
                    Event::TimelineEnds { next, switchpoint } => {
                        self.receiver.timeline_ends(next, switchpoint).expect("an end");
                    }
                },
                Err(_) => self.receiver.tick(now),
            }
        }
    }

    async fn follow(&mut self, node: &PgNode) -> Result<(), PgError> {
        while let Some(command) = self.receiver.poll() {
            match command {
                Command::Start { from } => {
                    let start = Start { slot: Some(SLOT), from };
                    let asking = match self.stream.take() {
                        // Over the same connection, where it ended with its timeline.
                        Some(stream) => stream.end().await.ok(),
                        None => None,
                    };
                    let asking = match asking {
                        Some(client) => client,
                        None => client(node).await,
                    };
                    self.stream = Some(asking.start(start).await?);
                }
                Command::FetchHistory { timeline } => {
                    let content = client(node).await.history(timeline).await?;
                    self.receiver.history(content).expect("a history");
                }
                Command::ReportFlushed(lsn) => {
                    let stream = self.stream.as_ref().expect("a stream");
                    stream.feedback().report(lsn, lsn);
                    self.repository.take(Command::ReportFlushed(lsn));
                }
                command => {
                    if let Command::Gap { from, to, .. } = command {
                        self.gaps.push((from, to));
                    }
                    self.repository.take(command);
                }
            }
            while !self.repository.under_way.is_empty() {
                let put = self.repository.confirm(0);
                self.receiver.durable(put);
            }
        }
        Ok(())
    }

    /// Ends the stream, and drops its slot once the server has noticed.
    async fn stop(mut self, node: &PgNode) {
        self.stream = None;
        let mut client = client(node).await;
        while let Err(error) = client.drop_slot(SLOT).await {
            assert!(error.is_refused("55006"), "{error}");
        }
    }

    /// With the server's own files; how many were whole.
    #[track_caller]
    fn compare(&self, node: &PgNode, timeline: Timeline, end: Lsn) -> usize {
        let names = WalFile::between(timeline, self.first, end, self.segment);
        let whole = names.iter().filter(|name| {
            let file = node.data_dir().join("pg_wal").join(name.as_str());
            let file = std::fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
            let kept = self.repository.segment(name);
            assert!(!kept.is_empty() && file.starts_with(&kept), "{name} differs");
            kept.len() as u64 == self.segment
        });
        whole.count()
    }
}

async fn client(node: &PgNode) -> Client {
    let client = Client::connect(node.socket_dir(), node.port(), "archive").await;
    client.expect("a replication connection")
}

fn lsn(node: &PgNode, sql: &str) -> Lsn {
    node.query(sql)[0].parse().expect("an LSN")
}

/// Ends a segment; where the next one begins.
fn switch(node: &PgNode) -> Lsn {
    let end = lsn(node, "select pg_switch_wal()");
    let size = lsn(
        node,
        "select '0/0'::pg_lsn + setting::int from pg_settings where name = 'wal_segment_size'",
    )
    .0;
    Lsn(end.0.next_multiple_of(size))
}

fn run<T>(story: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime");
    let within = Duration::from_secs(80);
    runtime.block_on(async { timeout(within, story).await.expect("it ends") })
}

fn meanwhile<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
