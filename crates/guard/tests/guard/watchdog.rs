//! A watchdog is fed while the deadline lies ahead, goes hungry with a guard that is frozen, and
//! is stopped wherever nothing may write.

use std::fs;
use std::path::PathBuf;

use howdah_guard::{GuardError, Refusal, Request, WatchdogState, WatchdogWish};
use nix::sys::signal::Signal;

use crate::site::{Site, in_ms, now, send};

const TIMEOUT_S: u32 = 2;
const MARGIN_MS: u64 = 1_000;

/// The file that the guard under test writes its device's life into.
struct Device(PathBuf);

impl Device {
    fn of(site: &Site) -> Device {
        let path = site.dir.join("watchdog");
        fs::write(&path, "").expect("a device");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        fs::set_permissions(&path, open).expect("open to the guard");
        Device(path)
    }

    fn wish(&self, required: bool) -> Request {
        Request::Watch {
            wish: Some(WatchdogWish {
                device: self.0.clone(),
                timeout_s: TIMEOUT_S,
                timeout_max_ms: 5_000,
                margin_ms: MARGIN_MS,
                required,
            }),
        }
    }

    /// What was done, and when.
    fn life(&self) -> Vec<(String, u64)> {
        let text = fs::read_to_string(&self.0).expect("the device");
        let line = |line: &str| {
            let (what, at) = line.split_once(' ').expect("a line");
            (what.to_owned(), at.parse().expect("a time"))
        };
        text.lines().map(line).collect()
    }

    fn last(&self) -> Option<(String, u64)> {
        self.life().pop()
    }

    /// When it would reset the machine; never once it was stopped.
    fn fires_at(&self) -> Option<u64> {
        let (what, at) = self.last()?;
        (what != "stop").then_some(at + u64::from(TIMEOUT_S) * 1_000)
    }
}

#[tokio::test]
async fn a_frozen_guard_lets_it_fire_before_others_may_lead() {
    let mut site = Site::new();
    let (guard, _events) = site.guard().await;
    let device = Device::of(&site);
    guard.request(device.wish(true)).await.expect("taken");
    site.until("it was tried and stopped", || {
        device.fires_at().is_none() && !device.life().is_empty()
    });
    let deadline = in_ms(4_000);
    site.start(&guard, Some(deadline)).await;
    site.until("it is fed", || device.last().is_some_and(|(what, _)| what == "feed"));
    send(site.guard_pid(), Signal::SIGSTOP);
    let (frozen, others) = (now().0, deadline.0 + MARGIN_MS);
    let fires = device.fires_at().expect("it runs");
    assert!(
        fires > frozen && fires <= others,
        "fires at {fires}, frozen {frozen}, others {others}"
    );
    send(site.guard_pid(), Signal::SIGCONT);
}

/// The guard lives, only nobody extends: the fence is quicker, and the machine stays.
#[tokio::test]
async fn a_deadline_that_passes_costs_the_server_and_not_the_machine() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let device = Device::of(&site);
    guard.request(device.wish(true)).await.expect("taken");
    let deadline = in_ms(3_000);
    site.start(&guard, Some(deadline)).await;
    assert!(matches!(site.event(&mut events).await, howdah_guard::Event::Fenced { .. }));
    assert!(site.exit(&mut events).await.fenced);
    site.until("it is stopped", || device.fires_at().is_none());
    let life = device.life();
    let last_food = life.iter().rev().find(|(what, _)| what != "stop").expect("it ran").1;
    let fed_until = deadline.0 + MARGIN_MS - u64::from(TIMEOUT_S) * 1_000;
    assert!(last_food <= fed_until, "fed at {last_food}, later than {fed_until}: {life:?}");
    let stopped = life.last().expect("a life").1;
    assert!(stopped < last_food + u64::from(TIMEOUT_S) * 1_000, "it would have fired: {life:?}");
}

#[tokio::test]
async fn without_a_required_one_nothing_may_write() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let device = Device::of(&site);
    fs::remove_file(&device.0).expect("no device");
    let failed = |state: &WatchdogState| matches!(state, WatchdogState::Failed { .. });
    guard.request(device.wish(true)).await.expect("taken");
    let refused = guard.request(site.start_request(Some(in_ms(10_000)))).await;
    let of = |result: &Result<_, GuardError>| {
        matches!(result, Err(GuardError::Refused(Refusal::NoWatchdog { .. })))
    };
    assert!(of(&refused), "{refused:?}");
    site.start(&guard, None).await;
    let refused = guard.request(Request::Extend { deadline: in_ms(10_000) }).await;
    assert!(of(&refused), "a standby is not promoted: {refused:?}");
    let state = guard.state().await.expect("a state");
    assert!(failed(&state.watchdog) && state.deadline.is_none(), "{state:?}");
    // Where it is only wished for, it is gone without.
    guard.request(device.wish(false)).await.expect("taken");
    guard.request(Request::Extend { deadline: in_ms(10_000) }).await.expect("armed without it");
    assert!(failed(&guard.state().await.expect("a state").watchdog));
    site.stop(&guard, &mut events).await;
}

#[tokio::test]
async fn a_standby_and_a_guard_that_leaves_have_it_stopped() {
    let mut site = Site::new();
    let (guard, mut events) = site.guard().await;
    let device = Device::of(&site);
    guard.request(device.wish(false)).await.expect("taken");
    site.start(&guard, Some(in_ms(20_000))).await;
    site.until("it is fed", || device.last().is_some_and(|(what, _)| what == "feed"));
    guard.request(Request::Disarm).await.expect("a standby");
    site.until("it is stopped", || device.fires_at().is_none());
    guard.request(Request::Extend { deadline: in_ms(20_000) }).await.expect("promoted");
    site.until("it runs again", || device.fires_at().is_some());
    site.stop(&guard, &mut events).await;
    guard.request(Request::Leave).await.expect("nothing is left");
    site.until("it is stopped for good", || device.fires_at().is_none());
}
