//! Keys about sockets, the process, and what it says, each by its effect.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt;
use std::process::{Command, Stdio};

use nix::unistd::{Group, User};

use crate::rig::{Site, WITHIN};
use crate::talk::{Talk, message};
use howdah_testkit::wait;

const TRUST: &str = "auth_type = trust\npool_mode = transaction\n";

/// `ss` about sockets of this port.
fn ss(arguments: &[&str], port: u16) -> String {
    let filter = format!("sport = :{port}");
    let output = Command::new("ss").arg("-Htn").args(arguments).arg(filter).output().expect("ss");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn it_listens_where_it_is_told_to_as_whom_it_is_told_to() {
    let site = Site::start();
    let port = site.port;
    // Root hands all of it on.
    let lines = format!(
        "{TRUST}listen_addr = 127.0.0.2\nlisten_port = {port}\nlisten_backlog = 77\nuser = postgres\n\
         unix_socket_group = postgres\nunix_socket_mode = 0770"
    );
    let pooler = site.pool("", &lines);
    let there = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
    assert_eq!(Talk::session((there, port), "app", "postgres").ask("select 1"), "1 Z");
    let said = pooler.psql("app", "", "postgres", "select 1");
    assert!(said.contains("refused"), "{said}");
    let listening = ss(&["-l"], port);
    let backlog = listening.split_whitespace().nth(2).map(str::to_owned);
    assert_eq!(backlog.as_deref(), Some("77"), "{listening}");
    let socket = site.path(&format!(".s.PGSQL.{port}"));
    let group = Group::from_name("postgres").expect("asked").expect("there");
    assert_eq!(fs::metadata(socket).expect("there").gid(), group.gid.as_raw());
    let user = User::from_name("postgres").expect("asked").expect("there");
    let process = fs::metadata(format!("/proc/{}", pooler.child.id())).expect("it runs");
    assert_eq!(process.uid(), user.uid.as_raw());
}

#[test]
fn two_may_listen_at_one_port_where_both_say_so() {
    let site = Site::start();
    let second = |pooler: &crate::rig::Pooler<'_>| {
        let ini = site.path("a.ini").display().to_string();
        let mut child = Command::new(env!("CARGO_BIN_EXE_howdah"))
            .args(["pgbouncer", &ini])
            .stderr(Stdio::piped())
            .spawn()
            .expect("howdah runs");
        // Either it ends by itself, or it listens.
        let listens = || {
            let ended = child.try_wait().expect("a child").map(|status| status.success());
            ended.or_else(|| (ss(&["-l"], site.port).lines().count() == 2).then_some(true))
        };
        let stands = wait::until("it is decided", WITHIN, listens, || pooler.site.log());
        let _ = child.kill();
        let said = child.wait_with_output().expect("ended").stderr;
        (stands, String::from_utf8_lossy(&said).into_owned())
    };
    {
        let alone = format!("{TRUST}unix_socket_dir =");
        let (stands, said) = second(&site.pool("", &alone));
        assert!(!stands && said.contains("cannot listen"), "{said}");
    }
    let both = format!("{TRUST}unix_socket_dir =\nso_reuseport = 1");
    let (stands, said) = second(&site.pool("", &both));
    assert!(stands, "{said}");
}

#[test]
fn silent_connections_are_probed_as_the_keys_say() {
    let site = Site::start();
    let here = (Ipv4Addr::LOCALHOST, site.port);
    for (lines, probed) in [
        ("tcp_keepalive = 0", None),
        ("", Some("120min")),
        // Just below, for a moment has passed.
        ("tcp_keepidle = 3000", Some("49min")),
    ] {
        let _pooler = site.pool("", &format!("{TRUST}{lines}"));
        let _client = Talk::session(here, "app", "postgres");
        let seen = || {
            let timers = ss(&["-o", "state", "established"], site.port);
            match probed {
                None => (!timers.is_empty() && !timers.contains("keepalive")).then_some(()),
                // Two hours are shown as soon as they are not whole.
                Some("120min") => {
                    let is = timers.contains("(keepalive,120min")
                        || timers.contains("(keepalive,119min");
                    is.then_some(())
                }
                Some(minutes) => timers.contains(&format!("(keepalive,{minutes}")).then_some(()),
            }
        };
        let shown = || format!("{lines}: {}", ss(&["-o", "state", "established"], site.port));
        wait::until("the timer is what it is", WITHIN, seen, shown);
    }
}

/// It reads nothing, so that what is sent to it is never taken.
#[test]
fn a_client_that_takes_nothing_is_given_up_after_tcp_user_timeout() {
    let site = Site::start();
    let here = (Ipv4Addr::LOCALHOST, site.port);
    let _pooler = site.pool("", &format!("{TRUST}tcp_user_timeout = 1500"));
    let mut client = Talk::session(here, "app", "postgres");
    let wide = b"select repeat('x', 1000) from generate_series(1, 300000)\0";
    client.say(&message(b'Q', wide));
    let sql = "select count(*) from pg_stat_activity where query like 'select repeat%' \
               and state = 'active'";
    wait::until("it is sent", WITHIN, || (site.sql(sql) == "1").then_some(()), || site.log());
    wait::until("it is given up", WITHIN, || (site.sql(sql) == "0").then_some(()), || site.log());
}

#[test]
fn whoever_is_let_in_stands_in_the_log_unless_it_is_told_not_to() {
    let site = Site::start();
    let here = (Ipv4Addr::LOCALHOST, site.port);
    for (lines, logged) in [("", true), ("log_connections = 0", false)] {
        let _pooler = site.pool("", &format!("{TRUST}{lines}"));
        assert_eq!(Talk::session(here, "app", "postgres").ask("select 1"), "1 Z");
        assert_eq!(site.log().contains("let in"), logged, "{lines}: {}", site.log());
    }
}
