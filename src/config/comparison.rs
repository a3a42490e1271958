//! Which days a period is compared with, and which of them stand beside each other.

use std::collections::BTreeMap;

use chrono::{Days, Months, NaiveDate};
use chrono_tz::Tz;

use crate::calendar::{Span, parse_day, start_of_day};
use crate::error::{Error, Result};

/// A period of whole days, and another that it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comparison {
    /// The first and the last day that are reported.
    pub now: (NaiveDate, NaiveDate),
    /// The first and the last day that they are compared with.
    pub then: (NaiveDate, NaiveDate),
    zone: Tz,
}

impl Comparison {
    /// Reads what `--compare` says of the period from `now.0` to `now.1`.
    ///
    /// `previous_period` is as many whole days just before; `previous_year` the same dates a year
    /// earlier, where 29 February becomes the 28th; else two days, both included.
    ///
    /// # Errors
    ///
    /// Text that says none of these; days before the calendar begins.
    ///
    /// # Example
    ///
    /// ```
    /// use apportion::calendar::{parse_day, parse_zone};
    /// use apportion::config::Comparison;
    /// let day = |text| parse_day(text).unwrap();
    /// let zone = parse_zone("Europe/Paris").unwrap();
    /// let now = (day("2024-02-29"), day("2024-03-31"));
    /// let before = Comparison::new("previous_period", now, zone)?;
    /// assert_eq!(before.then, (day("2024-01-28"), day("2024-02-28")));
    /// let last_year = Comparison::new("previous_year", now, zone)?;
    /// assert_eq!(last_year.then, (day("2023-02-28"), day("2023-03-31")));
    /// # Ok::<(), apportion::Error>(())
    /// ```
    pub fn new(text: &str, now: (NaiveDate, NaiveDate), zone: Tz) -> Result<Self> {
        let wrong = |why: &str| Error::setting("--compare", text, why);
        let then = match text.trim() {
            "previous_period" => {
                let days = Days::new((now.1 - now.0).num_days().unsigned_abs() + 1);
                now.0.checked_sub_days(days).zip(now.0.pred_opt())
            }
            "previous_year" => {
                let year_before = |day: NaiveDate| day.checked_sub_months(Months::new(12));
                year_before(now.0).zip(year_before(now.1))
            }
            days => {
                let days = days.split_once("..").and_then(|(from, to)| {
                    let (from, to) = (parse_day(from)?, parse_day(to)?);
                    (from <= to).then_some((from, to))
                });
                let why = "write `previous_period`, `previous_year`, or two days such as \
                           `2024-01-01..2024-01-31`";
                return days.map(|then| Self { now, then, zone }).ok_or_else(|| wrong(why));
            }
        };
        let then = then.ok_or_else(|| wrong("there are no such days in the calendar"))?;
        Ok(Self { now, then, zone })
    }

    /// The instants that are compared with: from the first, before the second.
    pub fn period(&self) -> (i64, i64) {
        let end = self.then.1.succ_opt().map_or(i64::MAX, |day| start_of_day(day, self.zone));
        (start_of_day(self.then.0, self.zone), end)
    }

    /// Which day, week or month of the other period stands beside which of this one: the first
    /// beside the first, the second beside the second. Keys are labels of then.
    ///
    /// # Errors
    ///
    /// Periods that do not have as many of them.
    pub fn beside(&self, span: Span) -> Result<BTreeMap<String, String>> {
        let labels = |(from, to): (NaiveDate, NaiveDate)| {
            let days = from.iter_days().take_while(|day| *day <= to);
            let mut labels: Vec<String> = days.map(|day| span.label(day)).collect();
            labels.dedup();
            labels
        };
        let (now, then) = (labels(self.now), labels(self.then));
        if now.len() != then.len() {
            let name = match span {
                Span::Day => "day",
                Span::Week => "week",
                Span::Month => "month",
            };
            return Err(Error::Contradiction(format!(
                "`--by {name}` puts the first {name} beside the first, but {} to {} has {} and {} to {} has {}; compare periods with as many, or report by something else",
                self.now.0,
                self.now.1,
                now.len(),
                self.then.0,
                self.then.1,
                then.len()
            )));
        }
        Ok(then.into_iter().zip(now).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::parse_zone;

    fn comparison(text: &str, from: &str, to: &str) -> Result<Comparison> {
        let now = (parse_day(from).unwrap(), parse_day(to).unwrap());
        Comparison::new(text, now, parse_zone("Europe/Paris").unwrap())
    }

    #[test]
    fn whole_days_are_counted_through_a_clock_change() {
        // 31 March 2024 has 23 hours in Paris, and 1 April begins two hours before UTC's.
        let before = comparison("previous_period", "2024-04-01", "2024-04-01").unwrap();
        let (from, until) = before.period();
        assert_eq!((until - from) / 3_600_000_000, 23);
    }

    #[test]
    fn the_29th_of_february_is_the_28th_a_year_before() {
        let leap = comparison("previous_year", "2024-02-01", "2024-02-29").unwrap();
        assert_eq!(leap.then.1, parse_day("2023-02-28").unwrap());
        // The other way round the 28th stays the 28th: the same dates.
        let after = comparison("previous_year", "2025-02-01", "2025-02-28").unwrap();
        assert_eq!(after.then.1, parse_day("2024-02-28").unwrap());
    }

    #[test]
    fn spans_stand_beside_each_other_by_their_position_or_not_at_all() {
        let quarter = comparison("previous_year", "2024-01-01", "2024-03-31").unwrap();
        assert_eq!(quarter.beside(Span::Month).unwrap()["2023-02"], "2024-02");
        let error = quarter.beside(Span::Day).unwrap_err().to_string();
        assert!(error.contains("has 91") && error.contains("has 90"), "{error}");
    }

    #[test]
    fn what_is_no_period_is_refused() {
        for text in
            ["", "last_year", "2024-01-02..2024-01-01", "2024-01-01", "2024-02-30..2024-03-01"]
        {
            let error = comparison(text, "2024-02-01", "2024-02-29").unwrap_err().to_string();
            assert!(error.contains("previous_period"), "{text}: {error}");
        }
    }
}
