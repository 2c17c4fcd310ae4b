//! From the start to the end of the process: bad files, reload, signals, variables.

use nix::sys::signal::Signal;

use crate::rig::{Site, WITHIN, run, value};
use howdah_testkit::wait;

const SCRAM: &str = "auth_type = scram-sha-256\n";

#[test]
fn a_bad_file_is_refused_with_all_its_mistakes() {
    let site = Site::start();
    site.write("users.txt", "app secret\n");
    site.write("a.ini", &site.ini("x = host=h hue=1", "pool_mode = fast\nlisten_prt = 1"));
    let file = site.path("a.ini").display().to_string();
    let ended = site.ends(&[&file]);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(64), "{said}");
    for part in [
        "a.ini:3: database x, not a key of a database: `hue=1`",
        "a.ini:9: pool_mode is not one of session, transaction, statement: `fast`",
        "a.ini:10: not a key of PgBouncer's: `listen_prt`",
        "users.txt:1: not `\"name\" \"password\"`",
        "hint: ",
    ] {
        assert!(said.contains(part), "`{part}` is not in:\n{said}");
    }
    assert!(!said.contains("app secret"), "{said}");
    let ended = site.ends(&[]);
    assert_eq!(ended.status.code(), Some(64));
    site.write("users.txt", "");
    site.write("a.ini", &site.ini("", "pkt_buf = 8192"));
    let checked = site.ends(&[&file, "--check"]);
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success() && said.contains("`pkt_buf`: buffers"), "{said}");
}

#[test]
fn files_are_read_anew_and_bad_ones_change_nothing() {
    let site = Site::start();
    let pooler = site.pool("", SCRAM);
    let ask = |user: &str, database: &str| pooler.psql(user, "secret", database, "select 'yes'");
    assert_eq!(ask("app", "late"), "FATAL:  no such database: late");
    site.sql("create role late login password 'secret'");
    let users = "\"app\" \"secret\"\n\"late\" \"secret\"\n";
    site.write("users.txt", users);
    site.write("a.ini", &site.ini("late = HOST dbname=postgres", SCRAM));
    pooler.signal(Signal::SIGHUP);
    let seen = || (ask("late", "late") == "yes").then_some(());
    wait::until("the new files count", WITHIN, seen, || site.log());
    site.write("a.ini", &site.ini("", "auth_type = nonsense"));
    pooler.signal(Signal::SIGHUP);
    let told = || site.log().contains("not read anew").then_some(());
    wait::until("the bad file is told of", WITHIN, told, || site.log());
    assert_eq!(ask("late", "late"), "yes");
}

#[test]
fn the_first_signal_waits_and_the_second_does_not() {
    let site = Site::start();
    run(async {
        let mut pooler = site.pool("", &format!("{SCRAM}pool_mode = transaction"));
        let client = pooler.connect("postgres").await;
        pooler.signal(Signal::SIGTERM);
        wait::until(
            "nobody else comes in",
            WITHIN,
            || {
                pooler
                    .psql("app", "secret", "postgres", "select 1")
                    .contains("refused")
                    .then_some(())
            },
            || site.log(),
        );
        assert_eq!(value(&client, "select 'still there'").await.expect("served"), "still there");
        drop(client);
        assert_eq!(pooler.ended(), Some(0));
        let mut pooler = site.pool("", SCRAM);
        let _client = pooler.connect("postgres").await;
        pooler.signal(Signal::SIGTERM);
        let told = || site.log().contains("asked to stop").then_some(());
        wait::until("it waits", WITHIN, told, || site.log());
        pooler.signal(Signal::SIGTERM);
        assert_eq!(pooler.ended(), Some(0));
    });
}

#[test]
fn an_interrupt_waits_for_transactions_and_for_nobody_who_is_idle() {
    let site = Site::start();
    run(async {
        let mut pooler = site.pool("", &format!("{SCRAM}pool_mode = transaction"));
        let (busy, idle) = (pooler.connect("postgres").await, pooler.connect("postgres").await);
        value(&idle, "select 1").await.expect("served");
        value(&busy, "begin; select 1").await.expect("begun");
        pooler.signal(Signal::SIGINT);
        let told = || site.log().contains("asked to stop").then_some(());
        wait::until("it waits", WITHIN, told, || site.log());
        assert_eq!(value(&busy, "select 'still there'").await.expect("served"), "still there");
        value(&busy, "commit").await.expect("committed");
        assert_eq!(pooler.ended(), Some(0));
    });
}

#[test]
fn a_quit_waits_for_nothing() {
    let site = Site::start();
    let mut pooler = site.pool("", &format!("{SCRAM}pidfile = {}", site.path("pid").display()));
    let pid = std::fs::read_to_string(site.path("pid")).expect("a pidfile");
    assert_eq!(pid.trim(), pooler.child.id().to_string());
    pooler.signal(Signal::SIGQUIT);
    assert_eq!(pooler.ended(), Some(0));
    assert!(!site.path("pid").exists());
    assert!(!site.path(&format!(".s.PGSQL.{}", site.port)).exists());
}

#[test]
fn variables_of_an_image_are_enough() {
    let site = Site::start();
    let (pg_port, port) = (site.pg_port.to_string(), site.port.to_string());
    let url = format!("postgres://app:secret@127.0.0.1:{pg_port}/postgres");
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("POOL_MODE", "transaction"),
        ("AUTH_TYPE", "scram-sha-256"),
        ("LISTEN_PORT", &port),
        ("LISTEN_ADDR", "127.0.0.1"),
    ];
    let pooler = site.run(&["--env"], &variables);
    let who = pooler.psql("app", "secret", "postgres", "select current_user");
    assert_eq!(who, "app");
}
