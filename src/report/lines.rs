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

/// Where the value of each dimension of a report is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Touch(usize),
    Order(usize),
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
    let (mut touch, mut order) = (0, 1);
    let places: Vec<Place> = by
        .iter()
        .map(|dimension| {
            let of_touch = match dimension {
                Dimension::Touch(_) => true,
                Dimension::Span(_) => sums.dated_by_touch,
                Dimension::Order(_) | Dimension::Item(_) => false,
            };
            let next = if of_touch { &mut touch } else { &mut order };
            *next += 1;
            if of_touch { Place::Touch(*next - 1) } else { Place::Order(*next - 1) }
        })
        .collect();
    // A source may be called like the orders without one: they are two lines all the same.
    let mut lines: BTreeMap<(Currency, Vec<String>, bool), Line> = BTreeMap::new();
    for (cell, credited, by_role) in sums.cells.iter() {
        let of_order = &orders.values[cell.order as usize];
        let unattributed = cell.touch == UNATTRIBUTED_CELL;
        let currency = of_order[0].parse().unwrap_or(default_currency);
        let values: Vec<String> = places
            .iter()
            .map(|place| match place {
                Place::Order(at) => of_order[*at].clone(),
                Place::Touch(_) if unattributed => UNATTRIBUTED.to_owned(),
                Place::Touch(at) => touches.values[cell.touch as usize][*at].clone(),
            })
            .collect();
        let line = lines
            .entry((currency, values.clone(), unattributed))
            .or_insert_with(|| Line::empty(currency, values, models));
        line.unattributed |= unattributed;
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
    for currency in currencies {
        for values in sessions.into_iter().flat_map(BTreeMap::keys) {
            lines
                .entry((*currency, values.clone(), false))
                .or_insert_with(|| Line::empty(*currency, values.clone(), models));
        }
    }
    for (values, currency) in spending.into_iter().flat_map(BTreeMap::keys) {
        lines
            .entry((*currency, values.clone(), false))
            .or_insert_with(|| Line::empty(*currency, values.clone(), models));
    }
    for ((currency, values, _), line) in &mut lines {
        if !line.unattributed {
            line.sessions = sessions.map(|counts| counts.get(values).copied().unwrap_or_default());
            line.spent =
                spending.and_then(|known| known.get(&(values.clone(), *currency)).copied());
        }
    }
    lines.into_values().collect()
}

impl Line {
    fn empty(currency: Currency, values: Vec<String>, models: usize) -> Self {
        Self {
            currency,
            values,
            unattributed: false,
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
    let key = |line: &Line| (line.currency, line.values.clone(), line.unattributed);
    let sorted = |lines: &mut Vec<Line>| lines.sort_by_key(key);
    let lacking = |lines: &[Line], others: &[Line]| -> Vec<Line> {
        let known: BTreeSet<_> = lines.iter().map(key).collect();
        let others = others.iter().filter(|other| !known.contains(&key(other)));
        let empty = |other: &Line| Line {
            unattributed: other.unattributed,
            sessions: other.sessions.map(|_| SessionCounts::default()),
            ..Line::empty(other.currency, other.values.clone(), models)
        };
        others.map(empty).collect()
    };
    let (of_now, of_then) = (lacking(now, then), lacking(then, now));
    now.extend(of_now);
    then.extend(of_then);
    sorted(now);
    sorted(then);
}
