//! Dates and times of Parquet as ISO 8601 text, in the proleptic Gregorian calendar.

/// `2026-01-31` from days since 1970-01-01.
pub(crate) fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    if (0..=9999).contains(&year) {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        // ISO 8601 gives years beyond four digits a sign.
        format!("{year:+05}-{month:02}-{day:02}")
    }
}

/// `13:05:09.25` from a time since midnight in units of which `per_second` make a second.
pub(crate) fn time(time: i64, per_second: i64) -> String {
    let (seconds, fraction) = (time.div_euclid(per_second), time.rem_euclid(per_second));
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction != 0 {
        let digits = per_second.ilog10() as usize;
        let fraction = format!("{fraction:0digits$}");
        text.push('.');
        text.push_str(fraction.trim_end_matches('0'));
    }
    text
}

/// `2026-01-31T13:05:09.25Z` from a time since 1970-01-01T00:00:00; without the `Z` if the zone is
/// not known.
pub(crate) fn date_time(value: i64, per_second: i64, is_utc: bool) -> String {
    let per_day = 86_400 * per_second;
    let (days, rest) = (value.div_euclid(per_day), value.rem_euclid(per_day));
    format!("{}T{}{}", date(days), time(rest, per_second), if is_utc { "Z" } else { "" })
}

/// Year, month and day; Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms",
/// `civil_from_days`.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = i128::from(days) + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    // Days of an i64 span less than 2^56 years.
    (year as i64, month as i64, day as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_the_calendar() {
        for (days, expect) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_484, "2026-01-31"),
            (-719_468, "0000-03-01"),
            (2_932_897, "+10000-01-01"),
        ] {
            assert_eq!(date(days), expect);
        }
    }

    #[test]
    fn fractions_lose_their_trailing_zeros_only() {
        assert_eq!(time(47_109_250, 1_000), "13:05:09.25");
        assert_eq!(time(1, 1_000_000_000), "00:00:00.000000001");
        assert_eq!(date_time(-1, 1_000, true), "1969-12-31T23:59:59.999Z");
        assert_eq!(date_time(0, 1_000_000, false), "1970-01-01T00:00:00");
    }

    #[test]
    fn the_ends_of_the_range_do_not_overflow() {
        for value in [i64::MIN, i64::MAX] {
            for per_second in [1_000, 1_000_000, 1_000_000_000] {
                assert!(!date_time(value, per_second, true).is_empty());
                assert!(!time(value, per_second).is_empty());
            }
            assert!(!date(value).is_empty());
        }
    }
}
