//! Clients of a proxy on a host without a node (`howdah proxy`), while the primary moves, is lost with
//! its server or with its whole node, and before there is any.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use howdah_testkit::{Cluster, PortLease, http, wait};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Config, error::SqlState};

use crate::pooled::{Writers, confirmed, connect, setup};
use crate::{ROWS_WITHIN, TAKEOVER_WITHIN};

/// A `howdah proxy` that this test has started; it ends with it.
pub(crate) struct Elsewhere {
    rw_port: u16,
    http_port: u16,
    log: PathBuf,
    child: Child,
    _lease: PortLease,
}

impl Elsewhere {
    /// Makes its folder on a node of `cluster`, and starts it.
    pub fn start(cluster: &Cluster, name: &str, more: &[String]) -> Elsewhere {
        Elsewhere::start_in(&folder(cluster, name), more)
    }

    fn start_in(dir: &Path, more: &[String]) -> Elsewhere {
        let mut lease = PortLease::take();
        let [rw_port, ro, any, http_port] = [(); 4].map(|()| lease.next_port());
        let log = dir.with_extension("log");
        let file = fs::File::create(&log).expect("a log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
        command.arg("proxy").arg("--dir").arg(dir).args(more);
        for (key, port) in [("--rw-port", rw_port), ("--ro-port", ro), ("--any-port", any)] {
            command.arg(key).arg(port.to_string());
        }
        command.args(["--http", &format!("127.0.0.1:{http_port}")]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file).spawn();
        let child = child.expect("start `howdah proxy`");
        let proxy = Elsewhere { rw_port, http_port, log, child, _lease: lease };
        // Its endpoints are open before it answers.
        wait::until("it answers", ROWS_WITHIN, || proxy.health(), || proxy.log());
        proxy
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).expect("its log")
    }

    /// The status code of `/health`.
    pub fn health(&self) -> Option<u16> {
        http::get(self.http_port, "/health").ok().map(|answer| answer.code)
    }

    fn host(&self, cluster: &Cluster) -> Config {
        let mut host = Config::new();
        host.host("127.0.0.1").port(self.rw_port).user("app").dbname("app");
        host.password(cluster.password("app"));
        host
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// What `howdah certs proxy` writes on a node of `cluster`.
pub(crate) fn folder(cluster: &Cluster, name: &str) -> PathBuf {
    let dir = cluster.scratch().join(name);
    let mut command = Command::new(env!("CARGO_BIN_EXE_howdah"));
    command.args(["certs", "proxy", name, "--host", "app.example", "--out"]).arg(&dir);
    let done = command.arg("-f").arg(cluster.file_path()).output().expect("run `howdah`");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    dir
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

#[test]
fn a_switchover_costs_clients_of_a_proxy_elsewhere_nothing_but_a_moment() {
    let cluster = setup().start();
    let proxy = Elsewhere::start(&cluster, "app1", &[]);
    let writers = Writers::start(&[proxy.host(&cluster)]);
    writers.wait_for_more(&cluster, 100);
    for _ in 0..2 {
        let old = cluster.primary().name.clone();
        cluster.howdah_ok(&["switchover"]);
        cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
        writers.wait_for_more(&cluster, 100);
        cluster.wait_whole();
    }
    let wrote = writers.stop();
    for (at, wrote) in wrote.iter().enumerate() {
        assert!(wrote.errors.is_empty(), "client {at}: {:?}\n{}", wrote.errors, proxy.log());
        assert!(wrote.rows > 5, "client {at}: {} rows", wrote.rows);
    }
    confirmed(&cluster, &wrote);
    let metrics = http::get(proxy.http_port, "/metrics").expect("metrics").body;
    assert!(metrics.contains("howdah_proxy_nodes_telling 3"), "{metrics}");
    assert!(metrics.contains("pgbouncer_pools_server_idle_connections{"), "{metrics}");
}

#[test]
fn a_failover_ends_transactions_of_a_proxys_clients_and_no_connection() {
    let cluster = setup().start();
    let proxy = Elsewhere::start(&cluster, "app1", &[]);
    let writers = Writers::start(&[proxy.host(&cluster)]);
    let idle = runtime();
    let client = idle.block_on(connect(&proxy.host(&cluster)));
    idle.block_on(client.batch_execute("set work_mem = '9MB'")).expect("set");
    writers.wait_for_more(&cluster, 100);

    let old = cluster.primary().name.clone();
    cluster.primary().kill9_postmaster();
    cluster.wait_for_other_primary(&old, TAKEOVER_WITHIN);
    cluster.wait_whole();
    writers.wait_for_more(&cluster, 100);

    let lost = cluster.primary().name.clone();
    cluster.primary().kill9_everything();
    cluster.wait_for_other_primary(&lost, TAKEOVER_WITHIN);
    writers.wait_for_more(&cluster, 100);
    cluster.node(&lost).start();
    cluster.wait_whole();

    let row = idle.block_on(client.query_one("show work_mem", &[]));
    let row = row.unwrap_or_else(|error| panic!("{error:?}\n{}", proxy.log()));
    assert_eq!(row.get::<_, &str>(0), "9MB");
    let wrote = writers.stop();
    let failed: usize = wrote.iter().map(|wrote| wrote.errors.len()).sum();
    // Three servers ran transactions at the most, each time.
    assert!(failed <= 6, "{failed}\n{}", proxy.log());
    for error in wrote.iter().flat_map(|wrote| &wrote.errors) {
        assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN), "{error:?}");
    }
    assert!(wrote.iter().all(|wrote| wrote.rows > 5), "a connection was lost");
    confirmed(&cluster, &wrote);
}

#[test]
fn a_proxy_that_starts_while_no_node_is_up_serves_as_soon_as_one_does() {
    let cluster = setup().set("endpoints", "connect_wait", "\"60s\"").start();
    cluster.nodes().iter().for_each(howdah_testkit::Node::kill9_everything);
    let proxy = Elsewhere::start(&cluster, "app1", &[]);
    assert_eq!(proxy.health(), Some(503));
    let runtime = runtime();
    let host = proxy.host(&cluster);
    // It waits in the queue of the port that is open already.
    let early = runtime.spawn(async move { connect(&host).await.query_one("select 1", &[]).await });
    cluster.start_all();
    cluster.wait_whole();
    wait::until(
        "clients are served",
        ROWS_WITHIN,
        || (proxy.health() == Some(200)).then_some(()),
        || proxy.log(),
    );
    let answer = runtime.block_on(early).expect("no panic");
    answer.unwrap_or_else(|error| panic!("{error:?}\n{}", proxy.log()));
    assert!(!proxy.log().contains("panicked"), "{}", proxy.log());
}

#[test]
fn a_proxy_of_another_cluster_is_refused_and_lets_nobody_in() {
    let cluster = setup().start();
    let other = setup().prepare();
    let dir = folder(&other, "app1");
    let known = fs::read_to_string(dir.join("cluster.json")).expect("what it knows");
    let known: serde_json::Value = serde_json::from_str(&known).expect("JSON");
    assert_eq!(known["cluster"], "test", "only the CA tells them apart");
    let nodes: Vec<String> = cluster
        .nodes()
        .iter()
        .flat_map(|node| ["--node".to_owned(), format!("127.0.0.1:{}", node.ports.peer)])
        .collect();
    let proxy = Elsewhere::start_in(&dir, &nodes);
    wait::until(
        "it says why",
        ROWS_WITHIN,
        || proxy.log().contains("a node of another cluster answers").then_some(()),
        || proxy.log(),
    );
    assert_eq!(proxy.health(), Some(503));
}
