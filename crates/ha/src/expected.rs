//! How long a hand-over and a restart in place are expected to take (PROTOCOL section 6.2).
//!
//! Assumed speeds and not measured ones: they only have to tell a standby that lacks a few
//! records from one that lacks hundreds of megabytes, and a restart after a checkpoint from one
//! that has to replay `max_wal_size` first.

use std::time::Duration;

/// Takeover, promotion and the gate, when nothing is left to be fetched or replayed.
const PROMOTION: Duration = Duration::from_millis(300);
/// A start, the gate, and the first look at a server, when there is nothing to be replayed.
const START: Duration = Duration::from_millis(500);
/// Bytes a second over a network of one gigabit.
const FETCH_SPEED: u64 = 100 << 20;
/// Bytes of WAL a second that one process replays.
const REPLAY_SPEED: u64 = 64 << 20;

/// A standby fetches the WAL that it lacks, replays what it has not replayed, and is promoted.
pub fn handover(lacks: u64, unreplayed: u64) -> Duration {
    PROMOTION + at(FETCH_SPEED, lacks) + at(REPLAY_SPEED, unreplayed.max(lacks))
}

/// The part of it that depends on how much there is to do: at most this long for `bytes`.
pub fn catching_up(bytes: u64) -> Duration {
    at(FETCH_SPEED, bytes) + at(REPLAY_SPEED, bytes)
}

/// The server is started where it was, and replays what is behind its last checkpoint.
pub fn restart(since_redo: u64) -> Duration {
    START + at(REPLAY_SPEED, since_redo)
}

fn at(speed: u64, bytes: u64) -> Duration {
    Duration::from_millis(bytes.saturating_mul(1000) / speed)
}

/// As people read it: `0.3 s`.
pub fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn what_is_expected_is_as_written() {
        let cases = [
            ("nothing to do", handover(0, 0), "0.3 s", restart(0), "0.5 s"),
            ("a few records", handover(8 << 10, 8 << 10), "0.3 s", restart(MB), "0.5 s"),
            ("idle, one lags", handover(640 * MB, 640 * MB), "16.7 s", restart(0), "0.5 s"),
            ("under load", handover(2 * MB, 2 * MB), "0.4 s", restart(512 * MB), "8.5 s"),
            ("a slow replay", handover(0, 640 * MB), "10.3 s", restart(64 * MB), "1.5 s"),
        ];
        for (what, hand_over, its, restart, others) in cases {
            assert_eq!(
                (seconds(hand_over).as_str(), seconds(restart).as_str()),
                (its, others),
                "{what}"
            );
        }
    }

    /// With nothing to fetch and to replay, no restart is ever quicker.
    #[test]
    fn a_standby_that_has_everything_is_always_preferred() {
        for since_redo in [0, 1, MB, 1 << 40] {
            assert!(handover(0, 0) < restart(since_redo));
        }
        assert!(handover(u64::MAX, u64::MAX) > restart(1 << 40), "no overflow");
    }
}
