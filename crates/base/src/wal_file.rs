//! Names of the files in `pg_wal` that one node may ask another for.
//!
//! Source: `src/include/access/xlog_internal.h`, the same from PostgreSQL 14 to 18.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Lsn, Timeline};

/// A segment (24 hexadecimal digits) or a timeline's history (`0000000A.history`); never a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WalFile(String);

impl WalFile {
    /// The segment of `timeline` that holds the byte at `at`; segments are `size` bytes long.
    pub fn of(timeline: Timeline, at: Lsn, size: u64) -> WalFile {
        let (number, per_id) = (at.0 / size, (1 << 32) / size);
        WalFile(format!("{:08X}{:08X}{:08X}", timeline.0, number / per_id, number % per_id))
    }

    /// The segments that hold the bytes from `from` up to, not including, `end`.
    pub fn between(timeline: Timeline, from: Lsn, end: Lsn, size: u64) -> Vec<WalFile> {
        if end <= from {
            return Vec::new();
        }
        let numbers = from.0 / size..=(end.0 - 1) / size;
        numbers.map(|number| WalFile::of(timeline, Lsn(number * size), size)).collect()
    }

    /// Of a segment or a history.
    pub fn timeline(&self) -> Option<Timeline> {
        u32::from_str_radix(self.0.get(..8)?, 16).ok().map(Timeline)
    }

    /// Where a segment of `size` bytes begins; `None`: a history.
    pub fn start(&self, size: u64) -> Option<Lsn> {
        let number = |digits: &str| u64::from_str_radix(digits, 16).ok();
        let (high, low) = (self.0.get(8..16)?, self.0.get(16..24)?);
        Some(Lsn((number(high)? << 32).checked_add(number(low)?.checked_mul(size)?)?))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is no such name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadWalFile(pub String);

impl fmt::Display for BadWalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a WAL file such as `000000010000000000000003`: `{}`", self.0)
    }
}

impl std::error::Error for BadWalFile {}

impl FromStr for WalFile {
    type Err = BadWalFile;

    fn from_str(text: &str) -> Result<WalFile, BadWalFile> {
        let (digits, len) = match text.strip_suffix(".history") {
            Some(timeline) => (timeline, 8),
            None => (text, 24),
        };
        let hex = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        if digits.len() == len && digits.bytes().all(hex) {
            return Ok(WalFile(text.to_owned()));
        }
        Err(BadWalFile(text.to_owned()))
    }
}

impl Serialize for WalFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WalFile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WalFile, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u64 = 16 << 20;

    #[test]
    fn a_segment_is_named_as_postgresql_names_it() {
        let at = |lsn: &str| WalFile::of(Timeline(1), lsn.parse().expect("an LSN"), SEGMENT);
        assert_eq!(at("0/16B3748").as_str(), "000000010000000000000001");
        assert_eq!(at("16/FF000000").as_str(), "0000000100000016000000FF");
        let large = WalFile::of(Timeline(10), Lsn(0x16_C000_0000), 1 << 30);
        assert_eq!(large.as_str(), "0000000A0000001600000003");
        assert_eq!(large.start(1 << 30), Some(Lsn(0x16_C000_0000)));
        assert_eq!(at("16/FF000000").start(SEGMENT), Some(Lsn(0x16_FF00_0000)));
        assert_eq!("0000000A.history".parse::<WalFile>().ok().and_then(|h| h.start(SEGMENT)), None);
    }

    #[test]
    fn a_stretch_is_all_segments_that_it_touches_and_no_other() {
        let count =
            |from: u64, end: u64| WalFile::between(Timeline(1), Lsn(from), Lsn(end), SEGMENT).len();
        assert_eq!(count(SEGMENT + 5, SEGMENT + 5), 0);
        assert_eq!(count(SEGMENT + 5, SEGMENT + 6), 1);
        assert_eq!(count(SEGMENT, 2 * SEGMENT), 1, "the next one holds nothing of it");
        assert_eq!(count(2 * SEGMENT - 1, 2 * SEGMENT + 1), 2);
        assert_eq!(count(SEGMENT + 5, 4 * SEGMENT), 3);
    }

    #[test]
    fn nothing_but_such_names_is_taken() {
        for good in ["000000010000000000000003", "0000000A.history"] {
            assert_eq!(good.parse::<WalFile>().map(|file| file.to_string()).as_deref(), Ok(good));
        }
        let bad = [
            "",
            "00000001000000000000000",
            "0000000100000000000000003",
            "00000001000000000000000g",
            "00000001000000000000000a",
            "../0000000000000000000003",
            "0000000A.history.tmp",
            "000000010000000000000003.partial",
            ".history",
            "/etc/passwd",
            "00000001\u{e9}000000000000003",
        ];
        for bad in bad {
            assert!(bad.parse::<WalFile>().is_err(), "{bad}");
        }
    }
}
