//! The table of what is known of orders alone: by which dimensions, and of what.

use arrow::array::RecordBatch;

use super::{MergedTables, Ordered, wants_orders};
use crate::config::{Config, DateBy, Output};
use crate::error::Result;
use crate::journeys::{Dimension, Labels, NOT_SET, combine};
use crate::report::{OrderSums, OrderTable, Places, order_rows};
use crate::summary::Summary;

/// The dimensions of the report that an order has: its own columns, and time where the report is
/// dated by it.
///
/// Its items are left out: an order has several, and stands in one line. So is time where touches
/// have it: an order's own day may lie outside the period then.
pub(super) fn dimensions(config: &Config) -> Vec<Dimension> {
    let of_order = |dimension: &&Dimension| match dimension {
        Dimension::Order(_) => true,
        Dimension::Span(_) => config.date_by == DateBy::Order,
        Dimension::Touch(_) | Dimension::Item(_) => false,
    };
    config.by.iter().filter(of_order).cloned().collect()
}

/// Where each order stands in the table, and what kind of place it was made at.
pub(super) fn places(config: &Config, merged: &MergedTables, ordered: &Ordered) -> Places {
    let (rows, orders) = (&merged.orders.rows, &ordered.orders);
    let in_order = |labels: Labels| Labels {
        codes: orders.row.iter().map(|row| labels.codes[*row as usize]).collect(),
        values: labels.values,
    };
    let currencies = ordered.amounts.currencies.iter();
    let mut labels = vec![Labels {
        codes: orders.currency.iter().map(|code| u32::from(*code)).collect(),
        values: currencies.map(ToString::to_string).collect(),
    }];
    if labels[0].values.is_empty() {
        labels[0].values.push(config.currency.to_string());
    }
    for dimension in dimensions(config) {
        labels.push(match dimension {
            Dimension::Span(span) => Labels::of_span(orders.at.iter().copied(), span, config.zone),
            Dimension::Touch(column) | Dimension::Order(column) | Dimension::Item(column) => {
                in_order(Labels::of_column(rows, &column))
            }
        });
    }
    let mut domain_types = in_order(Labels::of_column(rows, "domain_id"));
    for domain in &mut domain_types.values {
        let kind = config.domain_types.get(domain).map_or(NOT_SET, String::as_str);
        kind.clone_into(domain);
    }
    let person = |row: &u32| merged.orders.person[*row as usize];
    Places {
        lines: combine(&labels, orders.row.len()),
        domain_types,
        persons: orders.row.iter().map(person).collect(),
    }
}

/// What is known of orders alone, for the summary, and as rows where they are to be written.
pub(super) fn table<'c>(
    config: &'c Config,
    mut now: OrderSums,
    mut before: Option<OrderSums>,
    summary: &mut Summary,
) -> Result<Option<(&'c Output, RecordBatch)>> {
    if !wants_orders(config) {
        return Ok(None);
    }
    if let Some(before) = &mut before {
        now.meet(before);
    }
    let table = OrderTable::new(dimensions(config), now)?;
    summary.order_measures = table.totals().to_vec();
    let Some(output) = &config.outputs.orders_report else { return Ok(None) };
    let before = before.map(|before| OrderTable::new(dimensions(config), before)).transpose()?;
    Ok(Some((output, order_rows(&table, before.as_ref())?)))
}
