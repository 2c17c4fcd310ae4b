//! Numbers and states as a person reads them.

use howdah_base::record::ServerState;
use howdah_base::status::NodeStatus;

/// What stands where nothing is known.
pub const NOTHING: &str = "-";

const SIZES: [(&str, u64); 4] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];

/// What the node's server is, in one word.
pub fn role(node: &NodeStatus) -> &'static str {
    match node.state {
        _ if !node.alive => NOTHING,
        _ if is_witness(node) => "witness",
        ServerState::Primary | ServerState::PrimaryGated => "primary",
        ServerState::Standby | ServerState::Streaming => "standby",
        _ => NOTHING,
    }
}

/// What the node's server does.
pub fn state(node: &NodeStatus) -> &'static str {
    match node.state {
        _ if !node.alive => "not seen",
        _ if is_witness(node) => "running",
        ServerState::Creating => "being created",
        ServerState::Stopped => "stopped",
        ServerState::Starting => "starting",
        ServerState::PrimaryGated => "not open yet",
        ServerState::Primary => "running",
        ServerState::Standby => "not streaming",
        ServerState::Streaming => "streaming",
        ServerState::Stopping => "stopping",
        ServerState::Refused => "refused",
        ServerState::Unknown => "no answer",
    }
}

fn is_witness(node: &NodeStatus) -> bool {
    node.member.as_ref().is_some_and(|member| member.witness)
}

/// Bytes behind and time behind: `16.0 MB, 3.2 s`.
pub fn lag(node: &NodeStatus) -> String {
    match (node.lag_bytes, node.lag_ms) {
        (None, None) => NOTHING.to_owned(),
        (Some(bytes), None) => size(bytes),
        (None, Some(ms)) => span(ms),
        (Some(bytes), Some(ms)) => format!("{}, {}", size(bytes), span(ms)),
    }
}

/// To one decimal; bytes are exact, because there each one counts.
pub fn size(bytes: u64) -> String {
    match SIZES.iter().find(|(_, factor)| bytes >= *factor) {
        None => format!("{bytes} B"),
        Some((unit, factor)) => {
            let tenths = u128::from(bytes) * 10 / u128::from(*factor);
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
    }
}

/// Milliseconds up to a second, then ever coarser.
pub fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} min", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// A wall-clock time in UTC: `2026-05-20 12:34:56`.
pub fn moment(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (year, month, day) = howdah_base::calendar::date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_short() {
        let sizes = [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 kB"), (16 << 20, "16.0 MB")];
        for (bytes, text) in sizes {
            assert_eq!(size(bytes), text);
        }
        assert_eq!(size(u64::MAX), "16777215.9 TB");
        let spans = [(0, "0 ms"), (999, "999 ms"), (3_250, "3.2 s"), (61_000, "1 min 1 s")];
        for (ms, text) in spans {
            assert_eq!(span(ms), text);
        }
        assert_eq!(span(7_260_000), "2 h 1 min");
    }

    #[test]
    fn dates_are_right_at_the_edges() {
        assert_eq!(moment(0), "1970-01-01 00:00:00");
        assert_eq!(moment(951_782_399_999), "2000-02-28 23:59:59");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(moment(1_767_225_599_000), "2025-12-31 23:59:59");
        assert_eq!(moment(4_107_542_400_000), "2100-03-01 00:00:00");
    }
}
