//! Who is not let in, why, and what stands in the log about it.

use crate::rig::{Site, WITHIN};
use howdah_testkit::wait;

const WHO: &str = "select current_user";

fn denied(user: &str) -> String {
    format!("FATAL:  password authentication failed for user \"{user}\"")
}

#[test]
fn a_login_waits_while_nobody_can_be_asked_about_it() {
    let mut site = Site::start();
    site.write("users.txt", "\"postgres\" \"test\"\n");
    let lines = "auth_type = scram-sha-256\nauth_user = postgres\nquery_wait_timeout = 1";
    {
        let pooler = site.pool("", lines);
        assert_eq!(pooler.psql("app", "secret", "postgres", WHO), "app");
    }
    site.pg.kill9();
    {
        let pooler = site.pool("", lines);
        let said = pooler.psql("app", "secret", "postgres", WHO);
        let away = "FATAL:  the login cannot be checked: the server cannot be reached";
        assert!(said.starts_with(away), "{said}");
    }
    let (pg_port, port) = (site.pg_port, site.port);
    site.write("a.ini", &site.ini("", &lines.replace("= 1", "= 25")));
    let ini = site.path("a.ini").display().to_string();
    let log = site.path("log");
    // The pooler outlives no borrow of the site: it is run by hand here.
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_howdah"))
        .args(["pgbouncer", &ini])
        .stderr(std::fs::File::create(&log).expect("a log"))
        .spawn()
        .expect("howdah runs");
    let read = || std::fs::read_to_string(&log).unwrap_or_default();
    let began = || read().contains("pooling").then_some(());
    wait::until("it listens", WITHIN, began, read);
    let conninfo = format!("host=127.0.0.1 port={port} user=app dbname=postgres");
    let client = std::process::Command::new("timeout")
        .args(["60", "psql", "-XAtq", &conninfo, "-c", WHO])
        .env("PGPASSWORD", "secret")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("psql");
    let waits = || read().contains("no server").then_some(());
    wait::until("it waits", WITHIN, waits, read);
    site.pg.start();
    let output = client.wait_with_output().expect("psql ends");
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "app", "{pg_port}: {}", read());
}

#[test]
fn a_question_that_the_server_refuses_is_no_wrong_password() {
    let site = Site::start();
    site.write("users.txt", "\"postgres\" \"test\"\n");
    let query = "auth_query = select nothing, nowhere from void where name = $1";
    let lines = format!("auth_type = scram-sha-256\nauth_user = postgres\n{query}");
    let pooler = site.pool("", &lines);
    let said = pooler.psql("app", "secret", "postgres", WHO);
    let refused = "FATAL:  the login cannot be checked: the server refuses auth_query";
    assert!(said.starts_with(refused), "{said}");
    let words = ["relation \\\"void\\\" does not exist", "\"void\" does not exist"];
    let told = || words.iter().any(|word| site.log().contains(word)).then_some(());
    wait::until("the log says why", WITHIN, told, || site.log());
}

#[test]
fn whoever_asks_asks_where_the_files_say_after_a_reload() {
    let site = Site::start();
    site.sql("create database other");
    site.write("users.txt", "\"postgres\" \"test\"\n");
    let query = "auth_query = select rolname, rolpassword from pg_authid where rolname = $1 \
                 and current_database() = 'other'";
    let lines = format!("auth_type = scram-sha-256\nauth_user = postgres\n{query}");
    let pooler = site.pool("moves = HOST dbname=postgres", &lines);
    assert_eq!(pooler.psql("app", "secret", "moves", WHO), denied("app"));
    site.write("a.ini", &site.ini("moves = HOST dbname=other", &lines));
    pooler.signal(nix::sys::signal::Signal::SIGHUP);
    let seen = || (pooler.psql("app", "secret", "moves", WHO) == "app").then_some(());
    wait::until("the other is asked", WITHIN, seen, || site.log());
}

#[test]
fn who_is_not_let_in_stands_in_the_log_with_the_reason() {
    let site = Site::start();
    let hash = site.sql("select 'md5' || md5('secretapp')");
    site.write("users.txt", &format!("\"app\" \"{hash}\"\n\"postgres\" \"test\"\n"));
    let pooler = site.pool("", "auth_type = scram-sha-256");
    assert_eq!(pooler.psql("nobody", "secret", "postgres", WHO), denied("nobody"));
    assert_eq!(pooler.psql("postgres", "wrong", "postgres", WHO), denied("postgres"));
    assert_eq!(pooler.psql("app", "secret", "postgres", WHO), denied("app"));
    assert!(pooler.psql("postgres", "test", "none", WHO).contains("no such database"));
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", site.port)).expect("connected");
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").expect("written");
    for why in
        ["no such user is known", "wrong password", "a MD5 hash is known", "no such database: none"]
    {
        // A client may read its answer before the line is written.
        let told = || site.log().contains(why).then_some(());
        wait::until(why, WITHIN, told, || site.log());
    }
    let told = || site.log().contains("it is not understood").then_some(());
    let told = || told().or_else(|| site.log().contains("malformed").then_some(()));
    wait::until("a stranger is told of", WITHIN, told, || site.log());
    assert!(!site.log().contains("Tcp("), "{}", site.log());
}

#[test]
fn who_runs_the_pooler_needs_no_password_for_its_console() {
    let site = Site::start();
    let pooler = site.pool("", "auth_type = scram-sha-256");
    let sockets = site.scratch.path().display().to_string();
    let state = pooler.psql_at(&sockets, "pgbouncer", "", "pgbouncer", "show version");
    assert!(state.starts_with("PgBouncer "), "{state}");
    let said = pooler.psql("pgbouncer", "", "pgbouncer", "show version");
    assert!(said.contains("password"), "{said}");
}
