//! Who is not let in stands in the log, with the reason; so many lines a second at most, because
//! whoever is refused may come again and again.

use std::sync::{Mutex, PoisonError};

use super::Alone;
use super::arrive::Wish;
use super::listen::From;

/// Lines of one second.
const LINES_MAX: u32 = 20;

/// How much was said in which second.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Said>);

#[derive(Default)]
struct Said {
    second: u64,
    lines: u32,
    /// Refusals that no line tells of.
    silent: u64,
}

impl Refusals {
    /// Whether one more line may be: how many were left out before it.
    fn may(&self, second: u64) -> Option<u64> {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if said.second != second {
            (said.second, said.lines) = (second, 0);
        }
        if said.lines >= LINES_MAX {
            said.silent += 1;
            return None;
        }
        said.lines += 1;
        Some(std::mem::take(&mut said.silent))
    }
}

impl Alone {
    pub(super) fn note_refused(&self, from: From, wish: Option<&Wish>, why: &str) {
        let Some(silent) = self.refusals.may(self.started.elapsed().as_secs()) else { return };
        if silent > 0 {
            tracing::info!(count = silent, "others were not let in, without a line for each");
        }
        let user = wish.map(|wish| &*wish.user).unwrap_or_default();
        let database = wish.map(|wish| &*wish.database).unwrap_or_default();
        tracing::info!(user, database, %from, why, "not let in");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_lines_a_second_and_the_others_are_counted() {
        let refusals = Refusals::default();
        let lines = (0..LINES_MAX + 5).filter(|_| refusals.may(7).is_some()).count();
        assert_eq!(lines, LINES_MAX as usize);
        assert_eq!(refusals.may(8), Some(5));
        assert_eq!(refusals.may(8), Some(0));
    }
}
