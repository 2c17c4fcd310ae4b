//! Moments of the wall clock as people and Patroni's clients write them.
//!
//! RFC 3339, with the freedoms of ISO 8601 that are in use: a blank for the `T`, no seconds, an
//! offset without a colon. And `+10min`: from now.

use std::fmt::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use howdah_base::{Span, calendar};

/// Why a text is no moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadMoment {
    Unreadable,
    /// A time without its offset means something else on each machine.
    NoTimeZone,
}

impl fmt::Display for BadMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadMoment::Unreadable => "not a moment such as `2030-01-31T04:00:00+02:00` or `+10min`",
            BadMoment::NoTimeZone => {
                "the time zone is missing: write `2030-01-31T04:00:00+02:00`, or end it with `Z`"
            }
        })
    }
}

impl std::error::Error for BadMoment {}

/// Milliseconds since 1970; before that, 0.
pub fn now_unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Reads a moment; `now` is what `+10min` counts from. All in milliseconds since 1970.
pub fn parse(text: &str, now: u64) -> Result<u64, BadMoment> {
    let text = text.trim();
    if let Some(span) = text.strip_prefix('+') {
        let span: Span = span.parse().map_err(|_| BadMoment::Unreadable)?;
        return Ok(now.saturating_add(u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)));
    }
    let (date, rest) = text.split_once(['T', 't', ' ']).ok_or(BadMoment::Unreadable).and_then(
        |(date, rest)| Ok((days(date).ok_or(BadMoment::Unreadable)?, rest.trim_start())),
    )?;
    let zone = rest.find(['Z', 'z', '+', '-']);
    let (clock, zone) = rest.split_at(zone.unwrap_or(rest.len()));
    let clock = clock_ms(clock.trim_end()).ok_or(BadMoment::Unreadable)?;
    if zone.is_empty() {
        return Err(BadMoment::NoTimeZone);
    }
    let offset = offset_ms(zone).ok_or(BadMoment::Unreadable)?;
    u64::try_from(date * DAY_MS + clock - offset).map_err(|_| BadMoment::Unreadable)
}

/// RFC 3339 in UTC, to the second where the rest is zero: `2026-05-20T12:34:56+00:00`.
pub fn rfc3339(unix_ms: u64) -> String {
    let seconds = unix_ms / 1_000;
    let (year, month, day) = calendar::date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if !unix_ms.is_multiple_of(1_000) {
        // Writing to a string does not fail.
        let _ = write!(text, ".{:03}", unix_ms % 1_000);
    }
    text + "+00:00"
}

const DAY_MS: i64 = 86_400_000;

fn days(date: &str) -> Option<i64> {
    let parts: Vec<&str> = date.split('-').collect();
    let [year, month, day] = parts[..] else { return None };
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=last).contains(&day).then(|| calendar::days(year, month, day))
}

/// `04:00`, `04:00:00`, `04:00:00.123456`.
fn clock_ms(clock: &str) -> Option<i64> {
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = whole.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next().map_or(Some(0), |second| digits(second, 2))?;
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    Some(((hour * 60 + minute) * 60 + second) * 1_000 + thousandths)
}

/// `Z`, `+02:00`, `-0530`, `+02`.
fn offset_ms(zone: &str) -> Option<i64> {
    if zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = zone.split_at(1);
    let rest = rest.replace(':', "");
    let (hours, minutes) = match rest.len() {
        2 => (digits(&rest, 2)?, 0),
        4 => (digits(&rest[..2], 2)?, digits(&rest[2..], 2)?),
        _ => return None,
    };
    let most = hours <= 23 && minutes <= 59;
    let ms = (hours * 60 + minutes) * 60_000;
    most.then_some(if sign == "-" { -ms } else { ms })
}

fn digits(text: &str, len: usize) -> Option<i64> {
    let all = text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_900_000_000_000;

    #[test]
    fn the_forms_in_use_are_read() {
        for (text, wanted) in [
            ("2026-05-20T12:34:56Z", "2026-05-20T12:34:56+00:00"),
            ("2026-05-20 12:34:56+00:00", "2026-05-20T12:34:56+00:00"),
            ("2026-05-20T12:34+02:00", "2026-05-20T10:34:00+00:00"),
            ("2026-05-20T12:34:56.5-0530", "2026-05-20T18:04:56.500+00:00"),
            ("2026-05-20T00:30:00.123456+01", "2026-05-19T23:30:00.123+00:00"),
            ("2028-02-29T00:00:00z", "2028-02-29T00:00:00+00:00"),
            ("2000-03-01t00:00:00Z", "2000-03-01T00:00:00+00:00"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(parse(text, NOW).map(rfc3339).as_deref(), Ok(wanted), "{text}");
        }
        assert_eq!(parse("+10min", NOW), Ok(NOW + 600_000));
        assert_eq!(parse("+0s", NOW), Ok(NOW));
    }

    #[test]
    fn what_is_printed_reads_back() {
        for unix_ms in [0, 1, 951_782_399_999, 4_107_542_400_000, 1_779_280_496_123] {
            assert_eq!(parse(&rfc3339(unix_ms), 0), Ok(unix_ms));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in ["2026-05-20T12:34:56", "2026-05-20 12:34"] {
            assert_eq!(parse(text, NOW), Err(BadMoment::NoTimeZone), "{text}");
        }
        for text in [
            "",
            "tomorrow",
            "2026-05-20",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-05-20T24:00:00Z",
            "2026-05-20T12:60:00Z",
            "2026-05-20T12Z",
            "+10",
            "+ten",
            "2026-05-20T12:34:56+2:00",
            "2026-05-20T12:34:56+24:00",
            "1969-12-31T23:59:59Z",
            "2026-5-20T12:34:56Z",
            "2026-05-20T12:34:56.Z",
            "2026-05-20T12:34:56.1x+00:00",
        ] {
            assert_eq!(parse(text, NOW), Err(BadMoment::Unreadable), "{text}");
        }
    }
}
