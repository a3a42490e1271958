//! The lines of a report: exact sums by dimension values, with sessions and spend beside them.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{ByRole, Cells, Credited, UNATTRIBUTED_CELL};
use crate::journeys::{Combined, Dimension, UNATTRIBUTED};
use crate::money::Currency;
use crate::report::{SessionCounts, Spending, Spent};

/// One combination of dimension values in one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The currency.
    pub currency: Currency,
    /// The value of each dimension.
    pub values: Vec<String>,
    /// Whether it is of orders that had no touch.
    pub unattributed: bool,
    /// Distinct orders with a touch here.
    pub orders: u64,
    /// Distinct persons with such an order.
    pub persons: u64,
    /// Touches by role: alone, initiator, assisting, closer.
    pub roles: [u64; 4],
    /// What each model credits.
    pub credited: Vec<Credited>,
    /// The same by role, where that is asked for.
    pub by_role: Option<ByRole>,
    /// Sessions of the period, where they can be counted by the dimensions.
    pub sessions: Option<SessionCounts>,
    /// What was paid, where it is known.
    pub spent: Option<Spent>,
}

impl Line {
    /// The values of the dimensions that are time, which a report is ordered by first.
    pub(super) fn period(&self, by: &[Dimension]) -> String {
        period(by, &self.values)
    }
}

/// The values of those dimensions that are time.
pub(super) fn period(by: &[Dimension], values: &[String]) -> String {
    let spans = by.iter().zip(values);
    let spans = spans.filter(|(dimension, _)| matches!(dimension, Dimension::Span(_)));
    spans.map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
}

/// What stands for the values of lines that are of few persons.
pub const OTHER: &str = "(other)";

/// What tells a line from all others, in the order of lines.
///
/// A source may be called like the orders without one: they are two lines all the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize, serde::Serialize)]
pub struct LineKey {
    /// The currency.
    pub currency: Currency,
    /// The value of each dimension.
    pub values: Vec<String>,
    /// Whether it is of orders that had no touch.
    pub unattributed: bool,
}

/// Where the value of each dimension of a report is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Touch(usize),
    Order(usize),
}

/// Which line each cell belongs to, and which combinations a line's cell has.
pub struct Keys(Vec<Place>);

impl Keys {
    /// The keys of a report by these dimensions; spans of time may be of the touch.
    pub fn new(by: &[Dimension], dated_by_touch: bool) -> Self {
        let (mut touch, mut order) = (0, 1);
        let places = by.iter().map(|dimension| {
            let of_touch = match dimension {
                Dimension::Touch(_) => true,
                Dimension::Span(_) => dated_by_touch,
                Dimension::Order(_) | Dimension::Item(_) => false,
            };
            let next = if of_touch { &mut touch } else { &mut order };
            *next += 1;
            if of_touch { Place::Touch(*next - 1) } else { Place::Order(*next - 1) }
        });
        Self(places.collect())
    }

    /// The line of a combination of touch dimensions and one of order dimensions, of which the first is
    /// the currency.
    pub fn of(
        &self,
        (touch, touches): (u32, &Combined),
        (order, orders): (u32, &Combined),
        default_currency: Currency,
    ) -> LineKey {
        let of_order = &orders.values[order as usize];
        let unattributed = touch == UNATTRIBUTED_CELL;
        let value = |place: &Place| match place {
            Place::Order(at) => of_order[*at].clone(),
            Place::Touch(_) if unattributed => UNATTRIBUTED.to_owned(),
            Place::Touch(at) => touches.values[touch as usize][*at].clone(),
        };
        let currency = of_order[0].parse().unwrap_or(default_currency);
        LineKey { currency, values: self.0.iter().map(value).collect(), unattributed }
    }

    /// The values of touch dimensions and those of order dimensions that make a line.
    pub fn apart(&self, key: &LineKey) -> (Vec<String>, Vec<String>) {
        let (mut of_touch, mut of_order) = (Vec::new(), vec![key.currency.to_string()]);
        for (place, value) in self.0.iter().zip(&key.values) {
            let side = if matches!(place, Place::Touch(_)) { &mut of_touch } else { &mut of_order };
            side.push(value.clone());
        }
        (of_touch, of_order)
    }
}

/// What the lines of a report are made of.
#[derive(Clone, Copy)]
pub struct Sums<'a> {
    /// What the report is by.
    pub by: &'a [Dimension],
    /// Whether spans of time are of the touch.
    pub dated_by_touch: bool,
    /// How many models there are.
    pub models: usize,
    /// The sums of all partitions.
    pub cells: &'a Cells,
    /// The combinations of touch dimensions.
    pub touches: &'a Combined,
    /// The combinations of order dimensions; the first of them is the currency.
    pub orders: &'a Combined,
    /// The currencies of the orders.
    pub currencies: &'a [Currency],
    /// The currency of a report without orders.
    pub default_currency: Currency,
    /// Sessions, where they can be counted by the dimensions.
    pub sessions: Option<&'a BTreeMap<Vec<String>, SessionCounts>>,
    /// Spend, where it is known by the dimensions.
    pub spending: Option<&'a Spending>,
}

/// Joins the cells of a run with what stands beside them.
///
/// Combinations with sessions or spend and no credit are lines too, sessions in every currency of
/// the report.
pub fn lines(sums: Sums<'_>) -> Vec<Line> {
    let Sums { by, models, sessions, spending, default_currency, .. } = sums;
    let (touches, orders) = (sums.touches, sums.orders);
    let keys = Keys::new(by, sums.dated_by_touch);
    let mut lines: BTreeMap<LineKey, Line> = BTreeMap::new();
    for (cell, credited, by_role) in sums.cells.iter() {
        let key = keys.of((cell.touch, touches), (cell.order, orders), default_currency);
        let line = lines.entry(key).or_insert_with_key(|key| Line::empty(key, models));
        line.orders += cell.orders;
        line.persons += cell.persons;
        for (sum, count) in line.roles.iter_mut().zip(cell.roles) {
            *sum += count;
        }
        for (sum, more) in line.credited.iter_mut().zip(credited) {
            sum.add(more);
        }
        if let Some(by_role) = by_role {
            line.by_role.get_or_insert_with(|| ByRole::new(models)).add(by_role);
        }
    }
    let none = [default_currency];
    let currencies = if sums.currencies.is_empty() { &none } else { sums.currencies };
    let mut make_room = |currency: Currency, values: &[String]| {
        let key = LineKey { currency, values: values.to_vec(), unattributed: false };
        lines.entry(key).or_insert_with_key(|key| Line::empty(key, models));
    };
    for currency in currencies {
        for values in sessions.into_iter().flat_map(BTreeMap::keys) {
            make_room(*currency, values);
        }
    }
    for (values, currency) in spending.into_iter().flat_map(BTreeMap::keys) {
        make_room(*currency, values);
    }
    for line in lines.values_mut().filter(|line| !line.unattributed) {
        let values = &line.values;
        line.sessions = sessions.map(|counts| counts.get(values).copied().unwrap_or_default());
        line.spent =
            spending.and_then(|known| known.get(&(values.clone(), line.currency)).copied());
    }
    lines.into_values().collect()
}

impl Line {
    /// What tells the line from others.
    pub fn key(&self) -> LineKey {
        let (values, unattributed) = (self.values.clone(), self.unattributed);
        LineKey { currency: self.currency, values, unattributed }
    }

    /// A line to which nothing is credited.
    pub fn empty(key: &LineKey, models: usize) -> Self {
        Self {
            currency: key.currency,
            values: key.values.clone(),
            unattributed: key.unattributed,
            orders: 0,
            persons: 0,
            roles: [0; 4],
            credited: vec![Credited::default(); models],
            by_role: None,
            sessions: None,
            spent: None,
        }
    }
}

/// Gives the lines of two periods the same combinations, so that they can be compared one by one.
///
/// A combination of one period only is an empty line of the other: nothing is credited, no session
/// was made, and what was paid is not known. Both are in the order of currency and values after.
pub fn meet(now: &mut Vec<Line>, then: &mut Vec<Line>, models: usize) {
    let sorted = |lines: &mut Vec<Line>| lines.sort_by_cached_key(Line::key);
    let lacking = |lines: &[Line], others: &[Line]| -> Vec<Line> {
        let known: BTreeSet<LineKey> = lines.iter().map(Line::key).collect();
        let others = others.iter().filter(|other| !known.contains(&other.key()));
        let empty = |other: &Line| Line {
            sessions: other.sessions.map(|_| SessionCounts::default()),
            ..Line::empty(&other.key(), models)
        };
        others.map(empty).collect()
    };
    let (of_now, of_then) = (lacking(now, then), lacking(then, now));
    now.extend(of_now);
    then.extend(of_then);
    sorted(now);
    sorted(then);
}
