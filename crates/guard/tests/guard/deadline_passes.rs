//! Nobody extends the deadline: before it ends, no process is left.

use std::os::unix::net::UnixStream;

use howdah_base::Tick;
use howdah_guard::{Event, ExitStatus, GuardError, Phase, Refusal, Request};
use nix::sys::signal::Signal;
use tokio::sync::mpsc::Receiver;

use crate::site::{Site, in_ms, now, send};

/// Short for a test; the fence begins 700 ms before it.
const LEASE_MS: u64 = 1_500;

#[tokio::test]
async fn a_busy_primary_is_fenced() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    site.start(&guard, None).await;
    site.busy_backend();
    guard.request(Request::Extend { deadline: in_ms(LEASE_MS) }).await.expect("armed");
    let (deadline, begun_at) = fence(&site, &mut events).await;
    let exit = site.exit(&mut events).await;
    assert!(exit.fenced && exit.empty_at < deadline, "{exit:?}, deadline {deadline}");
    assert!(matches!(exit.status, ExitStatus::Code(_)), "SIGQUIT was enough: {exit:?}");
    eprintln!(
        "before the deadline: fence {:?}, no process left {:?}",
        deadline.since(begun_at),
        deadline.since(exit.empty_at)
    );
}

#[tokio::test]
async fn a_stopped_server_is_fenced_by_force() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    site.start(&guard, None).await;
    site.busy_backend();
    for pid in site.survivors() {
        send(pid, Signal::SIGSTOP);
    }
    guard.request(Request::Extend { deadline: in_ms(LEASE_MS) }).await.expect("armed");
    let (deadline, _) = fence(&site, &mut events).await;
    assert_eq!(guard.state().await.expect("state").phase, Phase::Stopping);
    let refused = guard.request(Request::Extend { deadline: in_ms(60_000) }).await;
    assert!(
        matches!(refused, Err(GuardError::Refused(Refusal::Fencing { .. }))),
        "the fence is not taken back: {refused:?}"
    );
    let exit = site.exit(&mut events).await;
    assert_eq!((exit.status, exit.fenced), (ExitStatus::Signal(9), true));
    assert!(exit.empty_at < deadline, "{exit:?}, deadline {deadline}");
    eprintln!("before the deadline: no process left {:?}", deadline.since(exit.empty_at));
}

#[tokio::test]
async fn the_fence_needs_no_agent() {
    let mut site = Site::new();
    let (guard, events) = site.guard().await;
    // One agent is frozen: attached, it neither reads nor extends. The other is gone.
    let _frozen = UnixStream::connect(&site.socket).expect("connected");
    let deadline = in_ms(LEASE_MS);
    guard.request(site.start_request(Some(deadline))).await.expect("started");
    drop((guard, events));
    site.until("the server was there", || !site.survivors().is_empty());
    site.until("no process is left", || site.survivors().is_empty());
    assert!(now() < deadline, "{} past {deadline}", now());
    let (guard, _events) = site.attach().await;
    let exit = guard.state().await.expect("state").last_exit.expect("an exit");
    assert!(exit.fenced && exit.empty_at < deadline, "{exit:?}");
}

#[tokio::test]
async fn a_deadline_in_the_past_ends_a_server_at_once_and_starts_none() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let past = Request::Extend { deadline: in_ms(0) };
    site.start(&guard, None).await;
    guard.request(past).await.expect("taken");
    let asked_at = now();
    assert!(matches!(site.event(&mut events).await, Event::Fenced { .. }));
    let exit = site.exit(&mut events).await;
    assert!(exit.fenced);
    eprintln!("past deadline -> none left: {:?}", exit.empty_at.since(asked_at));
    assert!(exit.empty_at.since(asked_at).as_millis() < 300, "{exit:?}");

    let refused = guard.request(site.start_request(Some(in_ms(0)))).await;
    assert!(matches!(refused, Err(GuardError::Refused(Refusal::DeadlinePassed { .. }))));
    assert!(site.survivors().is_empty());
}

/// Its deadline, and when it began.
async fn fence(site: &Site, events: &mut Receiver<Event>) -> (Tick, Tick) {
    match site.event(events).await {
        Event::Fenced { deadline, at } => (deadline, at),
        other => panic!("not the fence: {other:?}"),
    }
}
