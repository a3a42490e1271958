//! The period that a run is compared with: the same rows in the same order, attributed once more.

use super::{
    Asking, Attributed, MergedTables, Named, Ordered, People, PeriodLines, Tables, Writers,
    attribute, orders, relearn, report_lines,
};
use crate::calendar::Span;
use crate::config::Config;
use crate::error::Result;
use crate::journeys::Dimension;
use crate::report::{Line, OrderSums};
use crate::summary::Summary;

/// Attributes the orders of the period that is compared with, where there is one: the lines of its
/// report, and its sums.
///
/// Nothing is written of it but its figures. A day, week or month is called like the one of the
/// reported period that it stands beside.
pub(super) fn then(
    config: &Config,
    tables: &Tables,
    merged: &MergedTables,
    ordered: &mut Ordered,
    named: &Named,
    people: &People,
    summary: &mut Summary,
) -> Result<Option<(PeriodLines, Attributed)>> {
    let Some(comparison) = &config.compare else { return Ok(None) };
    ordered.report(comparison.period());
    let mut sums = attribute(config, merged, ordered, named, people, &mut Writers::none())?;
    let whose = (merged, people);
    relearn(config, whose, (ordered, named), &mut sums, Asking::Then, summary)?;
    let mut before = report_lines(config, tables, whose, ordered, named, &sums, summary)?;
    ordered.report(config.period);
    rename(config, &mut before.lines)?;
    rename_orders(config, &mut sums.orders)?;
    Ok(Some((before, sums)))
}

/// Calls the days, weeks and months of what is known of orders like those that they stand beside.
pub(super) fn rename_orders(config: &Config, sums: &mut OrderSums) -> Result<()> {
    let Some(comparison) = &config.compare else { return Ok(()) };
    for (at, span) in spans(&orders::dimensions(config)) {
        sums.rename(at, &comparison.beside(span)?);
    }
    Ok(())
}

/// Calls the days, weeks and months of lines like those of the reported period that they stand
/// beside.
pub(super) fn rename(config: &Config, lines: &mut [Line]) -> Result<()> {
    let Some(comparison) = &config.compare else { return Ok(()) };
    for (at, span) in spans(&config.by) {
        let beside = comparison.beside(span)?;
        for value in lines.iter_mut().map(|line| &mut line.values[at]) {
            if let Some(name) = beside.get(value) {
                name.clone_into(value);
            }
        }
    }
    Ok(())
}

/// The dimensions that are time, with their positions.
fn spans(by: &[Dimension]) -> Vec<(usize, Span)> {
    let spans = by.iter().enumerate().filter_map(|(at, dimension)| match dimension {
        Dimension::Span(span) => Some((at, *span)),
        Dimension::Touch(_) | Dimension::Order(_) | Dimension::Item(_) => None,
    });
    spans.collect()
}
