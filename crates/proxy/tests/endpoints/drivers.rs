//! Drivers as applications use them: each does the same with PostgreSQL itself, through the pooler in
//! transaction mode with fewer servers than it has connections, and in session mode. What is done is
//! in `tests/drivers`, one file a driver.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use howdah_proxy::Endpoint::Rw;
use howdah_spec::PoolMode;
use tokio::process::Command;
use tokio::time::timeout;

use crate::pg::{PASSWORD, Pg};
use crate::pooled::{direct, pool_of, value};
use crate::rig::{Node, Tls};
use crate::tokio_app;

/// A driver's whole programme.
const PATIENCE: Duration = Duration::from_secs(100);
/// Fewer than any driver has connections.
const SERVERS: u32 = 2;

#[tokio::test]
async fn psycopg_3() {
    run(&python("psycopg3_app.py")).await;
}

#[tokio::test]
async fn psycopg2() {
    run(&python("psycopg2_app.py")).await;
}

#[tokio::test]
async fn asyncpg() {
    run(&python("asyncpg_app.py")).await;
}

#[tokio::test]
async fn sqlalchemy() {
    run(&python("sqlalchemy_app.py")).await;
}

#[tokio::test]
#[ignore = "needs Node.js: make drivers"]
async fn node_postgres() {
    run(&["node".into(), script("node_app.mjs")]).await;
}

#[tokio::test]
#[ignore = "needs a JDK: make drivers"]
async fn pgjdbc() {
    let jars = ["postgresql", "HikariCP", "slf4j-api", "slf4j-nop"];
    let path: Vec<_> = jars.iter().map(|jar| format!("/usr/share/java/{jar}.jar")).collect();
    let java = ["java".into(), "-cp".into(), path.join(":").into(), script("Pgjdbc.java")];
    run(&java).await;
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/drivers").join(name)
}

fn target(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target").join(name)
}

/// `scripts/setup.sh test` has put the drivers there.
fn python(name: &str) -> [PathBuf; 2] {
    [target("python/bin/python"), script(name)]
}

#[tokio::test]
async fn tokio_postgres() {
    let ways = Ways::open().await;
    for (name, at) in &ways.all {
        tokio_app::works(*at, name).await;
    }
}

/// Runs a driver's programme with and without the pooler.
async fn run(command: &[PathBuf]) {
    let ways = Ways::open().await;
    for (name, at) in &ways.all {
        succeed(command, name, *at).await;
    }
}

/// A server, and how it is reached. Each way has a database of its name.
struct Ways {
    all: Vec<(&'static str, SocketAddr)>,
    _nodes: Vec<Node>,
    _pg: Pg,
}

impl Ways {
    async fn open() -> Ways {
        let (pg, tls) = (Pg::start(), Tls::new());
        pg.lets_in("host all all 127.0.0.1/32 scram-sha-256");
        let admin = direct(&pg).await;
        let mut all = vec![("direct", SocketAddr::from(([127, 0, 0, 1], pg.port)))];
        let mut nodes = Vec::new();
        for (name, mode, size) in
            [("transaction", PoolMode::Transaction, SERVERS), ("session", PoolMode::Session, 20)]
        {
            let node = pool_of(&pg, &tls, mode, size).await;
            all.push((name, node.address(Rw)));
            nodes.push(node);
        }
        for (name, _) in &all {
            value(&admin, &format!("create database {name}")).await;
        }
        Ways { all, _nodes: nodes, _pg: pg }
    }
}

async fn succeed(command: &[PathBuf], way: &str, at: SocketAddr) {
    let mut child = Command::new(&command[0]);
    child.args(&command[1..]).env("HOWDAH_MODE", way);
    child.env("HOWDAH_NODE_MODULES", target("node"));
    child.env("PGHOST", at.ip().to_string()).env("PGPORT", at.port().to_string());
    child.env("PGUSER", "app").env("PGPASSWORD", PASSWORD).env("PGDATABASE", way);
    child.stdin(Stdio::null()).kill_on_drop(true);
    let log = std::env::temp_dir().join(format!("howdah-driver-{}-{way}", std::process::id()));
    let out = std::fs::File::create(&log).expect("a log");
    child.stdout(out.try_clone().expect("a log")).stderr(out);
    let mut child = child.spawn().unwrap_or_else(|error| {
        panic!("{command:?}: {error}; scripts/setup.sh drivers installs it")
    });
    let ended = timeout(PATIENCE, child.wait()).await;
    let said = std::fs::read_to_string(&log).expect("what it said");
    std::fs::remove_file(&log).expect("the log is removed");
    let well = matches!(&ended, Ok(Ok(status)) if status.success());
    assert!(well, "{way}: {ended:?}\n{said}");
}
