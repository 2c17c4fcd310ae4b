//! Where a server stands: LSNs, timelines, and the history that relates timelines.
//!
//! Source: PostgreSQL documentation, "Write-Ahead Log" and "Timelines";
//! `src/backend/access/transam/timeline.c` for the history file's format.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A byte position in the WAL, written as PostgreSQL writes it (`16/B374D848`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Bytes from `earlier` to `self`; zero when `self` is not ahead.
    pub fn bytes_past(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not an LSN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLsn(pub String);

impl fmt::Display for BadLsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not an LSN such as `0/16B3748`: `{}`", self.0)
    }
}

impl std::error::Error for BadLsn {}

impl FromStr for Lsn {
    type Err = BadLsn;

    fn from_str(text: &str) -> Result<Lsn, BadLsn> {
        let bad = || BadLsn(text.to_owned());
        let (high, low) = text.trim().split_once('/').ok_or_else(bad)?;
        let high = u32::from_str_radix(high, 16).map_err(|_| bad())?;
        let low = u32::from_str_radix(low, 16).map_err(|_| bad())?;
        Ok(Lsn((u64::from(high) << 32) | u64::from(low)))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lsn, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A timeline number. PostgreSQL starts at 1 and adds one at each promotion.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timeline(pub u32);

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A place on a timeline. Two positions compare only through a [`History`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Position {
    pub timeline: Timeline,
    pub lsn: Lsn,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on timeline {}", self.lsn, self.timeline)
    }
}

/// How a timeline came to be: its ancestors with the LSN at which each was left.
///
/// The same content as a `NNNNNNNN.history` file; `forks` is empty for timeline 1.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct History {
    pub timeline: Timeline,
    /// `(ancestor, LSN at which the next timeline left it)`, oldest first.
    #[serde(default)]
    pub forks: Vec<(Timeline, Lsn)>,
}

impl History {
    /// A timeline without ancestors.
    pub fn root(timeline: Timeline) -> History {
        History { timeline, forks: Vec::new() }
    }

    /// Reads a history file's text (`parent TLI <tab> switch point <tab> reason`, `#` comments).
    /// Lines that are not of that form are an error: a damaged history proves nothing.
    pub fn parse(timeline: Timeline, text: &str) -> Result<History, BadLsn> {
        let mut forks = Vec::new();
        for line in text.lines() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut fields = line.split_whitespace();
            let bad = || BadLsn(line.to_owned());
            let parent = fields.next().and_then(|f| f.parse().ok()).ok_or_else(bad)?;
            let switch = fields.next().ok_or_else(bad)?.parse()?;
            forks.push((Timeline(parent), switch));
        }
        Ok(History { timeline, forks })
    }

    /// This history after a promotion at `at` to timeline `next`.
    pub fn promoted(&self, at: Lsn, next: Timeline) -> History {
        let mut forks = self.forks.clone();
        forks.push((self.timeline, at));
        History { timeline: next, forks }
    }

    /// Where this history leaves `timeline`: `Some(None)` while it is still on it,
    /// `None` when it never was on it.
    pub fn leaves(&self, timeline: Timeline) -> Option<Option<Lsn>> {
        if timeline == self.timeline {
            return Some(None);
        }
        self.forks.iter().find(|(t, _)| *t == timeline).map(|(_, lsn)| Some(*lsn))
    }

    /// Whether `position` lies on this history: WAL up to it is shared by both.
    pub fn contains(&self, position: Position) -> bool {
        match self.leaves(position.timeline) {
            None => false,
            Some(None) => true,
            Some(Some(left_at)) => position.lsn <= left_at,
        }
    }

    /// Whether a directory with this history, ending at `end`, is *past* `floor`
    /// (PROTOCOL section 0): its history contains the floor's timeline, does not leave
    /// it before the floor, and `end` is at or beyond the floor's LSN.
    pub fn past(&self, end: Lsn, floor: Position) -> bool {
        self.contains(floor) && end >= floor.lsn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(timeline: u32, lsn: u64) -> Position {
        Position { timeline: Timeline(timeline), lsn: Lsn(lsn) }
    }

    #[test]
    fn lsn_reads_and_writes_as_postgresql_does() {
        let lsn: Lsn = "16/B374D848".parse().expect("valid");
        assert_eq!(lsn.0, 0x16_B374_D848);
        assert_eq!(lsn.to_string(), "16/B374D848");
        for bad in ["", "16", "16/", "/1", "G/1", "1/2/3", "1/100000000"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn history_file_is_parsed_and_damage_is_refused() {
        let text = "1\t0/3000000\tno recovery target specified\n\n# note\n2\t0/5000000\tx\n";
        let history = History::parse(Timeline(3), text).expect("valid");
        assert_eq!(
            history.forks,
            vec![(Timeline(1), Lsn(0x300_0000)), (Timeline(2), Lsn(0x500_0000))]
        );
        assert!(History::parse(Timeline(3), "1\n").is_err());
        assert!(History::parse(Timeline(3), "one\t0/1\n").is_err());
    }

    #[test]
    fn a_position_is_past_a_floor_only_on_the_same_branch() {
        let three = History::root(Timeline(1)).promoted(Lsn(100), Timeline(3));
        assert!(three.past(Lsn(150), at(1, 100)));
        assert!(!three.past(Lsn(150), at(1, 101)), "left timeline 1 before the floor");
        assert!(!three.past(Lsn(150), at(2, 50)), "never was on timeline 2");
        assert!(three.past(Lsn(150), at(3, 150)));
        assert!(!three.past(Lsn(149), at(3, 150)));
    }
}
