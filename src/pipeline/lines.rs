//! The lines of the report of a period, and the proof that they add up.

use std::collections::BTreeMap;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;

use super::bootstrap::ResampledSessions;
use super::lean::Rows;
use super::{Attributed, MergedTables, Named, Ordered, People, Tables, bootstrap, counts_sessions};
use crate::config::{Config, DateBy};
use crate::engine::{Cells, Tally};
use crate::error::{Error, Result};
use crate::journeys::{Combined, Dimension, Labels, Rates, combine};
use crate::money::Currency;
use crate::report::{
    EffectsReport, Line, Measures, Report, Session, SessionCounts, Sessions, Spending, Sums,
};
use crate::schema::Table;
use crate::summary::{ChainProof, Compared, Summary, prove};
use crate::{channels, report, touchpoints};

/// Sessions of a period by dimension values.
pub(super) type Counted = BTreeMap<Vec<String>, SessionCounts>;

/// The lines of the report of a period.
pub(super) struct PeriodLines {
    pub(super) lines: Vec<Line>,
    pub(super) measures: Measures,
    /// The sessions by the report's dimensions, where they can be counted by them.
    pub(super) sessions: Option<Counted>,
    /// The same in each resample, where there are any.
    pub(super) resampled: Option<ResampledSessions>,
    /// Spend by the report's dimensions, where it is known by them.
    pub(super) spending: Option<Spending>,
}

/// What combinations of values are called, and the currencies that there are.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) touches: &'a Combined,
    pub(super) orders: &'a Combined,
    pub(super) currencies: &'a [Currency],
}

impl<'a> Names<'a> {
    pub(super) fn new(ordered: &'a Ordered, named: &'a Named) -> Self {
        let currencies = &ordered.amounts.currencies;
        Self { touches: &named.touches, orders: &named.orders, currencies }
    }
}

/// The sessions of a period that stand beside its credit.
pub(super) struct SessionsBeside {
    /// By the report's dimensions, where they can be counted by them.
    pub(super) counted: Option<Counted>,
    /// The same in each resample, where there are any.
    pub(super) resampled: Option<ResampledSessions>,
    /// Whether their rows say how long they were or how much happened in them.
    pub(super) bounces: bool,
}

/// Counts the sessions of a period.
pub(super) fn sessions_beside(
    config: &Config,
    (merged, people): (&MergedTables, &People),
    ordered: &Ordered,
) -> Result<SessionsBeside> {
    let counted = counts_sessions(config)
        .then(|| {
            let wanted = ordered.wanted_persons.as_deref();
            count_sessions(config, &config.by, merged, wanted, ordered.period)
        })
        .transpose()?;
    let resampled = counts_sessions(config)
        .then(|| bootstrap::sessions(config, merged, people, ordered))
        .transpose()?
        .flatten();
    let whole = || tell_bounces(&merged.touches);
    let bounces = merged.rows.as_ref().map_or_else(whole, Rows::tell_bounces);
    Ok(SessionsBeside { counted, resampled, bounces })
}

/// Joins the credit of a period with its sessions and its spend.
pub(super) fn report_lines(
    config: &Config,
    tables: &Tables,
    whose: (&MergedTables, &People),
    ordered: &Ordered,
    named: &Named,
    sums: &Attributed,
    summary: &mut Summary,
) -> Result<PeriodLines> {
    let sessions = sessions_beside(config, whose, ordered)?;
    let dated = (ordered.period, ordered.rates.as_ref());
    lines_beside(
        config,
        tables,
        dated,
        (Names::new(ordered, named), &sums.cells),
        sessions,
        summary,
    )
}

/// Joins the credit of a period with sessions that were counted, and with its spend.
pub(super) fn lines_beside(
    config: &Config,
    tables: &Tables,
    dated: Dated<'_>,
    (names, cells): (Names<'_>, &Cells),
    sessions: SessionsBeside,
    summary: &mut Summary,
) -> Result<PeriodLines> {
    let SessionsBeside { counted, resampled, bounces } = sessions;
    let spending = spend(config, &config.by, tables, dated)?;
    if spending.is_none() && tables.contains_key(&Table::Spend) {
        summary.warn("spend is left out: it is known by utm_source, utm_medium, utm_campaign, their channel and time only");
    }
    let measures = Measures {
        set: config.measures,
        sessions: counted.is_some(),
        bounces,
        cost: spending.is_some(),
    };
    let beside = (counted.as_ref(), spending.as_ref());
    let lines = join(config, names, cells, beside);
    Ok(PeriodLines { lines, measures, sessions: counted, resampled, spending })
}

/// Joins the credit of cells with sessions and spend.
pub(super) fn join(
    config: &Config,
    names: Names<'_>,
    cells: &Cells,
    beside: (Option<&Counted>, Option<&Spending>),
) -> Vec<Line> {
    join_by(config, &config.by, names, cells, beside)
}

/// Joins the credit of cells by other dimensions than the report's, as [`join`] does.
pub(super) fn join_by(
    config: &Config,
    by: &[Dimension],
    names: Names<'_>,
    cells: &Cells,
    (sessions, spending): (Option<&Counted>, Option<&Spending>),
) -> Vec<Line> {
    report::lines(Sums {
        by,
        dated_by_touch: config.date_by == DateBy::Touch,
        models: config.models.len(),
        cells,
        touches: names.touches,
        orders: names.orders,
        currencies: names.currencies,
        default_currency: config.currency,
        sessions,
        spending,
    })
}

/// Whether rows say how long sessions were or how much happened in them.
pub(super) fn tell_bounces(rows: &RecordBatch) -> bool {
    ["duration", "interactions_count"].iter().any(|column| rows.column_by_name(column).is_some())
}

/// The sessions of a period by these dimensions, of the persons that are wanted.
pub(super) fn count_sessions(
    config: &Config,
    by: &[Dimension],
    merged: &MergedTables,
    wanted: Option<&[bool]>,
    period: (i64, i64),
) -> Result<Counted> {
    let all = config.counts_visitors();
    match &merged.rows {
        Some(rows) => Ok(rows.count(by, period, config.zone, config.bounce, all)),
        None => whole_sessions(config, by, merged, wanted, |sessions, values| {
            report::session_counts(sessions, values, period, config.bounce, all)
        }),
    }
}

/// Looks at sessions that were read whole, of the persons that are wanted, by these dimensions, of
/// which it gives the combinations.
pub(super) fn whole_sessions<T>(
    config: &Config,
    by: &[Dimension],
    merged: &MergedTables,
    wanted: Option<&[bool]>,
    look: impl FnOnce(Sessions<'_>, &[Vec<String>]) -> T,
) -> Result<T> {
    let mut sessions = merged.touches.slice(0, merged.sessions);
    let mut persons = merged.touch_persons[..merged.sessions].to_vec();
    if let Some(wanted) = wanted {
        let of_wanted = persons.iter().map(|person| Some(wanted[*person as usize]));
        sessions = filter_record_batch(&sessions, &of_wanted.collect::<BooleanArray>())?;
        persons.retain(|person| wanted[*person as usize]);
    }
    let at = touchpoints::instants(&sessions);
    let labels: Vec<Labels> = by
        .iter()
        .map(|dimension| match dimension {
            Dimension::Touch(column) | Dimension::Order(column) | Dimension::Item(column) => {
                Labels::of_column(&sessions, column)
            }
            Dimension::Span(span) => Labels::of_span(at.iter().copied(), *span, config.zone),
        })
        .collect();
    let session = Session::reader(&sessions, &at, &persons);
    let combined = combine(&labels, sessions.num_rows());
    let code = |row: usize| combined.codes[row];
    let sessions = Sessions { rows: sessions.num_rows(), session: &session, code: &code };
    Ok(look(sessions, &combined.values))
}

/// The period of a report, and what its spend is converted by.
pub(super) type Dated<'a> = ((i64, i64), Option<&'a Rates>);

/// Spend of the period by these dimensions; none where there is none, or it is not known by them.
pub(super) fn spend(
    config: &Config,
    by: &[Dimension],
    tables: &Tables,
    (period, rates): Dated<'_>,
) -> Result<Option<Spending>> {
    let Some(loaded) = tables.get(&Table::Spend) else { return Ok(None) };
    let of_channel = |dimension: &Dimension| match dimension {
        Dimension::Touch(column) => channels::COLUMNS.contains(&column.as_str()),
        Dimension::Order(_) | Dimension::Item(_) | Dimension::Span(_) => false,
    };
    // By the same rules as touches, of which spend knows source, medium and campaign.
    let rows = if by.iter().any(of_channel) {
        channels::with_channels(&loaded.rows, &config.channels)?
    } else {
        loaded.rows.clone()
    };
    report::spending(&rows, by, period, config.zone, config.currency, rates)
}

/// The report, beside that of the period it is compared with.
pub(super) fn make_report(
    config: &Config,
    now: &PeriodLines,
    then: Option<&PeriodLines>,
) -> Result<Report> {
    let then = then.map(|then| vec![then.lines.clone()]);
    let mut reports = make_reports(config, now.measures, vec![now.lines.clone()], then)?;
    Ok(reports.remove(0))
}

/// Reports of one kind, each beside that of the period it is compared with.
pub(super) fn make_reports(
    config: &Config,
    measures: Measures,
    mut now: Vec<Vec<Line>>,
    then: Option<Vec<Vec<Line>>>,
) -> Result<Vec<Report>> {
    let models: Vec<String> = config.models.iter().map(|asked| asked.name.clone()).collect();
    let Some(mut then) = then else {
        return Report::each(&config.by, &models, now, measures);
    };
    for (now, then) in now.iter_mut().zip(&mut then) {
        report::meet(now, then, models.len());
    }
    let now = Report::each(&config.by, &models, now, measures)?;
    let then = Report::each(&config.by, &models, then, measures)?;
    Ok(now.into_iter().zip(then).map(|(now, then)| now.compared_with(then)).collect())
}

/// Counts orders, and what their journeys are made of.
pub(super) fn count_orders(
    ordered: &Ordered,
    sums: &Attributed,
    summary: &mut Summary,
) -> Result<()> {
    let orders = &ordered.orders;
    let counts = &mut summary.orders;
    counts.read =
        summary.tables.iter().filter(|table| table.table == "orders").map(|table| table.read).sum();
    counts.counted = sums.tally.counted;
    counts.attributed = sums.tally.attributed;
    counts.unattributed = counts.counted - counts.attributed;
    counts.without_rate = ordered.amounts.without_rate.len() as u64;
    let not_counted = orders.counted.iter().filter(|counted| !**counted).count() as u64;
    counts.cancelled = not_counted - counts.without_rate;
    let merged = orders.row.len() as u64;
    let filtered = orders.counted.iter().zip(&orders.wanted);
    counts.filtered = filtered.filter(|(counted, wanted)| **counted && !**wanted).count() as u64;
    counts.outside_period = merged - not_counted - counts.filtered - counts.counted;
    summary.touches.in_journeys = sums.tally.touches;
    let accepted: u64 = summary
        .tables
        .iter()
        .filter(|table| table.table == "orders")
        .map(|table| table.accepted)
        .sum();
    for table in &summary.tables {
        if table.read != table.accepted + table.rejected {
            return Err(Error::Broken(format!(
                "{} rows of {} were read, but {} accepted and {} rejected",
                table.read, table.table, table.accepted, table.rejected
            )));
        }
    }
    if accepted != merged + counts.versions {
        return Err(Error::Broken(format!(
            "{accepted} rows of orders were accepted, but {merged} orders and {} versions are known",
            counts.versions
        )));
    }
    Ok(())
}

/// The sums of a period, and the currencies that they are in.
pub(super) type Owed<'a> = (&'a Tally, &'a [Currency]);

/// Proves the sums.
pub(super) fn account(
    config: &Config,
    (tally, currencies): Owed<'_>,
    then: Option<&Tally>,
    (report, effects): (&Report, &EffectsReport),
    summary: &mut Summary,
) -> Result<()> {
    let complete = config.date_by == DateBy::Order || config.period == (i64::MIN, i64::MAX);
    let names: Vec<String> = config.models.iter().map(|asked| asked.name.clone()).collect();
    summary.proof = prove(tally, &report.totals, &names, currencies, complete)?;
    summary.proof.chains = effects.models.iter().map(ChainProof::new).collect();
    if let (Some(comparison), Some(then), Some(before)) = (&config.compare, then, report.then()) {
        summary.compared = Some(Compared {
            from: comparison.now.0.to_string(),
            to: comparison.now.1.to_string(),
            from_then: comparison.then.0.to_string(),
            to_then: comparison.then.1.to_string(),
            orders_then: then.counted,
            proof_then: prove(then, &before.totals, &names, currencies, complete)?,
        });
    }
    Ok(())
}
