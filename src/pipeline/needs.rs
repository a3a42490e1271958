//! What an answer depends on: the columns that are read of each table, and what is worked out.
//!
//! No column is decoded that the answer does not depend on, but for those that a rule judges.

use std::collections::BTreeSet;

use crate::config::{Config, Extent};
use crate::filter::Filter;
use crate::input::Needs;
use crate::journeys::Dimension;
use crate::kept::Frame;
use crate::report::MeasureSet;
use crate::schema::{ITEMS_AT, Table, UTM};
use crate::{channels, touchpoints};

/// The columns that a run reads of a table beyond those that every row is judged by: no more
/// than its answer depends on.
pub(super) fn needs(config: &Config, table: Table) -> Needs {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    match table {
        Table::OrderItems
        | Table::Users
        | Table::UserAliases
        | Table::Spend
        | Table::ExchangeRates
        | Table::Items => {
            return Needs::All;
        }
        Table::Devices => names.extend(touchpoints::DEVICE_COLUMNS),
        Table::Orders if config.keeps(Frame::Orders) => return Needs::All,
        Table::Sessions | Table::Postviews if config.keeps(Frame::Sessions) => return Needs::All,
        Table::Orders => {
            names.extend(["conversion_type", ITEMS_AT]);
            if !config.vouchers.is_empty() {
                names.insert("discount_codes");
            }
            if wants_orders(config) {
                names.insert("domain_id");
            }
            names.insert(config.amount.as_deref().unwrap_or(DEFAULT_AMOUNT));
            names.extend(config.where_orders.iter().flat_map(Filter::words));
            names.extend(config.by.iter().filter_map(|dimension| match dimension {
                Dimension::Order(column) => Some(column.as_str()),
                Dimension::Touch(_) | Dimension::Item(_) | Dimension::Span(_) => None,
            }));
        }
        Table::Sessions | Table::Postviews => {
            names.extend(["utm_source", "utm_medium"]);
            names.extend(looked_at(config));
            names.extend(config.where_touches.iter().flat_map(Filter::words));
            let mut columns: Vec<&str> = looked_at(config).collect();
            if wants_channels(config) {
                columns.extend(config.channels.columns());
            }
            let by_device = columns.iter().any(|name| touchpoints::DEVICE_COLUMNS.contains(name));
            if !config.vouchers.is_empty() || names_touches(config) {
                names.extend(UTM);
            }
            if names_touches(config) || wants_journeys(config) {
                names.extend(["domain_id", "device_external_id", "device_type"]);
            }
            if by_device {
                names.insert("device_external_id");
            }
            if wants_channels(config) {
                names.extend(config.channels.columns());
            }
            if looked_at(config).any(|name| name == touchpoints::DOMAIN_TYPE) {
                names.insert("domain_id");
            }
            if counts_sessions(config) {
                names.extend(["duration", "interactions_count"]);
                if config.measures == MeasureSet::All {
                    names.insert("pageviews_count");
                }
            }
        }
    }
    Needs::Named(names.into_iter().map(str::to_owned).collect())
}

/// The column that amounts are taken from unless another is named.
pub(crate) const DEFAULT_AMOUNT: &str = "subtotal_price";

/// What an order is that does not say what kind of conversion it is.
pub(super) const DEFAULT_CONVERSION_TYPE: &str = "order";

/// Touches are told one by one where credits are written or kept, or an order is explained.
pub(super) fn names_touches(config: &Config) -> bool {
    config.wants_credits() || config.outputs.explanation
}

/// Channels are worked out where the report is by them, a model looks at them, touches are told one
/// by one, or touches or journeys are kept.
pub(super) fn wants_channels(config: &Config) -> bool {
    let kept = [Frame::Sessions, Frame::Journeys];
    names_touches(config)
        || kept.into_iter().any(|frame| config.keeps(frame))
        || looked_at(config).any(|name| channels::COLUMNS.contains(&name))
}

/// What is known of orders alone is worked out where it is written, or all measures are wanted.
pub(super) fn wants_orders(config: &Config) -> bool {
    let figures = config.measures == MeasureSet::All || config.extent == Extent::Page;
    config.outputs.orders_report.is_some() || figures
}

/// Journeys are gathered where they are written, or figures of orders follow from them.
pub(super) fn wants_journeys(config: &Config) -> bool {
    config.outputs.journeys.is_some() || config.keeps(Frame::Journeys) || wants_orders(config)
}

pub(super) fn touch_columns(config: &Config) -> impl Iterator<Item = &str> {
    config.by.iter().filter_map(|dimension| match dimension {
        Dimension::Touch(column) => Some(column.as_str()),
        Dimension::Order(_) | Dimension::Item(_) | Dimension::Span(_) => None,
    })
}

/// The columns of touches that the report is by, and those that models and paths look at.
pub(super) fn looked_at(config: &Config) -> impl Iterator<Item = &str> {
    let of_models = config.models.iter().filter_map(|asked| asked.model.channels());
    let of_paths = config.outputs.paths.as_ref().map(|_| CHANNEL);
    touch_columns(config).chain(of_models).chain(of_paths)
}

/// The column of touches that paths are made of.
pub(super) const CHANNEL: &str = "channel";

/// Sessions can be counted by everything that a session itself has.
pub(super) fn counts_sessions(config: &Config) -> bool {
    let of_orders =
        |dimension: &Dimension| matches!(dimension, Dimension::Order(_) | Dimension::Item(_));
    !config.by.iter().any(of_orders)
}
