//! Durations and sizes as people write them: `"10s"`, `"4GB"`.
//!
//! The suffixes are PostgreSQL's (documentation, "Setting Parameters"): sizes `B kB MB GB TB`
//! in powers of 1024, times `us ms s min h d`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A size in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Bytes(pub u64);

/// A length of time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span(pub Duration);

/// The text is not a size or a duration; the message says what one looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadUnit {
    pub text: String,
    pub want: &'static str,
}

impl fmt::Display for BadUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}: `{}`", self.want, self.text)
    }
}

impl std::error::Error for BadUnit {}

const SIZES: [(&str, u64); 5] =
    [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];
/// Unit and its length in microseconds.
const TIMES: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("min", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

fn scale(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, unit) = split(text)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

fn shortest(value: u64, units: &[(&str, u64)], zero: &str) -> String {
    let fits = units.iter().find(|(_, factor)| value != 0 && value.is_multiple_of(*factor));
    fits.map_or_else(|| zero.to_owned(), |(name, factor)| format!("{}{name}", value / factor))
}

impl FromStr for Bytes {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Bytes, BadUnit> {
        let want = "a size such as `\"4GB\"` (B, kB, MB, GB, TB)";
        scale(text, &SIZES).map(Bytes).ok_or_else(|| BadUnit { text: text.to_owned(), want })
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shortest(self.0, &SIZES, "0B"))
    }
}

impl FromStr for Span {
    type Err = BadUnit;

    fn from_str(text: &str) -> Result<Span, BadUnit> {
        let want = "a duration such as `\"10s\"` (us, ms, s, min, h, d)";
        scale(text, &TIMES)
            .map(|micros| Span(Duration::from_micros(micros)))
            .ok_or_else(|| BadUnit { text: text.to_owned(), want })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        f.write_str(&shortest(micros, &TIMES, "0s"))
    }
}

macro_rules! text_serde {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

text_serde!(Bytes);
text_serde!(Span);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_as_postgresql_reads_them() {
        assert_eq!("4GB".parse::<Bytes>().expect("size"), Bytes(4 << 30));
        assert_eq!("16 kB".parse::<Bytes>().expect("size"), Bytes(16 << 10));
        assert_eq!("10s".parse::<Span>().expect("span").0, Duration::from_secs(10));
        assert_eq!("5min".parse::<Span>().expect("span").0, Duration::from_secs(300));
        for bad in ["", "4", "4gb", "GB", "-1s", "1.5h", "10 parsecs", "99999999999TB"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in ["0B", "1B", "8kB", "3MB", "4GB", "2TB"] {
            assert_eq!(text.parse::<Bytes>().expect("size").to_string(), text);
        }
        for text in ["0s", "1us", "250ms", "90s", "5min", "2h", "7d"] {
            assert_eq!(text.parse::<Span>().expect("span").to_string(), text);
        }
    }
}
