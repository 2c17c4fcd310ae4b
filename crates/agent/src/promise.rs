//! What this node has promised, in `state_dir/promise.json`: durable before it is told, read before
//! anything is decided (PROTOCOL sections 2 and 4).

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use howdah_base::Tick;
use howdah_base::record::Revocation;
use howdah_postgres::write_durably;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::clock;
use crate::jobs::blocking;
use crate::shared::Shared;

/// A promise that is not on the disk by then is none.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

/// One write at a time: each goes through the same file beside it.
static WRITING: Mutex<()> = Mutex::new(());

/// The file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Promises {
    /// Nothing is received any more.
    #[serde(default)]
    pub revoked: Revocation,
    /// No part in a takeover is taken for a while.
    #[serde(default)]
    pub held_back: Option<HeldBack>,
}

/// By the clock that counts from the start of the machine, which a later start does not know.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct HeldBack {
    /// Milliseconds since the machine's start.
    until_ms: u64,
    length_ms: u64,
    /// The start of the machine, as its kernel names it.
    boot: [u8; BOOT_LEN],
}

/// Characters of `/proc/sys/kernel/random/boot_id` that tell two starts apart.
const BOOT_LEN: usize = 18;

impl Promises {
    /// What an agent of this node promised last. After another start of the machine the whole
    /// length is waited again. Blocking.
    ///
    /// # Errors
    /// A file that does not read: without it nobody knows what was promised, so the node must not
    /// take part in anything.
    pub fn load(shared: &Shared) -> Result<Promises, String> {
        let path = path(shared);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Promises::default());
            }
            Err(error) => return Err(format!("cannot read, {error}: `{}`", path.display())),
        };
        let read: Promises = serde_json::from_str(&text).map_err(|error| {
            format!(
                "what this node has promised cannot be read, {error}: `{}`\n\
                 hint: with every other node of the cluster running, remove this node's folder and \
                 let it be made anew",
                path.display()
            )
        })?;
        Ok(read.counted_from(clock::now(), boot()))
    }

    fn counted_from(mut self, now: Tick, boot: [u8; BOOT_LEN]) -> Promises {
        if let Some(held) = self.held_back.as_mut().filter(|held| held.boot != boot) {
            (held.until_ms, held.boot) = (now.0 + held.length_ms, boot);
        }
        self
    }

    /// What both bind to.
    fn and(self, other: Promises) -> Promises {
        let of_now = other.held_back.filter(|held| held.boot == boot());
        let held = [self.held_back, of_now].into_iter().flatten();
        Promises {
            revoked: self.revoked.max(other.revoked),
            held_back: held.max_by_key(|held| held.until_ms),
        }
    }

    /// Until then this node takes part in no takeover.
    pub fn held_back_until(&self) -> Option<Tick> {
        self.held_back.map(|held| Tick(held.until_ms))
    }

    /// The same, and held back until then; never shorter than before.
    pub fn holding_back(self, until: Tick, length: Duration) -> Promises {
        let until_ms = until.0.max(self.held_back.map_or(0, |held| held.until_ms));
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let held_back = Some(HeldBack { until_ms, length_ms, boot: boot() });
        Promises { held_back, ..self }
    }

    /// Writes the file, whole and durably. A write that was given up may end at any later time: so
    /// none takes back what stands there by then.
    pub async fn keep(self, shared: &Shared) -> Result<Promises, String> {
        let path = path(shared);
        let written = blocking(move || {
            let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
            let there = std::fs::read_to_string(&path).unwrap_or_default();
            let there: Promises = serde_json::from_str(&there).unwrap_or_default();
            let text = serde_json::to_string(&self.and(there)).map_err(|e| e.to_string())?;
            write_durably(&path, &text).map_err(|e| e.to_string())
        });
        match timeout(WRITE_WITHIN, written).await {
            Ok(written) => written.map(|()| self),
            Err(_) => Err(format!("the disk of state_dir did not take it within {WRITE_WITHIN:?}")),
        }
    }
}

/// Zeros where the kernel does not say: then each start of the agent counts as one of the machine.
fn boot() -> [u8; BOOT_LEN] {
    let text = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.first_chunk().copied().unwrap_or_default()
}

fn path(shared: &Shared) -> PathBuf {
    shared.config.own().state_dir.join("promise.json")
}

#[cfg(test)]
mod tests {
    use howdah_base::Term;

    use super::*;

    #[test]
    fn after_another_start_of_the_machine_the_whole_length_is_waited_again() {
        let length = Duration::from_millis(6_000);
        let held = Promises::default().holding_back(Tick(900_000), length);
        assert_eq!(held.counted_from(Tick(5_000), boot()).held_back_until(), Some(Tick(900_000)));
        let other = [7; BOOT_LEN];
        assert_eq!(held.counted_from(Tick(5_000), other).held_back_until(), Some(Tick(11_000)));
    }

    #[test]
    fn a_write_that_comes_late_takes_nothing_back() {
        let revoked = Revocation { term: Term(3), revision: 9 };
        let told = Promises { revoked, ..Promises::default() };
        let late = Promises::default().holding_back(Tick(9_000), Duration::from_secs(6));
        let both = late.and(told);
        assert_eq!((both.revoked, both.held_back_until()), (revoked, Some(Tick(9_000))));
        assert_eq!(told.and(late), both);
    }

    #[test]
    fn a_promise_is_not_shortened_by_a_later_one() {
        let held = Promises::default().holding_back(Tick(9_000), Duration::from_secs(6));
        let again = held.holding_back(Tick(8_000), Duration::from_secs(6));
        assert_eq!(again.held_back_until(), Some(Tick(9_000)));
    }
}
