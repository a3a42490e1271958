//! Dollars for a euro: an invented walk, on working days.

use chrono::{Datelike, Days, NaiveDate, Weekday};

use super::chance::{Chance, Purpose};

/// Decimals of a rate.
pub(super) const RATE_DECIMALS: u32 = 4;

/// How long before the period rates begin, so that its first day has one.
const BEFORE: u64 = 4;

/// Dollars for a euro, from some days before the period on.
pub(super) struct DollarRates {
    /// The days that have a rate, in their order, and the rate in units of its last decimal.
    pub(super) rates: Vec<(NaiveDate, i64)>,
    /// The rate that holds on each day of the period.
    by_day: Vec<i64>,
}

impl DollarRates {
    pub(super) fn new(seed: u64, start: NaiveDate, days: u32) -> Self {
        let mut chance = Chance::new(seed, 0, Purpose::World);
        let first = start.checked_sub_days(Days::new(BEFORE)).unwrap_or(start);
        let (mut rates, mut by_day): (Vec<(NaiveDate, i64)>, Vec<i64>) = Default::default();
        let mut rate = 1.09;
        for day in first.iter_days().take(days as usize + 4) {
            rate = (rate * chance.factor(0.004)).clamp(0.95, 1.25);
            if !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
                rates.push((day, chance.whole(rate * 10_f64.powi(4))));
            }
            if day >= start {
                by_day.extend(rates.last().map(|(_, rate)| *rate));
            }
        }
        Self { rates, by_day }
    }

    /// Cents of dollars for cents of euros on a day of the period, not rounded.
    pub(super) fn dollars(&self, euros: f64, day: usize) -> f64 {
        let rate = self.by_day.get(day).or_else(|| self.by_day.last()).copied().unwrap_or(10_000);
        euros * rate as f64 / 10_f64.powi(4)
    }
}
