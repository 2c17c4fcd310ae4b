//! Which backups stay, by count, age and calendar, and why each of them does.

use std::collections::BTreeSet;
use std::fmt;

/// How long backups stay. A rule that is zero keeps nothing; the newest backup always stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// So many of the newest.
    pub last: u32,
    /// Those not older than this, milliseconds.
    pub within_ms: u64,
    /// The newest of each of so many days, weeks, months and years that have one.
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
    pub yearly: u32,
}

/// A day in the zone that the rules count in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Day {
    pub year: i16,
    pub month: u8,
    pub day: u8,
    /// Of ISO 8601: the year that the week belongs to, and its number.
    pub week: (i16, u8),
}

/// A backup, as far as the rules look at it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dated {
    pub label: String,
    /// When it was complete, milliseconds since 1970.
    pub stopped_at: u64,
    pub day: Day,
}

/// Why a backup stays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Why {
    Newest,
    Last,
    Within,
    Daily,
    Weekly,
    Monthly,
    Yearly,
    /// A moment of the recovery window is reached from it; said by [`super::reach::bases`].
    Window,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Newest => "newest",
            Why::Last => "last",
            Why::Within => "within",
            Why::Daily => "daily",
            Why::Weekly => "weekly",
            Why::Monthly => "monthly",
            Why::Yearly => "yearly",
            Why::Window => "window",
        })
    }
}

/// Why each backup stays, in the order given; nothing: it goes.
pub fn keep(backups: &[Dated], rules: &Rules, now: u64) -> Vec<BTreeSet<Why>> {
    let mut why = vec![BTreeSet::new(); backups.len()];
    let mut newest_first: Vec<usize> = (0..backups.len()).collect();
    newest_first.sort_by_key(|index| std::cmp::Reverse(backups[*index].stopped_at));
    let age = |index: usize| now.saturating_sub(backups[index].stopped_at);
    for (place, index) in newest_first.iter().enumerate() {
        let reasons = [
            (Why::Newest, place == 0),
            (Why::Last, place < rules.last as usize),
            (Why::Within, age(*index) < rules.within_ms),
        ];
        why[*index].extend(reasons.iter().filter(|(_, holds)| *holds).map(|(reason, _)| *reason));
    }
    periods(&mut why, backups, &newest_first, (Why::Daily, rules.daily), |day| {
        (day.year, day.month, day.day)
    });
    periods(&mut why, backups, &newest_first, (Why::Weekly, rules.weekly), |day| day.week);
    periods(&mut why, backups, &newest_first, (Why::Monthly, rules.monthly), |day| {
        (day.year, day.month)
    });
    periods(&mut why, backups, &newest_first, (Why::Yearly, rules.yearly), |day| day.year);
    why
}

/// The newest backup of each of the newest periods.
fn periods<P: PartialEq>(
    why: &mut [BTreeSet<Why>],
    backups: &[Dated],
    newest_first: &[usize],
    (reason, count): (Why, u32),
    period: impl Fn(Day) -> P,
) {
    let mut seen: Vec<P> = Vec::new();
    for index in newest_first {
        let of = period(backups[*index].day);
        if seen.len() < count as usize && !seen.contains(&of) {
            seen.push(of);
            why[*index].insert(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;
    const NONE: Rules = Rules { last: 0, within_ms: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 };

    /// One at noon of each day of a January that began on a Monday, and a second one on its tenth.
    fn january() -> Vec<Dated> {
        let on = |day: u8, label: &str, hours: u64| Dated {
            label: label.to_owned(),
            stopped_at: u64::from(day) * DAY + hours,
            day: Day { year: 2024, month: 1, day, week: (2024, (day - 1) / 7 + 1) },
        };
        let mut all: Vec<_> = (1..=20).map(|day| on(day, &day.to_string(), 0)).collect();
        all.push(on(10, "10b", 5));
        all
    }

    fn kept(rules: &Rules) -> String {
        let all = january();
        let why = keep(&all, rules, 20 * DAY + 1);
        let kept = all.iter().zip(why).filter(|(_, why)| !why.is_empty());
        let says = kept.map(|(backup, why)| {
            let why: Vec<_> = why.iter().map(Why::to_string).collect();
            format!("{}:{}", backup.label, why.join("+"))
        });
        says.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn each_rule_keeps_what_it_says_and_the_newest_stays() {
        assert_eq!(kept(&NONE), "20:newest");
        assert_eq!(kept(&Rules { last: 2, ..NONE }), "19:last 20:newest+last");
        assert_eq!(kept(&Rules { within_ms: 2 * DAY, ..NONE }), "19:within 20:newest+within");
        assert_eq!(
            kept(&Rules { daily: 12, ..NONE }),
            "9:daily 11:daily 12:daily 13:daily 14:daily 15:daily 16:daily 17:daily 18:daily \
             19:daily 20:newest+daily 10b:daily"
        );
        assert_eq!(kept(&Rules { weekly: 2, ..NONE }), "14:weekly 20:newest+weekly");
        assert_eq!(kept(&Rules { monthly: 9, yearly: 1, ..NONE }), "20:newest+monthly+yearly");
    }
}
