//! The watchdog against a simulated device, in simulated time.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender};

use super::keeper::carry_out;
use super::*;

const TIMEOUT_S: u32 = 4;
const MARGIN_MS: u64 = 500;
/// What the deadline is after each renewal, and how often that is.
const LEASE_MS: u64 = 6_000;
const RENEW_MS: u64 = 1_000;
const STEP_MS: u64 = 10;

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
    /// When the device resets the machine, while it runs.
    static FIRES_AT: Cell<Option<u64>> = const { Cell::new(None) };
    static FEEDS_FAIL: Cell<u32> = const { Cell::new(0) };
    /// Seconds, whatever is asked for.
    static GRANTS: Cell<u32> = const { Cell::new(TIMEOUT_S) };
}

#[derive(Debug)]
struct Simulated;

impl Device for Simulated {
    fn timeout_s(&self) -> u32 {
        GRANTS.get()
    }

    fn feed(&mut self) -> io::Result<()> {
        if FEEDS_FAIL.get() > 0 {
            FEEDS_FAIL.set(FEEDS_FAIL.get() - 1);
            return Err(io::Error::other("no food"));
        }
        FIRES_AT.set(Some(NOW.get() + u64::from(GRANTS.get()) * 1_000));
        Ok(())
    }

    fn stop(&mut self) -> io::Result<()> {
        FIRES_AT.set(None);
        Ok(())
    }
}

fn start(_: &Path, _: u32) -> io::Result<Box<dyn Device>> {
    Simulated.feed()?;
    Ok(Box::new(Simulated))
}

/// A machine with the device, and what runs on it.
struct Machine {
    watchdog: Watchdog,
    orders: Receiver<Order>,
    say: SyncSender<Heard>,
    running: Option<Box<dyn Device>>,
    deadline: Option<Tick>,
    renews: bool,
    renewed_at: u64,
    /// The thread that speaks to the device gets no time.
    thread_waits: bool,
}

impl Machine {
    /// With a device that has been tried, and no server that may write.
    fn new() -> Machine {
        let mut machine = Machine::untried();
        machine.run(500);
        assert_eq!(machine.watchdog.state(), WatchdogState::Stopped);
        assert_eq!(FIRES_AT.get(), None);
        machine
    }

    fn untried() -> Machine {
        NOW.set(100_000);
        FIRES_AT.set(None);
        FEEDS_FAIL.set(0);
        let (keeper, orders, say) = Keeper::apart();
        let mut watchdog = Watchdog::with(keeper);
        watchdog.wish(Some(Wish {
            device: PathBuf::from("simulated"),
            timeout_s: TIMEOUT_S,
            timeout_max_ms: LEASE_MS - RENEW_MS,
            margin_ms: MARGIN_MS,
            required: true,
        }));
        let (deadline, running) = (None, None);
        let (renews, renewed_at, thread_waits) = (false, 0, false);
        Machine { watchdog, orders, say, running, deadline, renews, renewed_at, thread_waits }
    }

    /// A server may write, and the lease is renewed, for so long.
    fn leads(&mut self, for_ms: u64) {
        self.renew();
        self.renews = true;
        self.run(for_ms);
        self.renews = false;
    }

    fn renew(&mut self) {
        self.renewed_at = NOW.get();
        self.deadline = Some(Tick(NOW.get() + LEASE_MS));
    }

    fn run(&mut self, for_ms: u64) {
        let end = NOW.get() + for_ms;
        while NOW.get() < end {
            assert!(!fired(), "the machine was reset at {}", NOW.get());
            if self.renews && NOW.get() >= self.renewed_at + RENEW_MS {
                self.renew();
            }
            self.watchdog.turn(self.deadline, Tick(NOW.get()));
            if !self.thread_waits {
                self.obey();
            }
            NOW.set(NOW.get() + STEP_MS);
        }
    }

    fn obey(&mut self) {
        if let Ok(order) = self.orders.try_recv() {
            let heard = carry_out(start, &mut self.running, order, Tick(NOW.get()));
            self.say.send(heard).expect("the loop's side is there");
        }
    }

    /// Everything that is not frozen goes on until the machine is reset: when that is.
    fn until_reset(&mut self) -> u64 {
        let end = NOW.get() + 20 * LEASE_MS;
        while !fired() {
            assert!(NOW.get() < end, "it is never reset: {:?}", self.watchdog);
            self.run(STEP_MS);
        }
        NOW.get()
    }

    fn deadline_ms(&self) -> u64 {
        self.deadline.expect("a server that may write").0
    }
}

fn fired() -> bool {
    FIRES_AT.get().is_some_and(|at| NOW.get() >= at)
}

#[test]
fn a_leader_that_renews_is_never_reset_and_one_that_ends_stops_the_device() {
    let mut machine = Machine::new();
    machine.leads(60_000);
    machine.deadline = None;
    machine.run(60_000);
    assert_eq!((machine.watchdog.state(), FIRES_AT.get()), (WatchdogState::Stopped, None));
}

#[test]
fn one_that_is_not_renewed_is_reset_after_the_deadline_and_before_others_lead() {
    let mut machine = Machine::new();
    machine.leads(10_300);
    let (reset, deadline) = (machine.until_reset(), machine.deadline_ms());
    assert!(reset > deadline && reset <= deadline + MARGIN_MS, "{reset} for {deadline}");
}

/// Frozen at any moment, and gone on with at any other.
#[test]
fn one_that_was_frozen_is_not_fed_again_too_late() {
    for frozen_at in (10_000..17_000).step_by(130) {
        for frozen_for in (100..4_000).step_by(310) {
            let mut machine = Machine::new();
            machine.leads(10_000);
            let others_lead = machine.deadline_ms() + MARGIN_MS;
            machine.run((frozen_at - 10_000).min(others_lead - 1_000 - NOW.get()));
            // The thread comes to its order after the freeze, with the loop or before it.
            machine.thread_waits = true;
            machine.run(STEP_MS);
            NOW.set(NOW.get() + frozen_for);
            machine.thread_waits = false;
            if !fired() {
                machine.obey();
                machine.until_reset();
            }
            let at = FIRES_AT.get().expect("it runs");
            assert!(at <= others_lead, "at {at}, others lead at {others_lead}: {frozen_at}");
        }
    }
}

#[test]
fn a_feed_that_fails_once_just_before_the_deadline_is_not_made_up_for_too_late() {
    for before_the_end in (0..1_000).step_by(10) {
        let mut machine = Machine::new();
        machine.leads(10_000);
        let others_lead = machine.deadline_ms() + MARGIN_MS;
        let last_food = others_lead - u64::from(TIMEOUT_S) * 1_000;
        machine.run(last_food - before_the_end - NOW.get());
        FEEDS_FAIL.set(1);
        let reset = machine.until_reset();
        assert!(reset <= others_lead, "{reset}, others lead at {others_lead}: {before_the_end}");
    }
}

#[test]
fn a_feed_that_fails_once_while_the_lease_is_renewed_is_made_up_for() {
    let mut machine = Machine::new();
    machine.leads(5_000);
    FEEDS_FAIL.set(1);
    machine.leads(20_000);
    assert_eq!(FEEDS_FAIL.get(), 0);
    assert_eq!(machine.watchdog.state(), WatchdogState::Armed { timeout_s: TIMEOUT_S });
}

#[test]
fn one_that_runs_on_after_a_failed_feed_is_stopped_when_nobody_wants_it_any_more() {
    let mut machine = Machine::new();
    machine.leads(5_000);
    FEEDS_FAIL.set(1);
    while !matches!(machine.watchdog.state(), WatchdogState::Failed { .. }) {
        machine.run(STEP_MS);
    }
    assert!(FIRES_AT.get().is_some(), "it runs");
    machine.watchdog.wish(None);
    machine.run(1_000);
    assert_eq!(FIRES_AT.get(), None);
}

#[test]
fn one_whose_last_feed_fails_after_the_wish_has_gone_is_stopped() {
    let mut machine = Machine::new();
    machine.leads(5_000);
    machine.thread_waits = true;
    while !machine.watchdog.busy {
        machine.run(STEP_MS);
    }
    machine.watchdog.wish(None);
    FEEDS_FAIL.set(1);
    machine.thread_waits = false;
    machine.run(1_000);
    assert_eq!((FEEDS_FAIL.get(), FIRES_AT.get()), (0, None));
}

#[test]
fn it_is_too_late_for_a_deadline_only_where_it_is_required_and_not_armed() {
    let mut machine = Machine::new();
    let (now, late) = (Tick(NOW.get()), Tick(NOW.get() + u64::from(TIMEOUT_S) * 1_000 - MARGIN_MS));
    assert!(!machine.watchdog.is_too_late(late, now), "the last moment");
    assert!(machine.watchdog.is_too_late(Tick(late.0 - 1), now));
    let wish = machine.watchdog.wish.clone().map(|wish| Wish { required: false, ..wish });
    machine.watchdog.wish(wish);
    assert!(!machine.watchdog.is_too_late(now, now), "it is not required");
    let mut leads = Machine::new();
    leads.leads(5_000);
    assert!(!leads.watchdog.is_too_late(Tick(NOW.get()), Tick(NOW.get())), "it is armed");
}

#[test]
fn an_order_to_arm_that_waited_over_a_freeze_starts_nothing() {
    let mut machine = Machine::new();
    machine.renew();
    machine.thread_waits = true;
    machine.run(STEP_MS);
    NOW.set(machine.deadline_ms() + MARGIN_MS);
    machine.obey();
    assert_eq!(FIRES_AT.get(), None);
    machine.thread_waits = false;
    machine.run(5_000);
    assert_eq!(FIRES_AT.get(), None, "{:?}", machine.watchdog);
    machine.leads(10_000);
    assert_eq!(machine.watchdog.state(), WatchdogState::Armed { timeout_s: TIMEOUT_S });
}

#[test]
fn an_order_to_arm_that_waited_over_a_freeze_feeds_nothing_that_runs() {
    let mut machine = Machine::new();
    machine.leads(5_000);
    FEEDS_FAIL.set(1);
    // The loop hears of the failure and orders to arm; the thread comes to that too late.
    while !matches!(machine.watchdog.state(), WatchdogState::Failed { .. }) {
        machine.run(STEP_MS);
    }
    machine.thread_waits = true;
    machine.run(300);
    let fires_at = FIRES_AT.get();
    let too_late = machine.deadline_ms() + MARGIN_MS - u64::from(TIMEOUT_S) * 1_000 + STEP_MS;
    NOW.set(too_late);
    machine.obey();
    assert_eq!(FIRES_AT.get(), fires_at, "it was fed");
    machine.thread_waits = false;
    assert_eq!(
        machine.until_reset().next_multiple_of(100),
        fires_at.unwrap_or(0).next_multiple_of(100)
    );
}

/// The guard hears of it while a server writes.
#[test]
fn a_device_that_grants_more_than_was_asked_for_is_in_time_too() {
    for late in (0..3_000).step_by(50) {
        let mut machine = Machine::untried();
        GRANTS.set(TIMEOUT_S + 1);
        machine.renew();
        NOW.set(NOW.get() + late);
        machine.run(1_000);
        let others_lead = machine.deadline_ms() + MARGIN_MS;
        assert!(FIRES_AT.get().is_none_or(|at| at <= others_lead), "{late}");
        assert_eq!(FIRES_AT.get().is_some(), late <= 1_450, "{late}");
    }
}
