//! How long to wait before a node that ended is started again: one second, doubling to thirty.

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(1);
const MAX: Duration = Duration::from_secs(30);
/// A node that ran this long has recovered from whatever ended it before.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// The next pause.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Backoff {
    pub fn new() -> Backoff {
        Backoff { next: FIRST }
    }

    /// The pause after a run that somebody ended as planned, who waits for the next one perhaps.
    pub fn after_an_order(&self) -> Duration {
        FIRST
    }

    /// The pause after a run that lasted `ran`.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran >= HEALTHY_AFTER {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(MAX);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_start_over_after_a_good_run() {
        let mut backoff = Backoff::new();
        let short = Duration::from_secs(3);
        let pauses: Vec<u64> = (0..7).map(|_| backoff.after(short).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(backoff.after(HEALTHY_AFTER), FIRST);
        assert_eq!(backoff.after(short), FIRST * 2);
    }
}
