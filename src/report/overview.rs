//! What a page shows of a run beside its report: credit over time, and what journeys are like: their
//! paths, their lengths, how long they took, and what each day's orders were worth.
//!
//! Integers, so that partitions add up in any order. Not for how it looks; that is `page`. Not for
//! the report itself.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::calendar::{Span, day_of};
use crate::engine::JourneyRows;
use crate::journeys::{Combined, Dimension, Orders, Path, Touches};
use crate::money::Currency;
use crate::report::Line;

/// Steps of a path that are kept, repeats collapsed; what comes after them is only known to be there.
const STEPS: usize = 12;

/// From how many touches on a journey is of each class of lengths, and what the class is called.
const LENGTHS: [(u64, &str); 10] = [
    (0, "none"),
    (1, "1"),
    (2, "2"),
    (3, "3"),
    (4, "4"),
    (5, "5"),
    (6, "6\u{2013}7"),
    (8, "8\u{2013}10"),
    (11, "11\u{2013}20"),
    (21, "21+"),
];

const HOUR: i64 = 3_600;
const DAYS: i64 = 24 * HOUR;

/// From how many seconds on, first touch to order, a journey is of each class of lags, and what the
/// class is called.
const LAGS: [(i64, &str); 9] = [
    (0, "< 1 h"),
    (HOUR, "1\u{2013}24 h"),
    (DAYS, "1\u{2013}3 d"),
    (3 * DAYS, "3\u{2013}7 d"),
    (7 * DAYS, "7\u{2013}14 d"),
    (14 * DAYS, "14\u{2013}30 d"),
    (30 * DAYS, "30\u{2013}60 d"),
    (60 * DAYS, "60\u{2013}90 d"),
    (90 * DAYS, "90 d +"),
];

/// Orders, and what they are worth, by currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Worth {
    /// Orders of each currency, by its position in the run's list.
    pub orders: Vec<u64>,
    /// What they are worth, in minor units.
    pub amounts: Vec<i128>,
}

impl Worth {
    fn add(&mut self, currency: usize, orders: u64, amount: i128) {
        if self.orders.len() <= currency {
            self.orders.resize(currency + 1, 0);
            self.amounts.resize(currency + 1, 0);
        }
        self.orders[currency] += orders;
        self.amounts[currency] += amount;
    }

    /// Adds other orders.
    pub fn merge(&mut self, other: &Self) {
        for (currency, orders) in other.orders.iter().enumerate() {
            self.add(currency, *orders, other.amounts[currency]);
        }
    }

    /// The orders of every currency.
    pub fn all_orders(&self) -> u64 {
        self.orders.iter().sum()
    }

    /// Orders of a currency, and what they are worth.
    pub fn of(&self, currency: usize) -> (u64, i128) {
        let orders = self.orders.get(currency).copied().unwrap_or_default();
        (orders, self.amounts.get(currency).copied().unwrap_or_default())
    }
}

/// A step of a path: what it is called, and how often it is repeated.
pub type Step = (String, u32);

/// A path, and the orders that it led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathWorth {
    /// Its steps, oldest first, repeats collapsed; none of orders without touches.
    pub steps: Vec<Step>,
    /// Whether more steps follow, which are not told apart.
    pub more: bool,
    /// Its orders.
    pub worth: Worth,
}

/// What the journeys of some orders are like, in codes of their steps.
#[derive(Debug, Default)]
pub struct JourneySums {
    days: BTreeMap<NaiveDate, Worth>,
    paths: BTreeMap<(Vec<(u32, u32)>, bool), Worth>,
    lengths: BTreeMap<usize, Worth>,
    lags: BTreeMap<usize, Worth>,
}

impl JourneySums {
    /// Adds the journeys of a partition; `path` names the steps of touches.
    pub fn add(
        &mut self,
        (touches, orders): (&Touches, &Orders),
        path: &Combined,
        journeys: &JourneyRows,
        zone: Tz,
    ) {
        let mut steps = Path::default();
        for (at, order) in journeys.order.iter().enumerate() {
            let order = *order as usize;
            let journey = &journeys.touches[journeys.starts[at]..journeys.starts[at + 1]];
            let currency = orders.currency[order] as usize;
            let amount = i128::from(orders.amount[order]);
            let count = |worth: &mut Worth| worth.add(currency, 1, amount);
            count(self.days.entry(day_of(orders.at[order], zone)).or_default());
            count(self.lengths.entry(class(&LENGTHS, journey.len() as u64)).or_default());
            if let Some(first) = journey.first() {
                let lag = orders.at[order] - touches.at[*first as usize];
                count(self.lags.entry(class(&LAGS, lag.div_euclid(1_000_000))).or_default());
            }
            steps.take(journey.iter().map(|touch| path.codes[*touch as usize]));
            let all = steps.steps();
            let key = (all[..all.len().min(STEPS)].to_vec(), all.len() > STEPS);
            count(self.paths.entry(key).or_default());
        }
    }

    /// What the journeys are like, in the words of their steps.
    pub fn named(self, path: &Combined, currencies: &[Currency]) -> NamedJourneys {
        let name = |(code, count): &(u32, u32)| (path.values[*code as usize].join(" / "), *count);
        let worth = |worth: &Worth| {
            let of = |(at, currency): (usize, &Currency)| (*currency, worth.of(at));
            let all = currencies.iter().enumerate().map(of);
            NamedWorth(all.filter(|(_, (orders, _))| *orders > 0).collect())
        };
        let mut named = NamedJourneys {
            days: self.days.iter().map(|(day, sums)| (*day, worth(sums))).collect(),
            paths: BTreeMap::new(),
            lengths: self.lengths.iter().map(|(at, sums)| (*at, worth(sums))).collect(),
            lags: self.lags.iter().map(|(at, sums)| (*at, worth(sums))).collect(),
        };
        // Different values may read alike; codes depend on who was seen first.
        for ((steps, more), sums) in &self.paths {
            let steps = steps.iter().map(name).collect();
            named.paths.entry((steps, *more)).or_default().merge(&worth(sums));
        }
        named
    }
}

/// Orders and what they are worth, by currency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct NamedWorth(BTreeMap<Currency, (u64, i128)>);

impl NamedWorth {
    fn merge(&mut self, other: &Self) {
        for (currency, (orders, amount)) in &other.0 {
            let sum = self.0.entry(*currency).or_default();
            *sum = (sum.0 + orders, sum.1 + amount);
        }
    }

    fn numbered(&self, currencies: &[Currency]) -> Worth {
        let mut worth = Worth::default();
        for (at, currency) in currencies.iter().enumerate() {
            if let Some((orders, amount)) = self.0.get(currency) {
                worth.add(at, *orders, *amount);
            }
        }
        worth
    }
}

/// What the journeys of some orders are like, in words, so that those of others can be added.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedJourneys {
    days: BTreeMap<NaiveDate, NamedWorth>,
    paths: BTreeMap<(Vec<Step>, bool), NamedWorth>,
    lengths: BTreeMap<usize, NamedWorth>,
    lags: BTreeMap<usize, NamedWorth>,
}

impl NamedJourneys {
    /// Adds the journeys of other orders.
    pub fn merge(&mut self, other: Self) {
        fn add<K: Ord>(mine: &mut BTreeMap<K, NamedWorth>, theirs: BTreeMap<K, NamedWorth>) {
            for (key, worth) in theirs {
                mine.entry(key).or_default().merge(&worth);
            }
        }
        add(&mut self.days, other.days);
        add(&mut self.paths, other.paths);
        add(&mut self.lengths, other.lengths);
        add(&mut self.lags, other.lags);
    }

    /// What the journeys are like, with orders counted in these currencies.
    pub fn journeys(self, currencies: &[Currency]) -> Journeys {
        let numbered = |sums: BTreeMap<usize, NamedWorth>| {
            sums.into_iter().map(|(at, worth)| (at, worth.numbered(currencies))).collect()
        };
        let days = self.days.into_iter().map(|(day, worth)| (day, worth.numbered(currencies)));
        let named = self.paths;
        let mut paths: Vec<PathWorth> = named
            .into_iter()
            .map(|((steps, more), worth)| PathWorth {
                steps,
                more,
                worth: worth.numbered(currencies),
            })
            .collect();
        paths.sort_by_key(|path| std::cmp::Reverse(path.worth.all_orders()));
        Journeys {
            currencies: currencies.to_vec(),
            days: days.collect(),
            paths,
            lengths: classes(&LENGTHS, numbered(self.lengths)),
            lags: classes(&LAGS, numbered(self.lags)),
        }
    }
}

/// The last class that begins at or before a value.
fn class<T: PartialOrd + Copy>(classes: &[(T, &str)], value: T) -> usize {
    classes.iter().rposition(|(from, _)| *from <= value).unwrap_or(0)
}

/// Every class up to the last that has orders.
fn classes<T>(
    classes: &[(T, &'static str)],
    mut sums: BTreeMap<usize, Worth>,
) -> Vec<(&'static str, Worth)> {
    let names = classes.iter().enumerate();
    names.map(|(at, (_, name))| (*name, sums.remove(&at).unwrap_or_default())).collect()
}

/// What the journeys of a run's orders are like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journeys {
    /// The currencies of the orders, as [`Worth`] counts them.
    pub currencies: Vec<Currency>,
    /// The orders of each day, in the run's zone.
    pub days: BTreeMap<NaiveDate, Worth>,
    /// Paths, those of most orders first.
    pub paths: Vec<PathWorth>,
    /// Orders by how many touches their journey has.
    pub lengths: Vec<(&'static str, Worth)>,
    /// Orders with touches, by the time from the first of them.
    pub lags: Vec<(&'static str, Worth)>,
}

impl Journeys {
    /// Orders in a currency that no touch led to, and what they are worth.
    pub fn without_touch(&self, currency: usize) -> (u64, i128) {
        self.lengths.first().map_or((0, 0), |(_, worth)| worth.of(currency))
    }

    /// All orders in a currency, and what they are worth.
    pub fn of_all(&self, currency: usize) -> (u64, i128) {
        let of = self.lengths.iter().map(|(_, worth)| worth.of(currency));
        of.fold((0, 0), |sum, (orders, amount)| (sum.0 + orders, sum.1 + amount))
    }
}

/// What a page shows of a run beside its report.
#[derive(Debug, Clone)]
pub struct Overview {
    /// What credit over time is by: the dimensions of the report that are not time, and the span.
    pub by: Vec<Dimension>,
    /// The span of time.
    pub span: Span,
    /// Credit over time.
    pub over_time: Vec<Line>,
    /// What journeys are like.
    pub journeys: Journeys,
}

/// Days of orders up to which each day has a column, and up to which each week has.
const AS_DAYS: i64 = 45;
const AS_WEEKS: i64 = 300;

/// The span that makes a readable number of columns of so many days.
///
/// # Example
///
/// ```
/// use apportion::{calendar::Span, report::readable_span};
/// assert_eq!([31, 92, 365].map(readable_span), [Span::Day, Span::Week, Span::Month]);
/// ```
pub fn readable_span(days: i64) -> Span {
    if days <= AS_DAYS {
        Span::Day
    } else if days <= AS_WEEKS {
        Span::Week
    } else {
        Span::Month
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_begin_where_they_say() {
        assert_eq!(
            [0, 1, 7, 8, 21, 5_000].map(|touches| LENGTHS[class(&LENGTHS, touches)].1),
            ["none", "1", "6\u{2013}7", "8\u{2013}10", "21+", "21+"]
        );
        let lags =
            [0, HOUR - 1, HOUR, DAYS, 90 * DAYS].map(|seconds| LAGS[class(&LAGS, seconds)].1);
        assert_eq!(lags, ["< 1 h", "< 1 h", "1\u{2013}24 h", "1\u{2013}3 d", "90 d +"]);
    }

    #[test]
    fn paths_are_cut_alike_and_their_orders_add_up() {
        let touches: Vec<u32> = (0..30).collect();
        let path = Combined {
            codes: touches.iter().map(|touch| touch % 2).collect(),
            values: vec![vec!["a".to_owned()], vec!["b".to_owned()]],
        };
        let orders = Orders {
            at: vec![90, 91],
            amount: vec![1000, 250],
            currency: vec![0, 0],
            ..Orders::default()
        };
        let of = Touches { at: vec![0; 30], ..Touches::default() };
        // Thirty steps and twenty of the same kind begin alike: they are one path and more.
        let mut sums = JourneySums::default();
        let journeys = |order: u32, touches: &[u32]| JourneyRows {
            order: vec![order],
            first: vec![true],
            starts: vec![0, touches.len()],
            touches: touches.to_vec(),
        };
        sums.add((&of, &orders), &path, &journeys(0, &touches), Tz::UTC);
        sums.add((&of, &orders), &path, &journeys(1, &touches[..20]), Tz::UTC);
        let named = sums.named(&path, &[Currency::NONE]).journeys(&[Currency::NONE]);
        assert_eq!(named.paths.len(), 1);
        assert_eq!((named.paths[0].steps.len(), named.paths[0].more), (STEPS, true));
        assert_eq!(named.paths[0].worth.of(0), (2, 1250));
        let lengths: u64 = named.lengths.iter().map(|(_, worth)| worth.all_orders()).sum();
        assert_eq!(lengths, 2);
    }
}
