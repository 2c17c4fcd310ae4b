//! `[backup.schedule]`: when what is done, and the calendar that days are counted in.

use std::fmt;
use std::sync::Arc;

use croner::parser::{CronParser, Seconds, Year};
use howdah_base::Span;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// What is done by itself, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduleSpec {
    pub backup: Option<Cron>,
    /// A backup that stores all pages anew.
    pub full: Option<Cron>,
    pub verify: Option<Cron>,
    pub drill: When,
    pub expire: When,
    pub zone: Zone,
    /// What takes longer is ended, and has failed.
    pub at_most: Span,
}

/// When something is done that may follow on backups.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum When {
    Off,
    /// A drill after the first one of a day, expiry after each.
    AfterBackup,
    At(Cron),
}

impl When {
    /// The words of the cluster file.
    pub const OFF: &'static str = "off";
    pub const AFTER_BACKUP: &'static str = "after-backup";

    /// `None`: it has no moments of its own.
    pub fn cron(&self) -> Option<&Cron> {
        match self {
            When::At(cron) => Some(cron),
            When::Off | When::AfterBackup => None,
        }
    }

    /// As the cluster file has it.
    pub fn text(&self) -> &str {
        match self {
            When::Off => When::OFF,
            When::AfterBackup => When::AFTER_BACKUP,
            When::At(cron) => cron.text(),
        }
    }
}

/// A cron expression of five fields: minute, hour, day of the month, month, day of the week.
///
/// What falls into an hour that a zone leaves out is done at the first moment after it; what falls
/// into one that comes twice, at the first of the two. Expressions with `*` or steps in minute or hour
/// follow the clock instead.
#[derive(Clone)]
pub struct Cron {
    text: String,
    pattern: Arc<croner::Cron>,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Cron) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Cron {
    /// # Errors
    /// Why it is none.
    pub fn parse(text: &str) -> Result<Cron, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed);
        let fields = text.split_whitespace().count();
        if fields != 5 && !text.starts_with('@') {
            return Err(format!("it has {fields} fields, not 5"));
        }
        let pattern = parser.build().parse(text).map_err(|error| plain(&error.to_string()))?;
        let cron = Cron { text: text.to_owned(), pattern: Arc::new(pattern) };
        match cron.next(0, &Zone::utc()) {
            Some(_) => Ok(cron),
            None => Err("no day is such a one".to_owned()),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first moment after this one, milliseconds since 1970.
    pub fn next(&self, after: u64, zone: &Zone) -> Option<u64> {
        moment(&self.pattern.find_next_occurrence(&zone.at(after)?, false).ok()?)
    }

    /// The last moment that is not later than this one.
    pub fn last(&self, until: u64, zone: &Zone) -> Option<u64> {
        moment(&self.pattern.find_previous_occurrence(&zone.at(until)?, true).ok()?)
    }
}

/// Croner's sentences begin with its own names and end with a full stop.
fn plain(said: &str) -> String {
    let said = said.split_once(": ").map_or(said, |(_, rest)| rest).trim_end_matches('.');
    let mut letters = said.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// A zone of the IANA's data base, which is part of this program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// A day of a zone's calendar.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date {
    pub year: i16,
    pub month: u8,
    pub day: u8,
    /// Of ISO 8601: the year that the week belongs to, and its number.
    pub week: (i16, u8),
}

impl Zone {
    pub fn utc() -> Zone {
        Zone { name: "UTC".to_owned(), zone: TimeZone::UTC }
    }

    /// `None`: no zone is called so.
    pub fn named(name: &str) -> Option<Zone> {
        let zone = TimeZone::get(name).ok()?;
        Some(Zone { name: zone.iana_name().unwrap_or(name).to_owned(), zone })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The day on which a moment falls, milliseconds since 1970.
    pub fn date(&self, unix_ms: u64) -> Option<Date> {
        let date = self.at(unix_ms)?.date();
        let week = date.iso_week_date();
        let number = u8::try_from(week.week()).ok()?;
        Some(Date {
            year: date.year(),
            month: u8::try_from(date.month()).ok()?,
            day: u8::try_from(date.day()).ok()?,
            week: (week.year(), number),
        })
    }

    /// 1970 began with it.
    pub fn first_day(&self) -> Date {
        Date { year: 1970, month: 1, day: 1, week: (1970, 1) }
    }

    /// As a person reads it: `2030-01-31 04:00 CET`.
    pub fn shown(&self, unix_ms: u64) -> String {
        self.at(unix_ms).map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M %Z").to_string())
    }

    fn at(&self, unix_ms: u64) -> Option<Zoned> {
        let at = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
        Some(at.to_zoned(self.zone.clone()))
    }
}

fn moment(at: &Zoned) -> Option<u64> {
    u64::try_from(at.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u64 {
        let at: Timestamp = text.parse().expect("a moment");
        u64::try_from(at.as_millisecond()).expect("since 1970")
    }

    fn shown(ms: Option<u64>) -> String {
        let ms = i64::try_from(ms.expect("a moment")).expect("a moment");
        Timestamp::from_millisecond(ms).expect("a moment").to_string()
    }

    /// What comes after and what was before a moment.
    fn check(cron: &str, zone: &str, at: &str, last: &str, next: &str) {
        let cron = Cron::parse(cron).expect("an expression");
        let zone = Zone::named(zone).expect("a zone");
        let (before, after) = (shown(cron.last(ms(at), &zone)), shown(cron.next(ms(at), &zone)));
        assert_eq!((before.as_str(), after.as_str()), (last, next), "{} at {at}", cron.text());
    }

    #[test]
    fn an_expression_is_read_in_its_zone() {
        let (zone, at) = ("Asia/Kolkata", "2026-05-05T12:00:00Z");
        check("0 1 * * *", "UTC", at, "2026-05-05T01:00:00Z", "2026-05-06T01:00:00Z");
        check("0 1 * * *", zone, at, "2026-05-04T19:30:00Z", "2026-05-05T19:30:00Z");
        check("*/15 * * * *", "UTC", at, at, "2026-05-05T12:15:00Z");
        check("0 3 * * SUN", "UTC", at, "2026-05-03T03:00:00Z", "2026-05-10T03:00:00Z");
        check("0 0 29 2 *", "UTC", at, "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z");
        check("@daily", "UTC", at, "2026-05-05T00:00:00Z", "2026-05-06T00:00:00Z");
    }

    #[test]
    fn an_hour_that_is_left_out_or_comes_twice_has_one_backup() {
        let berlin = "Europe/Berlin";
        // From 02:00 to 03:00 on the 29th of March nothing is; 01:00 to 02:00 UTC is 03:00 to 04:00.
        let gap = ("2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z");
        check("30 2 * * *", berlin, "2026-03-28T12:00:00Z", gap.0, gap.1);
        check("30 2 * * *", berlin, "2026-03-29T12:00:00Z", gap.1, gap.2);
        // From 02:00 to 03:00 on the 25th of October everything is twice.
        let twice = ("2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
        check("30 2 * * *", berlin, "2026-10-24T12:00:00Z", twice.0, twice.1);
        check("30 2 * * *", berlin, "2026-10-25T01:31:00Z", twice.1, twice.2);
    }

    #[test]
    fn what_is_no_expression_says_why() {
        for (text, why) in [
            ("", "it has 0 fields, not 5"),
            ("0 1 * *", "it has 4 fields, not 5"),
            ("0 0 1 * * *", "it has 6 fields, not 5"),
            ("0 0 30 2 *", "no day is such a one"),
        ] {
            assert_eq!(Cron::parse(text), Err(why.to_owned()), "{text}");
        }
        for text in ["61 1 * * *", "0 25 * * *", "a b c d e", "0 1 * * 9", "@nightly"] {
            let why = Cron::parse(text).expect_err(text);
            assert!(why.starts_with(|c: char| c.is_lowercase() || c == '\''), "{text}: {why}");
        }
    }

    #[test]
    fn days_and_weeks_are_those_of_the_zone() {
        let day = |zone: &str, at: &str| {
            let date = Zone::named(zone).expect("a zone").date(ms(at)).expect("a day");
            (date.year, date.month, date.day, date.week)
        };
        assert_eq!(day("UTC", "2023-01-01T23:59:59Z"), (2023, 1, 1, (2022, 52)));
        assert_eq!(day("Europe/Berlin", "2023-01-01T23:59:59Z"), (2023, 1, 2, (2023, 1)));
        assert_eq!(day("America/New_York", "2024-01-01T04:00:00Z"), (2023, 12, 31, (2023, 52)));
        assert_eq!(day("UTC", "2021-01-03T12:00:00Z"), (2021, 1, 3, (2020, 53)));
        assert_eq!(day("UTC", "2024-12-30T00:00:00Z"), (2024, 12, 30, (2025, 1)));
        assert_eq!(Zone::named("Mars/Olympus"), None);
        assert_eq!(Zone::named("europe/berlin").map(|z| z.name), Some("Europe/Berlin".to_owned()));
    }
}
