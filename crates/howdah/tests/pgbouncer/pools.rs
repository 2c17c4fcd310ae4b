//! Keys of an ini, each by its effect.

use std::collections::BTreeSet;
use std::process::Command;

use nix::sys::signal::Signal;
use tokio::task::JoinSet;

use crate::rig::{Site, run, value};

const SCRAM: &str = "auth_type = scram-sha-256\n";
const PID: &str = "select pg_backend_pid()";

#[test]
fn transactions_share_servers_and_sessions_do_not() {
    let site = Site::start();
    run(async {
        let databases = "session = HOST dbname=postgres pool_mode=session\n\
                     small = HOST dbname=postgres pool_size=1";
        let lines = format!("{SCRAM}pool_mode = transaction\ndefault_pool_size = 2");
        let pooler = site.pool(databases, &lines);
        let mut servers = BTreeSet::new();
        let mut clients = Vec::new();
        for _ in 0..6 {
            clients.push(pooler.connect("postgres").await);
        }
        for client in &clients {
            servers.insert(value(client, PID).await.expect("a server"));
        }
        assert!(servers.len() <= 2, "{servers:?}");
        let (one, two) = (pooler.connect("session").await, pooler.connect("session").await);
        let first = value(&one, PID).await.expect("a server");
        assert_ne!(first, value(&two, PID).await.expect("a server"));
        assert_eq!(first, value(&one, PID).await.expect("a server"));
        let (one, two) = (pooler.connect("small").await, pooler.connect("small").await);
        assert_eq!(value(&one, PID).await, value(&two, PID).await);
    });
}

#[test]
fn several_threads_have_one_pool_and_end_together() {
    let site = Site::start();
    site.write("users.txt", "\"app\" \"secret\"\n");
    let lines = format!("{SCRAM}pool_mode = transaction\ndefault_pool_size = 2");
    site.write("a.ini", &site.ini("", &lines));
    let ini = site.path("a.ini").display().to_string();
    let mut pooler = site.run(&["--threads", "3", &ini], &[]);
    run(async {
        let mut clients = JoinSet::new();
        for _ in 0..9 {
            let client = pooler.connect("postgres").await;
            clients.spawn(async move {
                let asks = "select pg_backend_pid() from pg_sleep(0.01)";
                let mut servers = Vec::new();
                for _ in 0..5 {
                    servers.push(value(&client, asks).await.expect("a server"));
                }
                servers
            });
        }
        let servers: BTreeSet<_> = clients.join_all().await.into_iter().flatten().collect();
        assert_eq!(servers.len(), 2, "{servers:?}");
    });
    pooler.signal(Signal::SIGTERM);
    assert_eq!(pooler.ended(), Some(0));
}

#[test]
fn limits_of_clients_and_of_waits_are_kept() {
    let site = Site::start();
    run(async {
        let databases = "one = HOST dbname=postgres pool_size=1 max_db_client_connections=2";
        let lines = format!(
            "{SCRAM}pool_mode = transaction\nmax_client_conn = 4\nquery_wait_timeout = 1\n\
         query_timeout = 1\nidle_transaction_timeout = 2\n[users]\napp = max_user_client_connections=3"
        );
        let pooler = site.pool(databases, &lines);
        let (busy, waits) = (pooler.connect("one").await, pooler.connect("one").await);
        let third = pooler.try_connect("one").await.expect_err("two are allowed");
        assert_eq!(third, "too many clients of database \"one\"");
        let other = pooler.connect("postgres").await;
        let fourth = pooler.try_connect("postgres").await.expect_err("three are allowed");
        assert_eq!(fourth, "too many clients of role \"app\"");
        assert_eq!(
            value(&other, "select pg_sleep(30)").await.expect_err("too long"),
            "canceling statement due to user request"
        );
        value(&busy, "begin; select 1").await.expect("begun");
        let waited = value(&waits, "select 1").await.expect_err("there is no other server");
        assert_eq!(waited, "no server became free in time");
    });
}

#[test]
fn max_client_conn_counts_everybody() {
    let site = Site::start();
    let pooler = site.pool("", &format!("{SCRAM}max_client_conn = 0"));
    let said = pooler.psql("app", "secret", "postgres", "select 1");
    assert_eq!(said, "FATAL:  no more connections allowed (max_client_conn)");
}

#[test]
fn databases_lead_where_they_say() {
    let site = Site::start();
    site.sql("create database shop");
    let databases = "shop2 = HOST dbname=shop timezone=Asia/Tokyo\n\
                     forced = HOST dbname=postgres user=postgres password=test\n* = HOST";
    let lines =
        format!("{SCRAM}application_name_add_host = 1\nignore_startup_parameters = work_mem");
    let pooler = site.pool(databases, &lines);
    let ask = |database: &str, sql: &str| pooler.psql("app", "secret", database, sql);
    assert_eq!(ask("shop2", "select current_database()"), "shop");
    assert_eq!(ask("shop2", "show timezone"), "Asia/Tokyo");
    assert_eq!(ask("shop", "select current_database()"), "shop");
    assert_eq!(ask("forced", "select current_user"), "postgres");
    let gone = ask("gone", "select 1");
    assert!(gone.contains("database \"gone\" does not exist"), "{gone}");
    let name = ask("shop", "show application_name");
    assert!(name.starts_with("psql - 127.0.0.1:"), "{name}");
    let conninfo = "host=127.0.0.1 user=app dbname=shop options='-c work_mem=77MB'";
    assert_eq!(pooler.psql_to(conninfo, "secret", "show work_mem"), "4MB");
    let odd = "host=127.0.0.1 user=app dbname=shop options='-E'";
    let said = pooler.psql_to(odd, "secret", "select 1");
    assert!(said.starts_with("FATAL:  unsupported startup parameter: options"), "{said}");
}

#[test]
fn a_database_that_nobody_named_is_told_after_the_login() {
    let site = Site::start();
    let pooler = site.pool("", SCRAM);
    let denied = "FATAL:  password authentication failed for user \"app\"";
    assert_eq!(pooler.psql("app", "wrong", "gone", "select 1"), denied);
    let gone = "FATAL:  no such database: gone";
    assert_eq!(pooler.psql("app", "secret", "gone", "select 1"), gone);
}

#[test]
fn clients_and_servers_meet_over_unix_sockets() {
    let site = Site::start();
    let sockets = site.scratch.path().display().to_string();
    // Its own socket is a server's like any other.
    let databases = format!(
        "inner = HOST dbname=postgres\nouter = host={sockets} port={} dbname=inner",
        site.port
    );
    let pooler = site.pool(&databases, &format!("{SCRAM}unix_socket_mode = 0700"));
    let asked = "select current_user, inet_server_port()";
    let direct = format!("app|{}", site.pg_port);
    assert_eq!(pooler.psql_at(&sockets, "app", "secret", "inner", asked), direct);
    assert_eq!(pooler.psql("app", "secret", "outer", asked), direct);
    let path = site.path(&format!(".s.PGSQL.{}", site.port));
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().expect("it").permissions());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn pg_isready_and_pgbench_take_it_for_a_server() {
    let site = Site::start();
    let pooler = site.pool("", &format!("{SCRAM}pool_mode = transaction\ndefault_pool_size = 2"));
    let port = site.port.to_string();
    let ready = Command::new("pg_isready").args(["-h", "127.0.0.1", "-p", &port]).output();
    assert!(ready.expect("pg_isready").status.success());
    let setup = pooler.psql("postgres", "test", "postgres", "grant all on schema public to app");
    assert_eq!(setup, "");
    let bench = |args: &[&str]| {
        let output = Command::new("timeout")
            .args(["60", "pgbench", "-h", "127.0.0.1", "-p", &port, "-U", "app"])
            .args(args)
            .arg("postgres")
            .env("PGPASSWORD", "secret")
            .output()
            .expect("pgbench");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {text}");
    };
    bench(&["-i", "-q"]);
    for protocol in ["simple", "extended"] {
        bench(&["-n", "-M", protocol, "-c", "6", "-t", "20"]);
    }
    // pgbench waits for one client's preparation with the transactions of others open: with more
    // clients than servers it would wait for itself, behind any pooler.
    bench(&["-n", "-S", "-M", "prepared", "-c", "6", "-t", "20"]);
}
