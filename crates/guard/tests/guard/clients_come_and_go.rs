//! Agents die and are upgraded; one guard stays, and stays alone.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use howdah_guard::{Guard, GuardError, Request};

use crate::site::{Site, in_ms};

#[tokio::test]
async fn a_new_agent_attaches_where_the_old_one_died() {
    let mut site = Site::new();
    let (guard, events) = site.guard().await;
    let pid = site.start(&guard, Some(in_ms(60_000))).await;
    drop((guard, events));
    let (guard, mut events) = site.attach().await;
    let state = guard.state().await.expect("state");
    assert_eq!((state.guard_pid, state.postmaster_pid), (site.guard_pid(), Some(pid)));
    guard.request(Request::Extend { deadline: in_ms(90_000) }).await.expect("in time");
    assert!(site.stop(&guard, &mut events).await.status.is_clean());
}

#[tokio::test]
async fn a_second_guard_is_refused() {
    let mut site = Site::new();
    let (guard, _events) = site.guard().await;
    let error = site.spawn().expect_err("one is enough").to_string();
    assert!(error.contains("it ended with exit status: 1"), "{error}");
    let log = std::fs::read_to_string(site.dir.join("guard.log")).expect("the log");
    assert!(log.contains("another guard works here"), "{log}");
    assert_eq!(guard.state().await.expect("state").guard_pid, site.guard_pid());
}

#[tokio::test]
async fn only_its_user_may_talk_to_it_and_a_long_path_is_said_so() {
    let mut site = Site::new();
    let (_guard, _events) = site.guard().await;
    let mode = std::fs::metadata(&site.socket).expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let long = site.dir.join("x".repeat(100));
    let error = howdah_guard::spawn(Path::new("/bin/false"), &long, &site.data, &long);
    assert!(matches!(error, Err(GuardError::PathTooLong { max: 107, .. })), "{error:?}");
}

#[tokio::test]
async fn a_client_that_talks_nonsense_or_never_listens_disturbs_nobody() {
    let mut site = Site::new();
    let (guard, _events) = site.guard().await;
    let mut odd = UnixStream::connect(&site.socket).expect("connected");
    odd.write_all(b"{\"id\":7,\"request\":{\"ask\":\"dance\"}}\n").expect("sent");
    let mut answer = [0; 1024];
    let count = odd.read(&mut answer).expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..count]);
    assert!(answer.contains("\"id\":7") && answer.contains("malformed"), "{answer}");

    let mut flood = UnixStream::connect(&site.socket).expect("connected");
    flood.set_write_timeout(Some(Duration::from_secs(5))).expect("a bound");
    // A line without an end, then a reader that never reads: both are sent away.
    let endless = flood.write_all(&vec![b'x'; 1 << 20]);
    assert!(endless.is_err(), "it was not sent away");
    guard.state().await.expect("it still answers");
}

#[tokio::test]
async fn the_number_of_clients_is_bounded() {
    let mut site = Site::new();
    let (guard, _events) = site.guard().await;
    let mut others = Vec::new();
    for _ in 0..7 {
        let other = Guard::attach(&site.socket).await.expect("attached");
        other.state().await.expect("served");
        others.push(other);
    }
    let ninth = Guard::attach(&site.socket).await.expect("connected");
    assert!(ninth.state().await.is_err(), "sent away");
    guard.state().await.expect("those before it stay");
}
