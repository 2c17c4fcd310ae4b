//! Keys that say how long, each by its effect.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::rig::{Site, WITHIN};
use crate::talk::Talk;
use howdah_testkit::wait;

const TRUST: &str = "auth_type = trust\npool_mode = transaction\n";
const THERE: &str = "select count(*) from pg_stat_activity where usename = 'app'";
const PID: &str = "select pg_backend_pid()";

#[test]
fn what_takes_too_long_ends() {
    let site = Site::start();
    let here = (Ipv4Addr::LOCALHOST, site.port);
    {
        let _pooler = site.pool("", &format!("{TRUST}transaction_timeout = 1"));
        let mut client = Talk::session(here, "app", "postgres");
        assert_eq!(client.ask("begin"), "Z");
        let said = client.ask("select pg_sleep(600)");
        assert!(said.contains("[FATAL 25P04 transaction timeout] end"), "{said}");
    }
    {
        let _pooler = site.pool("", &format!("{TRUST}idle_transaction_timeout = 1"));
        let mut client = Talk::session(here, "app", "postgres");
        assert_eq!(client.ask("begin"), "Z");
        assert_eq!(client.hear(), "[FATAL 25P03 idle transaction timeout] end");
    }
    {
        let _pooler = site.pool("", &format!("{TRUST}client_idle_timeout = 1"));
        let mut client = Talk::session(here, "app", "postgres");
        assert_eq!(client.hear(), "[FATAL 57P05 client idle timeout] end");
    }
    let _pooler = site.pool("", &format!("{TRUST}client_login_timeout = 1"));
    let mut client = Talk::to(here);
    client.say(b"\0\0");
    assert_eq!(client.hear(), "end");
    let told = || site.log().contains("not within client_login_timeout").then_some(());
    wait::until("the log has it", WITHIN, told, || site.log());
}

#[test]
fn servers_go_when_nobody_uses_them_and_when_they_are_old() {
    let site = Site::start();
    let here = (Ipv4Addr::LOCALHOST, site.port);
    // The second is no key of PgBouncer's, and taken for the first.
    for key in ["server_idle_timeout", "idle_timeout"] {
        let _pooler = site.pool("", &format!("{TRUST}{key} = 1"));
        let mut client = Talk::session(here, "app", "postgres");
        assert_eq!(client.ask("select 1"), "1 Z");
        assert_eq!(site.sql(THERE), "1", "{key}");
        let gone = || (site.sql(THERE) == "0").then_some(());
        wait::until("it goes", WITHIN, gone, || site.sql(THERE));
        assert_eq!(client.ask("select 2"), "2 Z");
        assert_eq!(site.log().contains("taken for `server_idle_timeout`"), key == "idle_timeout");
    }
    let _pooler = site.pool("", &format!("{TRUST}server_lifetime = 1"));
    let mut client = Talk::session(here, "app", "postgres");
    let first = client.ask(PID);
    let mut last = String::new();
    let other = || {
        last = client.ask(PID);
        (last != first).then_some(())
    };
    wait::until("another serves", WITHIN, other, || site.log());
}

/// Whoever connects there is let go of at once, or never heard; how many came.
fn no_server(answers: bool) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("its number").port();
    let came = Arc::new(AtomicUsize::new(0));
    let counts = came.clone();
    // It ends with the process: nobody waits for it.
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for tcp in listener.incoming().flatten() {
            counts.fetch_add(1, Ordering::Relaxed);
            if !answers {
                kept.push(tcp);
            }
        }
    });
    (port, came)
}

#[test]
fn a_server_that_is_none_is_waited_for_and_tried_again_as_the_keys_say() {
    let site = Site::start();
    let here = (Ipv4Addr::LOCALHOST, site.port);
    let late = "[FATAL 57P03 no server became free in time] end";
    let ask = |times: &str, port: u16| {
        let lines = format!("{TRUST}{times}");
        let _pooler = site.pool(&format!("mute = host=127.0.0.1 port={port}"), &lines);
        let mut client = Talk::to(here);
        client.say(&crate::talk::startup("user|app|database|mute||"));
        assert_eq!(client.hear(), late, "{times}");
        site.log()
    };
    let (mute, _) = no_server(false);
    let log = ask("server_connect_timeout = 1\nquery_wait_timeout = 4", mute);
    assert!(log.contains("not within 1s"), "{log}");
    let (port, came) = no_server(true);
    ask("server_login_retry = 60\nquery_wait_timeout = 3", port);
    assert_eq!(came.load(Ordering::Relaxed), 1);
    ask("query_wait_timeout = 3", port);
    assert!(came.load(Ordering::Relaxed) > 3, "{came:?}");
}
