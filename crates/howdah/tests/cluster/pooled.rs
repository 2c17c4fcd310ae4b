//! Clients that share servers while the primary moves, and while it is lost: in a switchover nobody
//! hears of it, in a failover only who was in the middle of a transaction, and nobody is disconnected.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use howdah_testkit::Cluster;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};

use crate::{ROWS_WITHIN, TAKEOVER_WITHIN, three};

/// Through each node's endpoint.
const WRITERS_EACH: usize = 6;

/// How many rows one client has had confirmed, and what it heard of the others.
#[derive(Default)]
pub(crate) struct Wrote {
    pub rows: u64,
    pub errors: Vec<tokio_postgres::Error>,
}

/// Clients that each keep one connection and write a row a transaction.
pub(crate) struct Writers {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    rows: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<Wrote>>,
}

impl Writers {
    /// At these endpoints.
    pub fn start(hosts: &[Config]) -> Writers {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let (stop, rows) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        runtime
            .block_on(async {
                let client = connect(&hosts[0]).await;
                client.batch_execute("create table pooled_rows (writer int, row int)").await
            })
            .expect("a table");
        let tasks = (0..hosts.len() * WRITERS_EACH).map(|at| {
            let host = hosts[at % hosts.len()].clone();
            runtime.spawn(write(host, at, stop.clone(), rows.clone()))
        });
        let tasks = tasks.collect();
        Writers { runtime, stop, rows, tasks }
    }

    pub fn wait_for_more(&self, cluster: &Cluster, rows: u64) {
        let until = self.rows.load(Ordering::Relaxed) + rows;
        cluster.wait_for("rows are written", ROWS_WITHIN, || {
            (self.rows.load(Ordering::Relaxed) >= until).then_some(())
        });
    }

    pub fn stop(self) -> Vec<Wrote> {
        self.stop.store(true, Ordering::Relaxed);
        let Writers { runtime, tasks, .. } = self;
        tasks.into_iter().map(|task| runtime.block_on(task).expect("no panic")).collect()
    }
}

pub(crate) async fn connect(host: &Config) -> Client {
    let (client, session) = host.connect(NoTls).await.expect("let in");
    tokio::spawn(session);
    client
}

async fn write(host: Config, at: usize, stop: Arc<AtomicBool>, rows: Arc<AtomicU64>) -> Wrote {
    let client = connect(&host).await;
    let mut wrote = Wrote::default();
    for row in 0_u64.. {
        if stop.load(Ordering::Relaxed) || client.is_closed() {
            break;
        }
        let insert = format!("insert into pooled_rows values ({at}, {row})");
        match transaction(&client, &insert).await {
            Ok(()) => {
                wrote.rows += 1;
                rows.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                wrote.errors.push(error);
                // In a transaction that is lost nothing else is done.
                let _ = client.batch_execute("rollback").await;
            }
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    wrote
}

async fn transaction(client: &Client, insert: &str) -> Result<(), tokio_postgres::Error> {
    for sql in ["begin", insert, "select pg_sleep(0.002)", "commit"] {
        client.batch_execute(sql).await?;
    }
    Ok(())
}

pub(crate) fn setup() -> howdah_testkit::Setup {
    three().set("pools", "mode", "\"transaction\"").set("pools", "size", "3")
}

pub(crate) fn confirmed(cluster: &Cluster, wrote: &[Wrote]) {
    let sql = "select count(*)::text from (select writer, row from pooled_rows \
               group by 1, 2 having count(*) = 1) as once";
    let present = howdah_testkit::writer::query(&cluster.plan(), sql).expect("counted");
    let present: u64 = present[0].parse().expect("a number");
    let (rows, unclear) = wrote.iter().fold((0, 0), |(rows, unclear), wrote| {
        (rows + wrote.rows, unclear + wrote.errors.len() as u64)
    });
    assert!((rows..=rows + unclear).contains(&present), "{present} of {rows}, {unclear} unclear");
}

#[test]
fn a_switchover_costs_pooled_clients_nothing_but_a_moment() {
    let cluster = setup().start();
    let writers = Writers::start(&cluster.hosts(|ports| ports.rw));
    writers.wait_for_more(&cluster, 300);
    for _ in 0..2 {
        let old = cluster.primary().name.clone();
        cluster.howdah_ok(&["switchover"]);
        cluster.wait_for_other_primary(&old, Duration::from_secs(10));
        writers.wait_for_more(&cluster, 300);
        cluster.wait_whole();
    }
    let wrote = writers.stop();
    for (at, wrote) in wrote.iter().enumerate() {
        assert!(wrote.errors.is_empty(), "client {at}: {:?}\n{}", wrote.errors, cluster.seen());
        assert!(wrote.rows > 10, "client {at}: {} rows", wrote.rows);
    }
    confirmed(&cluster, &wrote);
    nobody_came_too_early(&cluster);
}

/// Before its gate is open a new primary has no rule for anybody: who is led to it all the same is
/// refused, and takes the processor's time from what everybody waits for.
fn nobody_came_too_early(cluster: &Cluster) {
    for node in cluster.nodes() {
        let logs = fs::read_dir(node.data_dir.join("log")).expect("the server's logs");
        for log in logs.map(|log| log.expect("listed").path()) {
            let text = fs::read_to_string(&log).expect("read");
            let refused = text.lines().find(|line| line.contains("no pg_hba.conf entry"));
            assert_eq!(refused, None, "{}: {}", node.name, log.display());
        }
    }
}

/// What a failover leaves of writers, and of clients that have set something and wait. `fail` takes
/// the primary away, whose name it is given; the endpoints `at` stay.
fn fails_over(cluster: &Cluster, at: &[Config], fail: impl Fn(&str)) {
    let writers = Writers::start(at);
    let idle = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let idle = idle.expect("a runtime");
    let clients: Vec<_> = at.iter().map(|host| idle.block_on(connect(host))).collect();
    for client in &clients {
        idle.block_on(client.batch_execute("set work_mem = '9MB'")).expect("set");
    }
    writers.wait_for_more(cluster, 300);
    let old = cluster.primary().name.clone();
    fail(&old);
    cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
    for client in &clients {
        let row = idle.block_on(client.query_one("show work_mem", &[]));
        let row = row.unwrap_or_else(|error| panic!("{error:?}\n{}", cluster.seen()));
        assert_eq!(row.get::<_, &str>(0), "9MB");
    }
    writers.wait_for_more(cluster, 300);
    let wrote = writers.stop();
    let failed: usize = wrote.iter().map(|wrote| wrote.errors.len()).sum();
    // Three servers a node ran transactions at the most.
    assert!(failed <= 3 * at.len(), "{failed}");
    for error in wrote.iter().flat_map(|wrote| &wrote.errors) {
        assert_eq!(error.code().map(|code| code.code()), Some("57P01"), "{error:?}");
    }
    assert!(wrote.iter().all(|wrote| wrote.rows > 0));
    confirmed(cluster, &wrote);
}

#[test]
fn a_failover_ends_transactions_and_nobody_else() {
    let cluster = setup().start();
    let everywhere = cluster.hosts(|ports| ports.rw);
    fails_over(&cluster, &everywhere, |old| cluster.node(old).kill9_postmaster());
    cluster.wait_whole();
}

#[test]
fn clients_of_other_nodes_live_through_the_loss_of_the_primarys_host() {
    let cluster = setup().start();
    let primary = cluster.primary().name.clone();
    let hosts = cluster.nodes().iter().zip(cluster.hosts(|ports| ports.rw));
    let elsewhere: Vec<_> =
        hosts.filter(|(node, _)| node.name != primary).map(|(_, host)| host).collect();
    fails_over(&cluster, &elsewhere, |old| cluster.node(old).kill9_everything());
}

/// Over that socket whoever the server runs as is the superuser without a password, and so would be
/// every client of the pooler.
#[test]
fn pools_use_the_private_socket_and_nobody_becomes_the_superuser_by_it() {
    let cluster = setup().set("", "hba", "[\"host all all all scram-sha-256\"]").start();
    let primary = cluster.primary();
    primary.sql("alter role postgres password 'secret'").expect("a password");
    let at = cluster.nodes().iter().position(|node| node.name == primary.name).expect("its place");
    let host = cluster.hosts(|ports| ports.rw).swap_remove(at);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let came_from = |host: &Config| {
        let sql = "select current_user || coalesce(' ' || host(inet_client_addr()), '')";
        runtime.block_on(async {
            let (client, session) = host.connect(NoTls).await?;
            tokio::spawn(session);
            client.query_one(sql, &[]).await.map(|row| row.get::<_, String>(0))
        })
    };
    assert_eq!(came_from(&host).expect("let in"), "app");
    let mut chief = host.clone();
    chief.user("postgres").password("secret");
    assert_eq!(came_from(&chief).expect("let in"), "postgres 127.72.68.1");
    let refused = came_from(chief.password("guessed")).expect_err("a wrong password");
    assert_eq!(refused.code().map(|code| code.code()), Some("28P01"), "{refused:?}");
}
