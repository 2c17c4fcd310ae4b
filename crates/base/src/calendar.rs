//! Days since 1970 as dates, and back: in UTC, by the Gregorian calendar.
//!
//! Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days` and
//! `days_from_civil`. A year begins with March there, so that the leap day is its last; eras of 400
//! years are all alike.

/// Days from the first of March of year 0 to 1970.
const TO_1970: u64 = 719_468;
const ERA_DAYS: u64 = 146_097;

/// Year, month and day of a day since 1970.
pub fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + TO_1970;
    let (era, day_of_era) = (shifted / ERA_DAYS, shifted % ERA_DAYS);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse of [`date`]; before 1970 it is negative.
pub fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS.cast_signed() + day_of_era - TO_1970.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates_and_dates_days() {
        for (number, expected) in [
            (0, (1970, 1, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_778, (2026, 11, 21)),
            (47_541, (2100, 3, 1)),
        ] {
            assert_eq!(date(number), expected);
        }
        for number in 0..200_000_u64 {
            let (year, month, day) = date(number);
            let signed = |number: u64| i64::try_from(number).expect("small");
            assert_eq!(days(signed(year), signed(month), signed(day)), signed(number));
        }
        assert_eq!(days(1969, 12, 31), -1);
    }
}
