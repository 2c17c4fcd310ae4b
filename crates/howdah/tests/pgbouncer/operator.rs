//! What an operator sees and does at the console of a pooler that is run from files.

use nix::sys::signal::Signal;

use crate::rig::{Site, WITHIN, run, value};
use howdah_testkit::wait;

const ADMIN: &str = "auth_type = scram-sha-256\nadmin_users = postgres\n";

#[test]
fn databases_and_keys_are_shown_as_the_files_say() {
    let site = Site::start();
    let pooler = site.pool(
        "forced = HOST dbname=other user=app password=secret pool_size=7\n* = host=/nowhere port=1",
        ADMIN,
    );
    let ask = |sql: &str| pooler.psql("postgres", "test", "pgbouncer", sql);
    let shown = ask("show databases");
    let forced = format!("forced|127.0.0.1|{}|other|app|7|0|0|", site.pg_port);
    let plain = format!("postgres|127.0.0.1|{}|postgres||20|", site.pg_port);
    for row in [&forced, &plain] {
        assert!(shown.lines().any(|line| line.starts_with(row)), "`{row}` is not in:\n{shown}");
    }
    let shown = ask("show config");
    let (port, dir) = (site.port, site.scratch.path().display());
    for row in [
        "auth_type|scram-sha-256|md5|yes".to_owned(),
        format!("auth_file|{dir}/users.txt||yes"),
        format!("listen_port|{port}|6432|no"),
        "client_login_timeout|60|60|yes".to_owned(),
        "default_pool_size|20|20|yes".to_owned(),
    ] {
        assert!(shown.lines().any(|line| line == row), "`{row}` is not in:\n{shown}");
    }
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn a_reload_says_what_it_cannot_do() {
    let site = Site::start();
    let pooler = site.pool("", ADMIN);
    site.write("a.ini", &site.ini("", &format!("{ADMIN}pool_mode = fast")));
    let said = pooler.psql("postgres", "test", "pgbouncer", "reload");
    assert!(said.contains("pool_mode is not one of"), "{said}");
    site.write("a.ini", &site.ini("", &format!("{ADMIN}listen_backlog = 77")));
    pooler.signal(Signal::SIGHUP);
    let told = || site.log().contains("`listen_backlog` counts from the next start").then_some(());
    wait::until("it is told of", WITHIN, told, || site.log());
}

#[test]
fn a_shutdown_goes_on_without_its_operator_and_says_goodbye() {
    let site = Site::start();
    run(async {
        let mut pooler = site.pool("", ADMIN);
        let client = pooler.connect("postgres").await;
        let port = site.port;
        let conninfo = format!("host=127.0.0.1 port={port} user=postgres dbname=pgbouncer");
        let mut operator = std::process::Command::new("psql")
            .args(["-XAtq", &conninfo, "-c", "shutdown wait_for_clients"])
            .env("PGPASSWORD", "test")
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("psql");
        let closed = || {
            let said = pooler.psql("app", "secret", "postgres", "select 1");
            said.contains("shutting down").then_some(())
        };
        wait::until("nobody else comes in", WITHIN, closed, || site.log());
        operator.kill().expect("killed");
        operator.wait().expect("ended");
        assert_eq!(value(&client, "select 'served'").await.expect("served"), "served");
        drop(client);
        assert_eq!(pooler.ended(), Some(0));
    });
}

#[test]
fn whoever_is_there_at_the_end_hears_why() {
    let site = Site::start();
    run(async {
        let mut pooler = site.pool("", ADMIN);
        let client = pooler.connect("postgres").await;
        value(&client, "begin; select 1").await.expect("begun");
        let asking = value(&client, "select pg_sleep(100)");
        let quit = async {
            let begun = || {
                let rows = "select count(*) from pg_stat_activity where query like '%pg_sleep(1%' \
                            and pid <> pg_backend_pid()";
                (site.sql(rows) == "1").then_some(())
            };
            wait::until("it sleeps", WITHIN, begun, || site.log());
            pooler.signal(Signal::SIGQUIT);
        };
        let (said, ()) = tokio::join!(asking, quit);
        let said = said.expect_err("ended");
        assert!(said.contains("terminating connection"), "{said}");
        assert_eq!(pooler.ended(), Some(0));
    });
}

#[test]
fn variables_that_nobody_knows_are_named() {
    let said = |variables: &[(&str, &str)]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_howdah"))
            .args(["pgbouncer", "--env", "--check"])
            .env_clear()
            .envs(variables.iter().copied())
            .output()
            .expect("howdah runs");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let unknown = said(&[("DB_HOST", "h"), ("PGBOUNCER_POOL_MODUS", "session")]);
    assert!(unknown.contains("`PGBOUNCER_POOL_MODUS`"), "{unknown}");
    let bad = said(&[("DB_HOST", "h"), ("PGBOUNCER_POOL_MODE", "fast")]);
    assert!(bad.contains("PGBOUNCER_POOL_MODE: pool_mode is not"), "{bad}");
    let many = said(&[("DB_HOST", "h"), ("MAX_CLIENT_CONN", "4000000000")]);
    assert!(many.contains("LimitNOFILE"), "{many}");
}
