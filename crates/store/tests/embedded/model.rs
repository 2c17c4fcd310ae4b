//! Random calls on the file and on the state machine: both answer alike, also when the file is
//! opened anew in between.

use std::time::Duration;

use howdah_base::Tick;
use howdah_store::embedded::Embedded;
use howdah_store::memory::State;
use howdah_store::{Held, LeaseId, Store, Txn};

use crate::scratch::{Clock, Scratch};

const CALLS: u32 = 400;
const SEEDS: u64 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_answers_as_the_state_machine_does() {
    for seed in 1..=SEEDS {
        let scratch = Scratch::new();
        let clock = Clock::new();
        let mut store = open(&scratch, &clock).await;
        let mut model = State::new();
        let mut dice = Dice(seed);
        for call in 0..CALLS {
            if dice.roll(50) == 0 {
                store = open(&scratch, &clock).await;
            }
            same(&store, &mut model, &clock, &mut dice, &format!("seed {seed}, call {call}")).await;
        }
    }
}

/// One call on both.
async fn same(store: &Embedded, model: &mut State, clock: &Clock, dice: &mut Dice, at: &str) {
    let now = clock.now();
    let lease = LeaseId(dice.roll(8));
    match dice.roll(10) {
        0 => {
            let ttl = Duration::from_millis(1 + dice.roll(50));
            assert_eq!(store.grant(ttl).await, Ok(model.grant(ttl, now)), "{at}");
        }
        1 => {
            let held = Held::from((dice.key(), model.revision()));
            let held = Some(if dice.roll(2) == 0 { held } else { held.marking("beat", &1_u64) });
            let expected = model.renew(lease, held.as_ref(), now);
            assert_eq!(store.renew(lease, held).await, Ok(expected), "{at}");
        }
        2 => assert_eq!(store.renew(lease, None).await, Ok(model.renew(lease, None, now)), "{at}"),
        3 if dice.roll(4) == 0 => {
            model.revoke(lease, now);
            assert_eq!(store.revoke(lease).await, Ok(()), "{at}");
        }
        4 => clock.pass(Duration::from_millis(dice.roll(20))),
        _ => {
            let txn = dice.txn(model, lease);
            assert_eq!(store.txn(txn.clone()).await, Ok(model.txn(txn, now)), "{at}");
        }
    }
    // The store's own thread may have ended leases by now; nothing is left to it here.
    model.expire(clock.now());
    assert_eq!(store.snapshot().await, Ok(model.snapshot()), "{at}");
}

async fn open(scratch: &Scratch, clock: &Clock) -> Embedded {
    Embedded::open(&scratch.store(), clock.options("this-boot")).await.expect("opens")
}

/// Pseudo-random numbers (xorshift): a seed is all that a failure needs.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn key(&mut self) -> String {
        format!("key-{}", self.roll(4))
    }

    /// Compares and changes few keys, so that about half of them apply.
    fn txn(&mut self, model: &State, lease: LeaseId) -> Txn {
        let compared = self.key();
        let seen = model.snapshot().entries.get(&compared).map(|entry| entry.revision);
        let txn = Txn::new().as_seen(compared, if self.roll(3) == 0 { None } else { seen });
        let (value, key) = (self.roll(1000), self.roll(3));
        match self.roll(4) {
            0 => txn.delete(format!("key-{key}")),
            1 => txn.put_leased(format!("key-{key}"), &value, lease),
            2 => txn.put("key-3", &value).put_leased(format!("key-{key}"), &value, lease),
            _ => txn.put(format!("key-{key}"), &value),
        }
    }
}

impl Clock {
    fn now(&self) -> Tick {
        (self.options("this-boot").now)()
    }
}
