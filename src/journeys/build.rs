//! Puts merged rows in order: person by person, and within a person by time.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type};
use chrono::{Datelike, NaiveDate};
use chrono_tz::Tz;
use rust_decimal::Decimal;

use crate::calendar::day_of;
use crate::error::{Error, Result};
use crate::ids::Interner;
use crate::journeys::order::in_order;
use crate::journeys::{Orders, Touches};
use crate::merge::external_ids;
use crate::money::{Currency, convert, rate_from_f64};
use crate::touchpoints::{instants, is_direct};

/// The touches of all persons, from merged sessions followed by merged views.
///
/// `person` is the person of each row, `views_from` the first row that is a view. Within a person
/// touches are in their total order: time, sessions after views, then the id's bytes.
pub fn touches(rows: &RecordBatch, person: &[u32], persons: usize, views_from: usize) -> Touches {
    let ids = external_ids(rows);
    let at = instants(rows);
    let (row, starts) =
        in_order(persons, &at, |row| Some(person[row]), |row| (row < views_from, ids.value(row)));
    let direct = direct_touches(rows);
    Touches {
        first: 0,
        at: row.iter().map(|row| at[*row as usize]).collect(),
        direct: row.iter().map(|row| direct[*row as usize]).collect(),
        view: row.iter().map(|row| *row as usize >= views_from).collect(),
        starts,
        row,
    }
}

/// Whether each touch is direct: its source is `direct`, given or for want of one.
pub(crate) fn direct_touches(rows: &RecordBatch) -> Vec<bool> {
    let Some(sources) = rows.column_by_name("utm_source") else {
        return vec![true; rows.num_rows()];
    };
    sources.as_string_view().iter().map(|source| source.is_none_or(is_direct)).collect()
}

/// Exchange rates towards one currency.
#[derive(Debug, Clone, Default)]
pub struct Rates(BTreeMap<(Currency, NaiveDate), Decimal>);

impl Rates {
    /// Reads the exchange rates table; of two rates of one day the greater holds.
    pub fn new(rows: &RecordBatch) -> Self {
        let mut rates = BTreeMap::new();
        let column = |name: &str| rows.column_by_name(name);
        let (Some(days), Some(codes), Some(values)) =
            (column("date"), column("currency"), column("rate"))
        else {
            return Self::default();
        };
        let days = days.as_primitive::<Date32Type>();
        let values = values.as_primitive::<Float64Type>();
        for (row, code) in codes.as_string_view().iter().enumerate() {
            let day = date(days.value(row));
            let currency = code.and_then(|code| code.parse().ok());
            if let (Some(day), Some(currency), Some(rate)) =
                (day, currency, rate_from_f64(values.value(row)))
            {
                let known = rates.entry((currency, day)).or_insert(rate);
                *known = (*known).max(rate);
            }
        }
        Self(rates)
    }

    /// The latest rate of a currency on or before a day.
    pub fn on(&self, currency: Currency, day: NaiveDate) -> Option<Decimal> {
        self.dated(currency, day).map(|(_, rate)| rate)
    }

    /// The latest rate of a currency on or before a day, and the day that it is of.
    pub fn dated(&self, currency: Currency, day: NaiveDate) -> Option<(NaiveDate, Decimal)> {
        let until = (currency, NaiveDate::MIN)..=(currency, day);
        self.0.range(until).next_back().map(|((_, day), rate)| (*day, *rate))
    }
}

/// A day since 1970 as a date.
pub(crate) fn date(days: i32) -> Option<NaiveDate> {
    NaiveDate::from_num_days_from_ce_opt(days.checked_add(NaiveDate::default().num_days_from_ce())?)
}

/// What becomes of an order in a currency without a rate.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    serde::Deserialize,
    serde::Serialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum MissingRate {
    /// The run fails.
    #[default]
    Fail,
    /// The order is rejected.
    Reject,
    /// The order is reported in its own currency.
    Keep,
}

/// How orders are counted.
#[derive(Debug, Clone)]
pub struct OrderSettings<'a> {
    /// The column that holds the amount.
    pub amount: &'a str,
    /// The workspace's currency: of rows that name none, and the one that rates lead to.
    pub currency: Currency,
    /// Exchange rates, where they are given.
    pub rates: Option<&'a Rates>,
    /// What becomes of orders without a rate.
    pub missing_rate: MissingRate,
    /// The zone that days are counted in.
    pub zone: Tz,
    /// Whether cancelled orders count.
    pub count_cancelled: bool,
    /// The instants that are reported: from the first, before the second.
    pub period: (i64, i64),
    /// Those that they are compared with, where there are any.
    pub compared: Option<(i64, i64)>,
}

/// What orders are worth, and in what.
#[derive(Debug, Default)]
pub struct Amounts {
    /// The currencies, sorted; orders hold a position in it.
    pub currencies: Vec<Currency>,
    /// The conversion types, by their number.
    pub kinds: Vec<String>,
    /// Rows that have no exchange rate and are to be rejected, with the reason.
    pub without_rate: Vec<(u32, String)>,
}

/// The orders of all persons, from merged rows.
///
/// `person` is the person of each row. Within a person orders are in the order of time, then of
/// the id's bytes.
pub fn orders(
    rows: &RecordBatch,
    person: &[u32],
    persons: usize,
    settings: &OrderSettings<'_>,
) -> Result<(Orders, Amounts)> {
    let ids = external_ids(rows);
    let at = instants(rows);
    let texts = |name: &str| rows.column_by_name(name).map(|texts| texts.as_string_view());
    let prices =
        rows.column_by_name(settings.amount).map(|prices| prices.as_primitive::<Int64Type>());
    let refunds =
        rows.column_by_name("refunded_price").map(|refunds| refunds.as_primitive::<Int64Type>());
    let codes = texts("currency");
    let kinds = texts("conversion_type");
    let cancelled: Option<&ArrayRef> = rows.column_by_name("cancelled_at");
    let wanted = |row: usize| {
        let cancelled = cancelled.is_some_and(|at| at.is_valid(row));
        let mut periods = [Some(settings.period), settings.compared].into_iter().flatten();
        let reported = periods.any(|(from, until)| (from..until).contains(&at[row]));
        (settings.count_cancelled || !cancelled) && reported
    };
    let mut numbers = Interner::default();
    let mut amounts = Amounts::default();
    let mut net: Vec<(i64, Currency)> = Vec::with_capacity(rows.num_rows());
    let mut kind = Vec::with_capacity(rows.num_rows());
    for (row, created_at) in at.iter().enumerate() {
        let valued = |column: Option<&arrow::array::Int64Array>| {
            column.filter(|column| column.is_valid(row)).map_or(0, |column| column.value(row))
        };
        let minor = valued(prices).checked_sub(valued(refunds)).ok_or_else(|| Error::Overflow {
            what: format!("the amount of order `{}`", ids.value(row)),
        })?;
        let own = texts_at(codes, row)
            .map_or(Ok(settings.currency), str::parse)
            .unwrap_or(settings.currency);
        match in_workspace_currency(minor, own, *created_at, settings) {
            Ok(value) => net.push(value),
            Err(Unconverted::Overflow) => {
                let what = format!("order `{}` in {}", ids.value(row), settings.currency);
                return Err(Error::Overflow { what });
            }
            // What does not count or is not reported needs no rate.
            Err(Unconverted::NoRate(_)) if !wanted(row) => net.push((minor, own)),
            Err(Unconverted::NoRate(day)) => match settings.missing_rate {
                MissingRate::Keep => net.push((minor, own)),
                MissingRate::Fail => {
                    return Err(Error::MissingRate {
                        currency: own.to_string(),
                        day: day.to_string(),
                        order: ids.value(row).to_owned(),
                    });
                }
                MissingRate::Reject => {
                    #[expect(
                        clippy::cast_possible_truncation,
                        reason = "rows are numbered in 32 bits"
                    )]
                    let row = row as u32;
                    amounts
                        .without_rate
                        .push((row, format!("no exchange rate for {own} on or before {day}")));
                    net.push((minor, own));
                }
            },
        }
        kind.push(numbers.intern(texts_at(kinds, row).unwrap_or_default()));
    }
    let rejected: Vec<u32> = amounts.without_rate.iter().map(|(row, _)| *row).collect();
    let accepted = |row: u32| rejected.binary_search(&row).is_err();
    amounts.currencies = (0..)
        .zip(&net)
        .filter(|(row, _)| accepted(*row))
        .map(|(_, (_, currency))| *currency)
        .collect();
    amounts.currencies.sort_unstable();
    amounts.currencies.dedup();
    amounts.kinds =
        (0..).take(numbers.len()).map(|number| numbers.name(number).to_owned()).collect();

    let (row, starts) = in_order(persons, &at, |row| Some(person[row]), |row| ids.value(row));
    let counts = |row: u32| {
        let cancelled = cancelled.is_some_and(|at| at.is_valid(row as usize));
        accepted(row) && (settings.count_cancelled || !cancelled)
    };
    let currency = |row: u32| {
        let known = amounts.currencies.binary_search(&net[row as usize].1).unwrap_or_default();
        u16::try_from(known).unwrap_or(u16::MAX)
    };
    let (from, until) = settings.period;
    let orders = Orders {
        at: row.iter().map(|row| at[*row as usize]).collect(),
        amount: row.iter().map(|row| net[*row as usize].0).collect(),
        currency: row.iter().map(|row| currency(*row)).collect(),
        kind: row.iter().map(|row| kind[*row as usize]).collect(),
        counted: row.iter().map(|row| counts(*row)).collect(),
        reported: row.iter().map(|row| (from..until).contains(&at[*row as usize])).collect(),
        wanted: vec![true; row.len()],
        starts,
        row,
    };
    Ok((orders, amounts))
}

impl OrderSettings<'_> {
    /// The rate that an order's amount is converted at, and the day that it is of; none where it
    /// stays in its own currency.
    pub fn rate(&self, own: Currency, at: i64) -> Option<(NaiveDate, Decimal)> {
        let rates = self.rates.filter(|_| own != self.currency)?;
        rates.dated(own, day_of(at, self.zone))
    }
}

enum Unconverted {
    NoRate(NaiveDate),
    Overflow,
}

/// An amount in the workspace's currency where rates are given, else in its own.
fn in_workspace_currency(
    minor: i64,
    own: Currency,
    at: i64,
    settings: &OrderSettings<'_>,
) -> std::result::Result<(i64, Currency), Unconverted> {
    let to = settings.currency;
    if settings.rates.is_none() || own == to {
        return Ok((minor, own));
    }
    let without = || Unconverted::NoRate(day_of(at, settings.zone));
    let (_, rate) = settings.rate(own, at).ok_or_else(without)?;
    convert(minor, own, to, rate).map(|minor| (minor, to)).ok_or(Unconverted::Overflow)
}

fn texts_at(texts: Option<&StringViewArray>, row: usize) -> Option<&str> {
    texts.filter(|texts| texts.is_valid(row)).map(|texts| texts.value(row))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Float64Array, Int64Array, TimestampMicrosecondArray};

    use super::*;
    use crate::calendar::{DAY, parse_instant};

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(values.iter().copied().collect::<StringViewArray>())
    }

    /// The third day of 2025, and days before or after it.
    fn day(more: i64) -> i64 {
        parse_instant("2025-01-03T00:00:00Z").unwrap() + more * DAY
    }

    fn instants_of(values: &[Option<i64>]) -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(values.to_vec()))
    }

    #[test]
    fn touches_are_in_the_order_of_time_and_views_before_sessions() {
        let rows = RecordBatch::try_from_iter([
            ("external_id", texts(&[Some("b"), Some("a"), Some("z"), Some("v")])),
            ("created_at", instants_of(&[Some(10), Some(10), Some(9), Some(10)])),
            ("utm_source", texts(&[Some("google"), None, Some("x"), Some("direct")])),
        ])
        .unwrap();
        let found = touches(&rows, &[0; 4], 1, 3);
        assert_eq!((found.row, found.starts), (vec![2, 3, 1, 0], vec![0, 4]));
        assert_eq!(found.at, [9, 10, 10, 10]);
        assert_eq!(found.view, [false, true, false, false]);
        assert_eq!(found.direct, [false, true, true, false]);
        let without = rows.project(&[0, 1]).unwrap();
        assert_eq!(touches(&without, &[0; 4], 1, 3).direct, [true; 4]);
    }

    /// A euro is 1.25 dollars from the second day on, and two on the fifth.
    fn rates() -> Rates {
        let first = i32::try_from(day(0) / DAY).unwrap();
        let rows = RecordBatch::try_from_iter([
            (
                "date",
                Arc::new(Date32Array::from(vec![first - 1, first - 1, first + 2])) as ArrayRef,
            ),
            ("currency", texts(&[Some("USD"); 3])),
            ("rate", Arc::new(Float64Array::from(vec![1.0, 1.25, 2.0]))),
        ]);
        Rates::new(&rows.unwrap())
    }

    #[test]
    fn the_latest_rate_on_or_before_a_day_holds_and_of_one_day_the_greater() {
        let on = |more: i64| {
            let found = rates().dated("USD".parse().unwrap(), day_of(day(more), Tz::UTC));
            found.map(|(of, rate)| format!("{of} {rate}"))
        };
        assert_eq!(on(-2), None);
        assert_eq!(on(-1).unwrap(), "2025-01-02 1.25");
        assert_eq!(on(1).unwrap(), "2025-01-02 1.25");
        assert_eq!(on(2).unwrap(), "2025-01-05 2");
        let rate = rates().on("USD".parse().unwrap(), day_of(day(9), Tz::UTC));
        assert_eq!(rate, Some(Decimal::TWO));
        assert_eq!(rates().on("GBP".parse().unwrap(), day_of(day(9), Tz::UTC)), None);
    }

    fn settings(rates: &Rates) -> OrderSettings<'_> {
        OrderSettings {
            amount: "subtotal_price",
            currency: "EUR".parse().unwrap(),
            rates: Some(rates),
            missing_rate: MissingRate::Reject,
            zone: Tz::UTC,
            count_cancelled: false,
            period: (day(0), day(5)),
            compared: None,
        }
    }

    /// Of one person: in euros, in dollars, cancelled, after the period, and in pounds.
    fn some_orders() -> RecordBatch {
        let numbers =
            |values: &[Option<i64>]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
        let ids = ["euros", "dollars", "cancelled", "late", "pounds"].map(Some);
        let times = [0, 1, 3, 5, 4].map(|more| Some(day(more)));
        RecordBatch::try_from_iter([
            ("external_id", texts(&ids)),
            ("created_at", instants_of(&times)),
            ("subtotal_price", numbers(&[1_000; 5].map(Some))),
            ("refunded_price", numbers(&[Some(200), None, None, None, None])),
            ("currency", texts(&[None, Some("USD"), None, Some("USD"), Some("GBP")])),
            ("conversion_type", texts(&[Some("order"), Some("lead"), Some("order"), None, None])),
            ("cancelled_at", instants_of(&[None, None, Some(day(4)), None, None])),
        ])
        .unwrap()
    }

    #[test]
    fn orders_are_worth_their_price_less_refunds_in_the_currency_of_the_workspace() {
        let rates = rates();
        let settings = settings(&rates);
        let (found, amounts) = orders(&some_orders(), &[0; 5], 1, &settings).unwrap();
        assert_eq!((found.row, found.starts), (vec![0, 1, 2, 4, 3], vec![0, 5]));
        assert_eq!(found.amount, [800, 800, 1_000, 1_000, 500]);
        assert_eq!(found.counted, [true, true, false, false, true]);
        assert_eq!(found.reported, [true, true, true, true, false]);
        assert_eq!(found.wanted, [true; 5]);
        assert_eq!(found.at, [0, 1, 3, 4, 5].map(day));
        let kinds: Vec<&str> =
            found.kind.iter().map(|kind| amounts.kinds[*kind as usize].as_str()).collect();
        assert_eq!(kinds, ["order", "lead", "order", "", ""]);
        assert_eq!(amounts.currencies, ["EUR".parse().unwrap()]);
        assert_eq!(found.currency[..3], [0, 0, 0]);
        assert_eq!(
            amounts.without_rate,
            [(4, "no exchange rate for GBP on or before 2025-01-07".to_owned())]
        );
        let of = |currency: &str, more| settings.rate(currency.parse().unwrap(), day(more));
        assert_eq!(of("USD", 1).map(|(_, rate)| rate.to_string()).as_deref(), Some("1.25"));
        assert_eq!((of("EUR", 1), of("GBP", 1)), (None, None));
    }

    #[test]
    fn an_order_without_a_rate_fails_or_keeps_its_currency_where_that_is_asked_for() {
        let rates = rates();
        let fails = OrderSettings { missing_rate: MissingRate::Fail, ..settings(&rates) };
        let refused = orders(&some_orders(), &[0; 5], 1, &fails).unwrap_err().to_string();
        assert!(refused.contains("GBP") && refused.contains("pounds"), "{refused}");
        // One that is not reported needs none; but where it is compared with, it does.
        let early = OrderSettings { period: (day(0), day(4)), ..fails.clone() };
        orders(&some_orders(), &[0; 5], 1, &early).unwrap();
        let compared = OrderSettings { compared: Some((day(4), day(6))), ..early.clone() };
        orders(&some_orders(), &[0; 5], 1, &compared).unwrap_err();
        let keeps = OrderSettings { missing_rate: MissingRate::Keep, ..fails.clone() };
        let (found, amounts) = orders(&some_orders(), &[0; 5], 1, &keeps).unwrap();
        let currencies: Vec<String> =
            found.currency.iter().map(|at| amounts.currencies[*at as usize].to_string()).collect();
        assert_eq!(currencies, ["EUR", "EUR", "EUR", "GBP", "EUR"]);
        assert_eq!((amounts.without_rate.len(), found.amount[3]), (0, 1_000));
        // Without rates every order is in its own, and a cancelled one counts where it is to.
        let none = OrderSettings { rates: None, count_cancelled: true, ..fails };
        let (found, amounts) = orders(&some_orders(), &[0; 5], 1, &none).unwrap();
        assert_eq!((found.amount[1], amounts.currencies.len()), (1_000, 3));
        assert_eq!(found.counted, [true; 5]);
    }

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(date(0).unwrap().to_string(), "1970-01-01");
        assert_eq!(date(-1).unwrap().to_string(), "1969-12-31");
        assert_eq!(date(i32::MAX), None);
    }
}
