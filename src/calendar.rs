//! Instants, durations and calendar days.
//!
//! An instant is microseconds since 1970-01-01T00:00:00Z, UTC. A calendar day exists only where a
//! time zone is named beside it. Not for reading the clock: that is done once, in `cli`.

use std::ops::Range;

use chrono::{
    DateTime, Datelike, Duration, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike,
};
use chrono_tz::Tz;

/// Microseconds in a second.
pub const SECOND: i64 = 1_000_000;
/// Microseconds in a day of 24 hours.
pub const DAY: i64 = 86_400 * SECOND;

/// The first instant that is accepted: the year 1.
pub const EARLIEST: i64 = -62_135_596_800 * SECOND;
/// The last instant that is accepted: the end of the year 9999.
pub const LATEST: i64 = 253_402_300_800 * SECOND - 1;

/// Reads RFC 3339 text, with a space for the `T`, with a zone such as `+0530` or `+05` and without one
/// (then UTC) too.
///
/// # Example
///
/// ```
/// use apportion::calendar::parse_instant;
/// assert_eq!(parse_instant("1970-01-01T01:00:01+01:00"), Some(1_000_000));
/// assert_eq!(parse_instant("1970-01-01 00:00:01.5"), Some(1_500_000));
/// assert_eq!(parse_instant("1970-13-01"), None);
/// ```
pub fn parse_instant(text: &str) -> Option<i64> {
    let text = text.trim();
    let with_zone = |pattern| DateTime::parse_from_str(text, pattern);
    let without = |pattern| NaiveDateTime::parse_from_str(text, pattern);
    DateTime::parse_from_rfc3339(text)
        .or_else(|_| with_zone("%Y-%m-%d %H:%M:%S%.f%#z"))
        .or_else(|_| with_zone("%Y-%m-%dT%H:%M:%S%.f%#z"))
        .map(|at| at.naive_utc())
        .or_else(|_| without("%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|_| without("%Y-%m-%d %H:%M:%S%.f"))
        .ok()
        .filter(|at| !is_second_sixty(*at) || (at.hour(), at.minute()) == (23, 59))
        .or_else(|| Some(parse_day(text)?.and_time(NaiveTime::MIN)))
        .map(|at| at.and_utc().timestamp_micros())
}

/// Whether a time is in a leap second: they end days of UTC, and count as the second after them.
fn is_second_sixty(at: NaiveDateTime) -> bool {
    at.nanosecond() >= 1_000_000_000
}

/// Reads a calendar day, `2024-03-31`.
pub fn parse_day(text: &str) -> Option<NaiveDate> {
    NaiveDate::parse_from_str(text.trim(), "%Y-%m-%d").ok()
}

/// Reads a duration in microseconds: a whole number or decimal and one of `s m h d w`.
///
/// # Example
///
/// ```
/// use apportion::calendar::parse_duration;
/// assert_eq!(parse_duration("90s"), Some(90_000_000));
/// assert_eq!(parse_duration("1.5h"), Some(5_400_000_000));
/// assert_eq!(parse_duration("-1d"), None);
/// assert_eq!(parse_duration("3 months"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<i64> {
    let text = text.trim();
    let (number, unit) =
        text.split_at(text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at))?);
    let seconds = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let micros = number.parse::<f64>().ok()? * seconds * 1e6;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be below 2^53")]
    (micros <= 9e15).then_some(micros.round() as i64)
}

/// A duration as people read it: in the largest unit that it has one of, with at most two decimals.
///
/// # Example
///
/// ```
/// use apportion::calendar::{DAY, SECOND, format_duration};
/// assert_eq!(format_duration(7 * DAY), "7 d");
/// assert_eq!(format_duration(90 * 60 * SECOND), "1.5 h");
/// assert_eq!(format_duration(1_234_567), "1.23 s");
/// ```
pub fn format_duration(duration: i64) -> String {
    let units = [(DAY, "d"), (3_600 * SECOND, "h"), (60 * SECOND, "min")];
    let (size, unit) = units
        .into_iter()
        .find(|(size, _)| duration.unsigned_abs() >= size.unsigned_abs())
        .unwrap_or((SECOND, "s"));
    let number = format!("{:.2}", duration as f64 / size as f64);
    format!("{} {unit}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// Reads an IANA time zone such as `Europe/Paris`.
pub fn parse_zone(text: &str) -> Option<Tz> {
    text.trim().parse().ok()
}

/// The calendar day of an instant in a zone. What the zone has in the last hours before the year 1, or in
/// the first after 9999, is of the first and last day that there is.
pub fn day_of(instant: i64, zone: Tz) -> NaiveDate {
    let day = utc(instant).with_timezone(&zone).date_naive();
    let (first, last) = (utc(EARLIEST).date_naive(), utc(LATEST).date_naive());
    day.clamp(first, last)
}

/// An instant by the clock of a zone.
pub fn local_time(instant: i64, zone: Tz) -> NaiveDateTime {
    utc(instant).with_timezone(&zone).naive_local()
}

/// The first instant of a calendar day in a zone, also where midnight does not exist.
pub fn start_of_day(day: NaiveDate, zone: Tz) -> i64 {
    let midnight = day.and_time(NaiveTime::MIN);
    // A zone that skips midnight goes on at most a few hours later; one that skips a whole day
    // (Samoa, 2011-12-30) goes on with the next.
    (0..=48)
        .map(|half_hours| midnight + Duration::minutes(30 * half_hours))
        .find_map(|local| zone.from_local_datetime(&local).earliest())
        .map_or_else(|| midnight.and_utc().timestamp_micros(), |at| at.timestamp_micros())
}

/// The calendar day of an instant in a zone, with instants around it that are surely of the same day:
/// all of them where the day is as long as others, else it alone, because a clock that is put back after
/// midnight shows a day twice.
///
/// # Example
///
/// ```
/// use apportion::calendar::{day_around, parse_instant, parse_zone};
/// let at = |text| parse_instant(text).unwrap();
/// let (day, same) = day_around(at("2024-03-05T10:00:00Z"), parse_zone("Europe/Paris").unwrap());
/// assert_eq!(day.to_string(), "2024-03-05");
/// assert_eq!(same, at("2024-03-04T23:00:00Z")..at("2024-03-05T23:00:00Z"));
/// // In Newfoundland the clock went from 00:01 back to 23:01 of the day before.
/// let put_back = at("2010-11-07T02:45:00Z");
/// let (day, same) = day_around(put_back, parse_zone("America/St_Johns").unwrap());
/// assert_eq!((&day.to_string()[..], same), ("2010-11-06", put_back..put_back + 1));
/// ```
pub fn day_around(instant: i64, zone: Tz) -> (NaiveDate, Range<i64>) {
    let day = day_of(instant, zone);
    let from = start_of_day(day, zone);
    let offset = |at: i64| utc(at).with_timezone(&zone).offset().fix();
    let same = from..from.saturating_add(DAY);
    let is_steady = same.contains(&instant)
        && day.succ_opt().is_some_and(|next| start_of_day(next, zone) == same.end)
        && offset(same.start) == offset(same.end - 1);
    (day, if is_steady { same } else { instant..instant.saturating_add(1) })
}

/// The span of calendar time that a report is dated by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// `2024-03-31`.
    Day,
    /// The ISO week, `2024-W13`.
    Week,
    /// `2024-03`.
    Month,
}

impl Span {
    /// The label of the span that a day falls into; labels sort as their spans do.
    pub fn label(self, day: NaiveDate) -> String {
        match self {
            Self::Day => day.format("%Y-%m-%d").to_string(),
            Self::Week => {
                let week = day.iso_week();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Self::Month => day.format("%Y-%m").to_string(),
        }
    }
}

/// An instant as RFC 3339 text in UTC, always with microseconds: texts compare as instants do.
pub fn format_micros(instant: i64) -> String {
    utc(instant).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// An instant as RFC 3339 text in UTC, with a fraction only where there is one.
pub fn format_instant(instant: i64) -> String {
    let at = utc(instant);
    let pattern =
        if instant % SECOND == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%.6fZ" };
    at.format(pattern).to_string()
}

fn utc(instant: i64) -> DateTime<chrono::Utc> {
    DateTime::from_timestamp_micros(instant).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accepted_range_is_the_years_1_to_9999() {
        assert_eq!(parse_instant("0001-01-01T00:00:00Z"), Some(EARLIEST));
        assert_eq!(parse_instant("9999-12-31T23:59:59.999999Z"), Some(LATEST));
    }

    #[test]
    fn a_day_of_the_first_and_last_year_stays_there_in_every_zone() {
        let day = |instant, zone| day_of(instant, parse_zone(zone).unwrap()).to_string();
        assert_eq!(day(LATEST, "Pacific/Kiritimati"), "9999-12-31");
        assert_eq!(day(EARLIEST, "Pacific/Pago_Pago"), "0001-01-01");
        assert_eq!(day(EARLIEST, "America/New_York"), "0001-01-01");
        assert_eq!(day(LATEST - DAY, "Pacific/Kiritimati"), "9999-12-31");
    }

    #[test]
    fn a_leap_second_counts_as_the_second_after_it_and_is_none_elsewhere() {
        for text in ["2016-12-31T23:59:60Z", "2016-12-31 23:59:60", "2017-01-01T05:29:60+05:30"] {
            assert_eq!(parse_instant(text), parse_instant("2017-01-01T00:00:00Z"), "{text}");
        }
        let half = parse_instant("2016-12-31T23:59:60.5Z").map(format_instant);
        assert_eq!(half.as_deref(), Some("2017-01-01T00:00:00.500000Z"));
        for text in ["2024-01-01T12:00:60Z", "2016-12-31T23:59:60+05:30", "2016-12-31T23:59:61Z"] {
            assert_eq!(parse_instant(text), None, "{text}");
        }
    }

    #[test]
    fn zones_of_half_and_quarter_hours_are_understood_however_they_are_written() {
        let text = ["+05:45", "+0545", "-0330", "-03:30", "+05", "-00:00"];
        let utc = ["18:15", "18:15", "03:30", "03:30", "19:00", "00:00"];
        for (zone, expected) in text.iter().zip(utc) {
            for blank in ["T", " "] {
                let at = parse_instant(&format!("2024-03-01{blank}00:00:00{zone}")).unwrap();
                assert_eq!(format_instant(at)[11..16], *expected, "{zone}");
            }
        }
    }

    #[test]
    fn days_follow_the_zone_through_a_dst_change() {
        let paris = parse_zone("Europe/Paris").unwrap();
        let day = |text| day_of(parse_instant(text).unwrap(), paris).to_string();
        assert_eq!(day("2024-03-30T22:59:59Z"), "2024-03-30");
        assert_eq!(day("2024-03-30T23:00:00Z"), "2024-03-31");
        assert_eq!(day("2024-03-31T21:59:59Z"), "2024-03-31");
        assert_eq!(day("2024-03-31T22:00:00Z"), "2024-04-01");
    }

    #[test]
    fn a_day_without_midnight_starts_when_it_starts() {
        let sao_paulo = parse_zone("America/Sao_Paulo").unwrap();
        let start = start_of_day(parse_day("2018-11-04").unwrap(), sao_paulo);
        assert_eq!(format_instant(start), "2018-11-04T03:00:00Z");
    }

    #[test]
    fn text_without_a_zone_is_utc_and_nonsense_is_nothing() {
        assert_eq!(parse_instant("2024-01-01T00:00:00"), parse_instant("2024-01-01 00:00:00Z"));
        assert_eq!(parse_instant("2024-01-01"), parse_instant("2024-01-01 00:00:00+00:00"));
        for text in ["", "yesterday", "2024-02-30", "2024-01-01T25:00:00Z", "1704067200"] {
            assert_eq!(parse_instant(text), None, "{text}");
        }
        for text in ["", "d", "5", "1e9d", "5é", "d5"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
