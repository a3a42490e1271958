//! What stands beside credit in a report: the sessions of the period, and what was paid for them.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Float64Type, Int64Type, TimestampMicrosecondType};
use chrono_tz::Tz;

use crate::calendar::start_of_day;
use crate::config::Bounce;
use crate::error::{Error, Result};
use crate::journeys::{Dimension, Labels, NOT_SET, Rates, combine, date};
use crate::money::{Currency, convert};

/// Sessions with the same dimension values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SessionCounts {
    /// How many there are.
    pub sessions: u64,
    /// How many of them bounced.
    pub bounced: u64,
}

/// Cost by dimension values and currency, in minor units.
pub type Costs = BTreeMap<(Vec<String>, Currency), i64>;

/// Counts the sessions of the period by dimension values.
///
/// `labels` are the sessions' labels, one entry a dimension. A session bounced unless it lasted
/// long enough or had enough interactions.
pub fn session_counts(
    sessions: &RecordBatch,
    labels: &[Labels],
    period: (i64, i64),
    bounce: Bounce,
) -> BTreeMap<Vec<String>, SessionCounts> {
    let rows = sessions.num_rows();
    let combined = combine(labels, rows);
    let mut counts = vec![SessionCounts::default(); combined.values.len()];
    let at = sessions
        .column_by_name("created_at")
        .map(|at| at.as_primitive::<TimestampMicrosecondType>().values().to_vec())
        .unwrap_or_default();
    let number = |name: &str| {
        sessions.column_by_name(name).map(|numbers| numbers.as_primitive::<Float64Type>())
    };
    let (durations, interactions) = (number("duration"), number("interactions_count"));
    for row in (0..rows).filter(|row| (period.0..period.1).contains(&at[*row])) {
        let over = |numbers: Option<&arrow::array::Float64Array>, enough: &dyn Fn(f64) -> bool| {
            numbers.is_some_and(|numbers| numbers.is_valid(row) && enough(numbers.value(row)))
        };
        let stayed = over(durations, &|seconds| seconds >= bounce.seconds)
            || over(interactions, &|count| count > bounce.interactions);
        let counts = &mut counts[combined.codes[row] as usize];
        counts.sessions += 1;
        counts.bounced += u64::from(!stayed);
    }
    let seen = combined.values.into_iter().zip(counts);
    seen.filter(|(_, counts)| counts.sessions > 0).collect()
}

/// Sums spend by dimension values; `None` where a dimension is not one that spend is known by.
///
/// Where rates lead to the workspace's currency `to`, cost is converted by the rate of its day;
/// cost without a rate stays in its own currency.
pub fn costs(
    spend: &RecordBatch,
    by: &[Dimension],
    period: (i64, i64),
    zone: Tz,
    to: Currency,
    rates: Option<&Rates>,
) -> Result<Option<Costs>> {
    let known = |dimension: &Dimension| match dimension {
        Dimension::Touch(column) => {
            matches!(column.as_str(), "utm_source" | "utm_medium" | "utm_campaign")
        }
        Dimension::Span(_) => true,
        Dimension::Order(_) | Dimension::Item(_) => false,
    };
    if !by.iter().all(known) {
        return Ok(None);
    }
    let column = |name: &str| spend.column_by_name(name);
    let text = |name: &str, row: usize| {
        let texts = column(name)?.as_string_view_opt()?;
        texts.is_valid(row).then(|| texts.value(row).to_owned())
    };
    let mut costs = Costs::new();
    let (Some(days), Some(amounts)) = (column("date"), column("cost")) else {
        return Ok(Some(costs));
    };
    let (days, amounts) = (days.as_primitive::<Date32Type>(), amounts.as_primitive::<Int64Type>());
    for row in 0..spend.num_rows() {
        let Some(day) = date(days.value(row)) else { continue };
        if !(period.0..period.1).contains(&start_of_day(day, zone)) {
            continue;
        }
        let own = text("currency", row).and_then(|code| code.parse().ok()).unwrap_or(to);
        let rate = rates.filter(|_| own != to).and_then(|rates| rates.on(own, day));
        let overflow = || Error::Overflow { what: format!("the cost of {day}") };
        let (cost, currency) = match rate {
            Some(rate) => (convert(amounts.value(row), own, to, rate).ok_or_else(overflow)?, to),
            None => (amounts.value(row), own),
        };
        let values = by.iter().map(|dimension| match dimension {
            Dimension::Span(span) => span.label(day),
            Dimension::Touch(column) | Dimension::Order(column) | Dimension::Item(column) => {
                text(column, row).unwrap_or_else(|| NOT_SET.to_owned())
            }
        });
        let sum = costs.entry((values.collect(), currency)).or_default();
        *sum = sum.checked_add(cost).ok_or_else(overflow)?;
    }
    Ok(Some(costs))
}
