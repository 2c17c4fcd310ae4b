//! The thread that speaks to the device: one order, one answer.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use howdah_base::Tick;

use super::Wish;
use super::device::{Device, OpenDevice};
use crate::clock;

const STACK_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub enum Order {
    /// Started if it is not, and fed. Nothing after `not_after`: the order may have waited while
    /// the machine was frozen.
    Arm {
        device: PathBuf,
        timeout_s: u32,
        not_after: Tick,
    },
    /// As above.
    Feed {
        not_after: Tick,
    },
    Stop,
}

impl Order {
    pub fn arm(wish: Option<&Wish>, not_after: Tick) -> Order {
        wish.map_or(Order::Stop, |wish| Order::Arm {
            device: wish.device.clone(),
            timeout_s: wish.timeout_s,
            not_after,
        })
    }
}

#[derive(Debug)]
pub enum Heard {
    /// The time that was granted, seconds.
    Armed(Result<u32, String>),
    /// It was neither started nor fed: the time for that had passed.
    Late,
    Fed(Result<(), String>),
    /// It cannot be stopped: its time in seconds.
    Stopped(Result<(), u32>),
}

#[derive(Debug)]
pub struct Keeper {
    orders: SyncSender<Order>,
    heard: Receiver<Heard>,
}

impl Keeper {
    pub fn start(open: OpenDevice) -> Keeper {
        let (orders, waiting) = sync_channel(1);
        let (say, heard) = sync_channel(1);
        let thread = thread::Builder::new().name("watchdog".to_owned()).stack_size(STACK_BYTES);
        // Without the thread no order is taken: the device counts as one that does not answer.
        drop(thread.spawn(move || obey(open, &waiting, &say)));
        Keeper { orders, heard }
    }

    /// One whose orders somebody else obeys.
    #[cfg(test)]
    pub fn apart() -> (Keeper, Receiver<Order>, SyncSender<Heard>) {
        let (orders, waiting) = sync_channel(1);
        let (say, heard) = sync_channel(1);
        (Keeper { orders, heard }, waiting, say)
    }

    /// Whether it was taken; then an answer follows.
    pub fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    pub fn heard(&self) -> Option<Heard> {
        self.heard.try_recv().ok()
    }

    pub fn hear(&self, within: Duration) -> Option<Heard> {
        self.heard.recv_timeout(within).ok()
    }
}

fn obey(open: OpenDevice, orders: &Receiver<Order>, say: &SyncSender<Heard>) {
    let mut running = None;
    for order in orders {
        if say.send(carry_out(open, &mut running, order, clock::now())).is_err() {
            return;
        }
    }
}

/// `running`: the device, while it runs.
pub(super) fn carry_out(
    open: OpenDevice,
    running: &mut Option<Box<dyn Device>>,
    order: Order,
    now: Tick,
) -> Heard {
    match order {
        Order::Arm { not_after, .. } if now > not_after => Heard::Late,
        Order::Arm { device, timeout_s, .. } => Heard::Armed(match running {
            Some(device) => device
                .feed()
                .map(|()| device.timeout_s())
                .map_err(|error| format!("it cannot be fed: {error}")),
            None => open(&device, timeout_s)
                .map(|device| running.insert(device).timeout_s())
                .map_err(|error| format!("`{}`: {error}", device.display())),
        }),
        Order::Feed { not_after } => Heard::Fed(match running {
            Some(device) if now <= not_after => {
                device.feed().map_err(|error| format!("it cannot be fed: {error}"))
            }
            _ => Ok(()),
        }),
        Order::Stop => {
            let stopped = match running {
                Some(device) => device.stop().map_err(|_| device.timeout_s()),
                None => Ok(()),
            };
            if stopped.is_ok() {
                *running = None;
            }
            Heard::Stopped(stopped)
        }
    }
}
