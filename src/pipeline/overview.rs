//! What a page shows beside the report: the same orders in the same order, attributed once more by
//! time, with a look at their journeys.

use super::{
    MergedTables, Named, Names, Ordered, Tables, join_by, label, persons_with_orders, work,
};
use crate::calendar::{Span, day_of};
use crate::config::{Config, Extent};
use crate::engine::{self, Cells, Learnt, Work};
use crate::error::{Error, Result};
use crate::journeys::Dimension;
use crate::models::Fitted;
use crate::report::{JourneySums, NamedJourneys, Overview, Report, readable_span};

/// Gathers what a page shows, where one is wanted.
///
/// Models that learn know what they learnt in the run itself.
///
/// # Errors
///
/// Credit over time that does not add up to the report.
pub(super) fn gather(
    config: &Config,
    (tables, merged): (&Tables, &MergedTables),
    ordered: &Ordered,
    learnt: &Learnt,
    report: &Report,
) -> Result<Option<Overview>> {
    if config.extent != Extent::Page {
        return Ok(None);
    }
    let (span, by) = by_time(config, shown(ordered));
    let named = label(config, &by, tables, merged, ordered)?;
    let Some(sums) = sums(config, named, merged, ordered, &learnt.fitted)? else { return Ok(None) };
    let cells = (Names::new(ordered, &sums.named), &sums.cells);
    overview(config, (span, by), cells, sums.journeys, report).map(Some)
}

/// What a page shows, in sums.
pub(super) struct OverviewSums {
    pub(super) named: Named,
    pub(super) cells: Cells,
    pub(super) journeys: NamedJourneys,
}

/// Attributes orders by time, and looks at their journeys; `named` says what they are called by it.
pub(super) fn sums(
    config: &Config,
    named: Named,
    merged: &MergedTables,
    ordered: &Ordered,
    fitted: &[Option<Fitted>],
) -> Result<Option<OverviewSums>> {
    let Some(steps) = &named.steps else { return Ok(None) };
    let work = Work {
        fitted,
        journeys: true,
        by_role: false,
        by_person: false,
        ..work(config, ordered, &named)
    };
    let (mut cells, mut journeys) = (Cells::new(work.models.len(), false), JourneySums::default());
    let persons = persons_with_orders(merged);
    let wave = 4 * rayon::current_num_threads();
    let tasks: Vec<_> = engine::tasks(&work, &persons).collect();
    engine::run(
        &tasks,
        wave,
        |_| Ok(()),
        |partial, ()| {
            cells.merge(&partial.cells);
            let whose = (&ordered.touches, &ordered.orders);
            journeys.add(whose, &steps.path, &partial.journeys, config.zone);
            Ok(())
        },
    )?;
    let journeys = journeys.named(&steps.path, &ordered.amounts.currencies);
    Ok(Some(OverviewSums { named, cells, journeys }))
}

/// What a page shows, from sums.
///
/// # Errors
///
/// Credit over time that does not add up to the report.
pub(super) fn overview(
    config: &Config,
    (span, by): (Span, Vec<Dimension>),
    (names, cells): (Names<'_>, &Cells),
    journeys: NamedJourneys,
    report: &Report,
) -> Result<Overview> {
    let over_time = join_by(config, &by, names, cells, (None, None));
    for total in &report.totals {
        let of_model = over_time.iter().filter(|line| line.currency == total.currency);
        let amount: i128 = of_model.map(|line| line.credited[total.model].amount).sum();
        if amount != total.amount {
            let model = &report.models[total.model];
            return Err(Error::Broken(format!(
                "`{model}` credits {} {} over time, but {} in all",
                total.currency.format(amount),
                total.currency,
                total.currency.format(total.amount)
            )));
        }
    }
    let journeys = journeys.journeys(names.currencies);
    Ok(Overview { by, span, over_time, journeys })
}

/// The first and the last instant of an order that is shown, if any is.
pub(super) fn shown(ordered: &Ordered) -> Option<(i64, i64)> {
    let orders = &ordered.orders;
    let shown = orders.counted.iter().zip(&orders.reported).zip(&orders.wanted);
    let at = orders.at.iter().zip(shown);
    let at = at.filter(|(_, ((counted, reported), wanted))| **counted && **reported && **wanted);
    at.map(|(at, _)| (*at, *at)).reduce(|(first, last), (at, _)| (first.min(at), last.max(at)))
}

/// The span that a page divides time into, and the dimensions of the report with it: the report's own
/// span where it has one, else what the days of its orders ask for.
pub(super) fn by_time(config: &Config, shown: Option<(i64, i64)>) -> (Span, Vec<Dimension>) {
    let own = config.by.iter().find_map(|dimension| match dimension {
        Dimension::Span(span) => Some(*span),
        Dimension::Touch(_) | Dimension::Order(_) | Dimension::Item(_) => None,
    });
    let span = own.unwrap_or_else(|| {
        let Some((first, last)) = shown else { return Span::Day };
        let days = day_of(last, config.zone) - day_of(first, config.zone);
        readable_span(days.num_days() + 1)
    });
    let others = config.by.iter().filter(|dimension| !matches!(dimension, Dimension::Span(_)));
    (span, others.cloned().chain([Dimension::Span(span)]).collect())
}
