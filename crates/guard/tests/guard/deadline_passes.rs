//! Nobody extends the deadline: before it ends, no process is left.

use howdah_guard::{Event, ExitStatus, GuardError, Phase, Refusal, Request};
use nix::sys::signal::Signal;
use tokio::sync::mpsc::Receiver;

use crate::site::{Site, in_ms, now, send};

/// The fence and the end, both before the deadline.
async fn fenced(site: &Site, events: &mut Receiver<Event>) -> ExitStatus {
    let event = site.event(events).await;
    let Event::Fenced { deadline, at } = event else { panic!("not the fence: {event:?}") };
    let exit = site.exit(events).await;
    assert!(exit.fenced);
    assert!(exit.empty_at < deadline, "{exit:?}, deadline {deadline}");
    println!(
        "fence at -{:?}, no process left at -{:?}",
        deadline.since(at),
        deadline.since(exit.empty_at)
    );
    exit.status
}

#[tokio::test]
async fn a_busy_primary_is_fenced() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let deadline = in_ms(3_000);
    site.start(&guard, Some(deadline)).await;
    site.busy_backend();
    assert!(matches!(fenced(&site, &mut events).await, ExitStatus::Code(_)), "by SIGQUIT");
    assert!(now() < deadline);
}

#[tokio::test]
async fn a_stopped_postmaster_and_backend_are_fenced_by_force() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    site.start(&guard, Some(in_ms(3_000))).await;
    site.busy_backend();
    for pid in site.survivors() {
        send(pid, Signal::SIGSTOP);
    }
    let event = site.event(&mut events).await;
    let Event::Fenced { deadline, .. } = event else { panic!("not the fence: {event:?}") };
    assert_eq!(guard.state().await.expect("state").phase, Phase::Stopping);
    let refused = guard.request(Request::Extend { deadline: in_ms(60_000) }).await;
    assert!(
        matches!(refused, Err(GuardError::Refused(Refusal::Fencing { .. }))),
        "the fence is not taken back: {refused:?}"
    );
    let exit = site.exit(&mut events).await;
    assert_eq!((exit.status, exit.fenced), (ExitStatus::Signal(9), true));
    assert!(exit.empty_at < deadline, "{exit:?}, deadline {deadline}");
}

#[tokio::test]
async fn the_fence_needs_no_client() {
    let mut site = Site::new();
    let (guard, events) = site.guard().await;
    let deadline = in_ms(2_500);
    site.start(&guard, Some(deadline)).await;
    site.busy_backend();
    // The agent dies, or is frozen: nobody is attached, nobody extends.
    drop((guard, events));
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
    println!("past deadline -> none left: {:?}", exit.empty_at.since(asked_at));
    assert!(exit.empty_at.since(asked_at).as_millis() < 300, "{exit:?}");

    let refused = guard.request(site.start_request(Some(in_ms(0)))).await;
    assert!(matches!(refused, Err(GuardError::Refused(Refusal::DeadlinePassed { .. }))));
    assert!(site.survivors().is_empty());
}
