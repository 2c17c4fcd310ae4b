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

#[test]
fn a_key_is_set_until_everything_is_read_anew() {
    let site = Site::start();
    let pooler = site.pool("", ADMIN);
    let ask = |sql: &str| pooler.psql("postgres", "test", "pgbouncer", sql);
    let size = || {
        let shown = ask("show config");
        let row = shown.lines().find(|line| line.starts_with("default_pool_size|"));
        row.unwrap_or_else(|| panic!("{shown}")).to_owned()
    };
    // What stands in a file meanwhile waits for RELOAD.
    site.write("a.ini", &site.ini("", &format!("{ADMIN}pool_mode = transaction")));
    assert_eq!(ask("set default_pool_size = '7'"), "");
    assert_eq!(size(), "default_pool_size|7|20|yes");
    assert!(ask("show config").contains("\npool_mode|session|"), "{}", ask("show config"));
    assert_eq!(ask("set max_client_conn = 0"), "");
    let said = pooler.psql("app", "secret", "postgres", "select 1");
    assert_eq!(said, "FATAL:  no more connections allowed (max_client_conn)");
    for (sql, why) in [
        ("set default_pool_size = 'many'", "default_pool_size is not a number"),
        ("set listen_port = 1", "`listen_port` counts at a start only"),
        ("set pkt_buf = 8192", "`pkt_buf` is not followed: buffers are"),
        ("set hue = 1", "not a key of PgBouncer's: `hue`"),
        ("set auth_type = cert", "`auth_type = cert` needs `client_tls_sslmode"),
        ("set auth_hba_file = '/nowhere'", "auth_hba_file: cannot read the file"),
    ] {
        let said = ask(sql);
        assert!(said.starts_with("ERROR:  SET failed") && said.contains(why), "`{sql}`: {said}");
    }
    assert_eq!(size(), "default_pool_size|7|20|yes", "what fails changes nothing");
    assert_eq!(ask("reload"), "");
    assert_eq!(size(), "default_pool_size|20|20|yes");
    assert!(ask("show config").contains("\npool_mode|transaction|"), "{}", ask("show config"));
    assert_eq!(pooler.psql("app", "secret", "postgres", "select 1"), "1");
}

#[test]
fn whoever_is_named_commands_or_looks() {
    let site = Site::start();
    let lines = "auth_type = scram-sha-256\nadmin_users = postgres\nstats_users = app";
    let pooler = site.pool("", lines);
    let ask = |user: &str, password: &str, sql: &str| pooler.psql(user, password, "pgbouncer", sql);
    assert_eq!(ask("postgres", "test", "pause; "), "");
    assert!(ask("app", "secret", "show state").contains("paused|yes"));
    assert_eq!(ask("app", "secret", "resume"), "ERROR:  admin access needed");
    assert_eq!(ask("postgres", "test", "resume"), "");
    site.write("a.ini", &site.ini("", "auth_type = scram-sha-256\nadmin_users = postgres"));
    assert_eq!(ask("postgres", "test", "reload"), "");
    assert_eq!(ask("app", "secret", "show state"), "FATAL:  not allowed");
}
