//! A server starts, runs, and ends as it was asked to.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use howdah_guard::{Event, ExitStatus, GuardError, Phase, Refusal, Request, StopMode};
use nix::sys::signal::Signal;

use crate::site::{Site, in_ms, now, send};

#[tokio::test]
async fn a_server_starts_and_stops_and_starts_again() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let pid = site.start(&guard, None).await;
    let state = guard.state().await.expect("state");
    assert_eq!((state.phase, state.deadline), (Phase::Running, None));
    assert!(state.alive_processes > 1, "{state:?}");

    let refused = guard.request(site.start_request(None)).await;
    assert!(matches!(refused, Err(GuardError::Refused(Refusal::ProcessesLeft { .. }))));
    let refused = guard.request(Request::Leave).await;
    assert!(matches!(refused, Err(GuardError::Refused(Refusal::ProcessesLeft { .. }))));

    let exit = site.stop(&guard, &mut events).await;
    assert_eq!((exit.pid, exit.status, exit.fenced), (pid, ExitStatus::Code(0), false));
    let state = guard.state().await.expect("state");
    assert_eq!((state.phase, state.last_exit), (Phase::Empty, Some(exit)));

    site.start(&guard, Some(in_ms(60_000))).await;
    guard.request(Request::Kill).await.expect("accepted");
    let exit = site.exit(&mut events).await;
    assert_eq!((exit.status, exit.fenced), (ExitStatus::Signal(9), false));
    assert_eq!(guard.state().await.expect("state").deadline, None, "it went with its server");

    guard.request(Request::Leave).await.expect("nothing is left");
    assert_eq!(site.event(&mut events).await, Event::Gone);
    site.until("the socket is removed", || !site.socket.exists());
}

#[tokio::test]
async fn a_reload_reaches_the_server() {
    let mut site = Site::new();
    let (guard, _events) = site.guard().await;
    site.start(&guard, None).await;
    fs::write(site.data.join("postgresql.auto.conf"), "work_mem = '7MB'\n").expect("written");
    guard.request(Request::Reload).await.expect("accepted");
    site.until("the setting is in force", || site.sql("show work_mem").as_deref() == Some("7MB"));
}

#[tokio::test]
async fn a_shutdown_that_takes_too_long_is_ended() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let pid = site.start(&guard, None).await;
    send(pid, Signal::SIGSTOP);
    let stop = Request::Stop { mode: StopMode::Immediate, within_ms: 200 };
    guard.request(stop).await.expect("accepted");
    assert_eq!(guard.state().await.expect("state").phase, Phase::Stopping);
    assert_eq!(site.exit(&mut events).await.status, ExitStatus::Signal(9));
}

#[tokio::test]
async fn a_program_that_does_not_run_is_said_so() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let Request::Start { args, env, log, .. } = site.start_request(None) else { unreachable!() };
    let program = "/nonexistent/postgres".into();
    let start = Request::Start { program, args, env, log, deadline: None };
    let error = guard.request(start).await.expect_err("there is no such program").to_string();
    assert!(
        error.contains("No such file") && error.ends_with("`/nonexistent/postgres`"),
        "{error}"
    );

    // One that runs and fails at once is an ordinary exit.
    fs::write(site.data.join("postgresql.auto.conf"), "no_such = 1\n").expect("written");
    guard.request(site.start_request(None)).await.expect("forked");
    assert_eq!(site.exit(&mut events).await.status, ExitStatus::Code(1));
}

#[tokio::test]
async fn a_terminated_guard_stops_the_server_cleanly_and_leaves() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    site.start(&guard, Some(in_ms(60_000))).await;
    for deaf_to in [Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        send(site.guard_pid(), deaf_to);
    }
    let state = guard.state().await.expect("it still answers");
    assert_eq!(state.phase, Phase::Running);
    send(site.guard_pid(), Signal::SIGTERM);
    assert_eq!(site.exit(&mut events).await.status, ExitStatus::Code(0));
    assert_eq!(site.event(&mut events).await, Event::Gone);
}

#[tokio::test]
async fn the_guard_is_small_and_its_server_inherits_nothing() {
    let mut site = Site::new();
    let (guard, _events) = site.guard().await;
    let pid = site.start(&guard, None).await;
    let status = fs::read_to_string(format!("/proc/{}/status", site.guard_pid())).expect("status");
    let kb = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    eprintln!("resident: {}", kb.trim());
    let kb: u64 = kb.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(kb < 10_000, "resident: {kb} kB");

    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").flatten();
    let open: Vec<_> = open.filter_map(|fd| fs::read_link(fd.path()).ok()).collect();
    // Its log, its own pipe, and its own listening socket, nothing of the guard's.
    let kinds = ["/dev/null", "pipe:", "socket:", "postgres.log"];
    let own = |fd: &PathBuf| kinds.iter().any(|kind| fd.to_string_lossy().contains(kind));
    let sockets = open.iter().filter(|fd| fd.to_string_lossy().starts_with("socket:")).count();
    assert!(open.iter().all(own) && sockets == 1, "{open:?}");
}

#[tokio::test]
async fn an_extended_deadline_keeps_the_server_alive() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    site.start(&guard, None).await;
    let first = in_ms(1_500);
    guard.request(Request::Extend { deadline: first }).await.expect("armed");
    let mut last = first;
    let mut steps = tokio::time::interval(Duration::from_millis(100));
    while now() < first + Duration::from_millis(300) {
        steps.tick().await;
        last = in_ms(1_500);
        guard.request(Request::Extend { deadline: last }).await.expect("in time");
    }
    assert_eq!(site.sql("select 1").as_deref(), Some("1"));
    guard.request(Request::Extend { deadline: first }).await.expect("changes nothing");
    assert_eq!(guard.state().await.expect("state").deadline, Some(last));

    // As a standby it outlives the last one too.
    guard.request(Request::Disarm).await.expect("in time");
    let quiet = last.since(now()) + Duration::from_millis(300);
    assert!(tokio::time::timeout(quiet, events.recv()).await.is_err(), "an event");
    assert_eq!(site.sql("select 1").as_deref(), Some("1"));
}
