//! Waiting without sleeping blindly: until X, at most T, else print what was seen.

use std::thread;
use std::time::{Duration, Instant};

/// Between two looks. Short, because gaps of tens of milliseconds are measured around it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until `look` finds something. Panics after `at_most` with `what` was waited for and
/// with what `seen` prints then: a failed wait is read in a log, long after the cluster is gone.
#[track_caller]
pub fn until<T>(
    what: &str,
    at_most: Duration,
    mut look: impl FnMut() -> Option<T>,
    seen: impl FnOnce() -> String,
) -> T {
    match found_within(at_most, &mut look) {
        Some(found) => found,
        None => panic!("not within {at_most:?}: {what}\n{}", seen()),
    }
}

/// As [`until`], for callers that go on either way.
pub fn found_within<T>(at_most: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + at_most;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Holds when `is_so` stays true for `long`; false as soon as it is not. For "nothing happens":
/// the absence of an event can only be watched for a stated time.
pub fn stays(long: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    found_within(long, || (!is_so()).then_some(())).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_at_once() {
        let found = until("five", Duration::ZERO, || Some(5), String::new);
        assert_eq!(found, 5);
    }

    #[test]
    #[should_panic(expected = "the pond is empty")]
    fn a_failed_wait_says_what_was_seen() {
        until("a duck", Duration::ZERO, || None::<()>, || "the pond is empty".to_owned());
    }

    #[test]
    fn a_state_that_ends_did_not_stay() {
        let mut looks = 0;
        assert!(!stays(Duration::from_secs(5), || {
            looks += 1;
            looks < 3
        }));
    }
}
