//! What touches and orders are called by what a report is by, and by what models look at.

use arrow::array::RecordBatch;

use super::{
    CHANNEL, MergedTables, Ordered, Tables, orders, touch_columns, wants_journeys, wants_orders,
};
use crate::config::{Config, DateBy};
use crate::engine::{Others, Parts, TouchChannels};
use crate::error::{Error, Result};
use crate::journeys::{Combined, Dimension, Items, Labels, Touches, combine};
use crate::kept::Frame;
use crate::merge::merge_rows;
use crate::report::{Places, Steps};
use crate::schema::{Table, UTM};
use crate::{engine, touchpoints};

/// What touches and orders are called.
pub(super) struct Named {
    pub(super) touches: Combined,
    pub(super) orders: Combined,
    pub(super) touch_cells: Vec<u32>,
    pub(super) order_cells: Vec<u32>,
    /// The parts that orders are divided into, where the report is by their items.
    pub(super) parts: Option<Parts>,
    pub(super) has_touch_dimensions: bool,
    /// Which combinations stand for others, where lines of few persons are merged.
    pub(super) others: Option<Others>,
    /// The channels of touches, for the models that look at them.
    pub(super) channels: TouchChannels,
    /// The channel of each touch, in the byte order of their names, where paths are written.
    pub(super) path_channels: Option<Labels>,
    /// What journeys are made of, where they are wanted.
    pub(super) steps: Option<Steps>,
    /// The channel of each touch, where journeys are kept.
    pub(super) kept_channels: Option<Labels>,
    /// Where orders stand in the table of what is known of them, where that is wanted.
    pub(super) places: Option<Places>,
}

/// The items of orders, where the report is by them.
pub(super) fn items(
    by: &[Dimension],
    tables: &Tables,
    merged: &MergedTables,
    ordered: &Ordered,
) -> Result<Option<(Items, RecordBatch)>> {
    let by_items = by.iter().any(|dimension| matches!(dimension, Dimension::Item(_)));
    let Some(loaded) = tables.get(&Table::OrderItems).filter(|_| by_items) else {
        return Ok(None);
    };
    let rows = merge_rows(&loaded.rows)?;
    Ok(Some((Items::new(&rows, &ordered.orders, &merged.orders.rows), rows)))
}

pub(super) fn label(
    config: &Config,
    by: &[Dimension],
    tables: &Tables,
    merged: &MergedTables,
    ordered: &Ordered,
) -> Result<Named> {
    let (touches, orders) = (&ordered.touches, &ordered.orders);
    // Touches that wait are called by their looks.
    let looks: Vec<u32> = (0..).take(merged.touches.num_rows()).collect();
    let touch_rows = if ordered.waiting.is_some() { &looks } else { &touches.row };
    let too_many = |what: &str| Error::Contradiction(format!("there are more than 2^32 {what}"));
    u32::try_from(touches.row.len()).map_err(|_| too_many("touches"))?;
    u32::try_from(orders.row.len()).map_err(|_| too_many("orders"))?;
    let codes = &ordered.amounts.currencies;
    let mut of_touch = Vec::new();
    // Dimensions of items, with their place among those of orders.
    let mut of_item: Vec<(usize, &String)> = Vec::new();
    let mut of_order = vec![Labels {
        codes: orders.currency.iter().map(|code| u32::from(*code)).collect(),
        values: codes.iter().map(ToString::to_string).collect(),
    }];
    for dimension in by {
        match dimension {
            Dimension::Touch(column) => {
                of_touch.push(in_order(Labels::of_column(&merged.touches, column), touch_rows));
            }
            Dimension::Order(column) => {
                let labels = Labels::of_column(&merged.orders.rows, column);
                of_order.push(in_order(labels, &orders.row));
            }
            Dimension::Item(column) => of_item.push((of_order.len() + of_item.len(), column)),
            Dimension::Span(span) if config.date_by == DateBy::Touch => {
                of_touch.push(Labels::of_span(touches.at.iter().copied(), *span, config.zone));
            }
            Dimension::Span(span) => {
                of_order.push(Labels::of_span(orders.at.iter().copied(), *span, config.zone));
            }
        }
    }
    if of_order[0].values.is_empty() {
        of_order[0].values.push(config.currency.to_string());
    }
    let steps = wants_journeys(config).then(|| steps(config, merged, touches));
    let channels = TouchChannels::new(&config.models, |column| {
        in_order(Labels::of_column(&merged.touches, column), touch_rows)
    });
    let path_channels = config.outputs.paths.as_ref().map(|_| {
        engine::in_byte_order(in_order(Labels::of_column(&merged.touches, CHANNEL), touch_rows))
    });
    let kept_channels = config
        .keeps(Frame::Journeys)
        .then(|| in_order(Labels::of_column(&merged.touches, CHANNEL), touch_rows));
    let has_touch_dimensions = !of_touch.is_empty();
    let mut touches = combine(&of_touch, touch_rows.len());
    let (mut orders, parts) = match items(by, tables, merged, ordered)? {
        Some((items, rows)) => {
            let mut of_part: Vec<Labels> =
                of_order.iter().map(|labels| items.of_orders(labels)).collect();
            for (place, column) in of_item {
                of_part.insert(place, items.of_column(&rows, column));
            }
            let combined = combine(&of_part, items.row.len());
            let parts = Parts::new(&items.starts, &combined.codes, &items.weight);
            (combined, Some(parts))
        }
        None => (combine(&of_order, orders.row.len()), None),
    };
    Ok(Named {
        touch_cells: std::mem::take(&mut touches.codes),
        order_cells: std::mem::take(&mut orders.codes),
        parts,
        touches,
        orders,
        has_touch_dimensions,
        others: None,
        channels,
        path_channels,
        steps,
        kept_channels,
        places: wants_orders(config).then(|| orders::places(config, merged, ordered)),
    })
}

/// The labels of rows, in another order.
pub(super) fn in_order(labels: Labels, rows: &[u32]) -> Labels {
    let codes = rows.iter().map(|row| labels.codes[*row as usize]).collect();
    Labels { codes, values: labels.values }
}

/// What journeys are made of.
pub(super) fn steps(config: &Config, merged: &MergedTables, touches: &Touches) -> Steps {
    let mut columns: Vec<&str> = touch_columns(config).collect();
    if columns.is_empty() {
        columns = vec!["utm_source", "utm_medium"];
    }
    let named = |column: &str| in_order(Labels::of_column(&merged.touches, column), &touches.row);
    let labels: Vec<Labels> = columns.into_iter().map(named).collect();
    Steps {
        path: combine(&labels, touches.row.len()),
        device_types: named("device_type"),
        devices: named("device_external_id"),
        domains: named("domain_id"),
        domain_types: named(touchpoints::DOMAIN_TYPE),
    }
}

/// Where a touch was said to come from before a discount code said otherwise.
pub(super) fn vias(config: &Config) -> impl Iterator<Item = String> {
    let fields = UTM.into_iter().filter(|_| !config.vouchers.is_empty());
    fields
        .map(|field| format!("via_{field}"))
        .filter(|name| !touch_columns(config).any(|column| column == name))
}
