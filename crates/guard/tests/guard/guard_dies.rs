//! The guard itself is killed: what it left is found and ended.

use std::path::PathBuf;
use std::time::Instant;

use howdah_guard::{Event, GuardError, Phase, Request};
use nix::sys::signal::Signal;

use crate::site::{SOON, Site, in_ms, send};

#[tokio::test]
async fn what_a_killed_guard_leaves_is_swept() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let postmaster = site.start(&guard, Some(in_ms(60_000))).await;
    site.busy_backend();
    send(site.guard_pid(), Signal::SIGKILL);
    assert_eq!(site.event(&mut events).await, Event::Gone);
    site.until("the postmaster has gone with its parent", || {
        !site.survivors().contains(&postmaster)
    });
    assert!(!site.survivors().is_empty(), "the busy backend lives on");
    let began = Instant::now();
    let swept = howdah_guard::sweep(&site.data, SOON).expect("all of them end");
    eprintln!("swept {swept} in {:?}", began.elapsed());
    assert!(swept >= 1);
    assert!(site.survivors().is_empty());
}

#[tokio::test]
async fn a_new_guard_ends_what_a_killed_one_left() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let old = site.start(&guard, Some(in_ms(60_000))).await;
    site.busy_backend();
    send(site.guard_pid(), Signal::SIGKILL);
    assert_eq!(site.event(&mut events).await, Event::Gone);
    // While it is dead nobody else ends the busy backend, and the next guard does it by itself.
    let (guard, _events) = site.guard().await;
    site.until("the old processes are gone", || site.survivors().is_empty());
    let began = Instant::now();
    loop {
        let state = guard.state().await.expect("state");
        if state.phase == Phase::Empty {
            break;
        }
        assert!(began.elapsed() < SOON, "{state:?}");
    }
    // A postmaster.pid that names a zombie keeps PostgreSQL from starting; the dead guard's
    // children are init's to collect.
    let zombie = PathBuf::from(format!("/proc/{old}"));
    let collected = site.until("init has collected the old postmaster", || !zombie.exists());
    eprintln!("the old postmaster was a zombie for {collected:?}");
    site.start(&guard, Some(in_ms(60_000))).await;
}

#[tokio::test]
async fn a_frozen_guard_is_noticed_and_replaced() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    site.start(&guard, Some(in_ms(60_000))).await;
    assert_eq!(guard.pid(), Some(site.guard_pid()));
    send(site.guard_pid(), Signal::SIGSTOP);
    let extend = Request::Extend { deadline: in_ms(90_000) };
    let error = guard.request(extend).await.expect_err("it is frozen");
    assert!(matches!(error, GuardError::NoAnswer { .. }), "{error}");
    // What the agent does then: the instance first, then the guard.
    howdah_guard::sweep(&site.data, SOON).expect("all of them end");
    send(guard.pid().expect("known"), Signal::SIGKILL);
    assert_eq!(site.event(&mut events).await, Event::Gone);
    let (guard, _events) = site.guard().await;
    assert!(guard.state().await.expect("state").postmaster_pid.is_none());
}

#[tokio::test]
async fn a_shell_in_the_data_directory_is_left_alone() {
    let site = Site::new();
    let mut shell = std::process::Command::new("cat")
        .current_dir(&site.data)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .expect("cat runs");
    assert_eq!(howdah_guard::sweep(&site.data, SOON).expect("swept"), 0);
    assert!(shell.try_wait().expect("its status").is_none(), "it still runs");
    shell.kill().expect("killed");
    shell.wait().expect("collected");
}
