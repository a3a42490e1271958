//! From exact sums to the report: ratios, order, columns, and how it reads on a terminal.
//!
//! `lines` joins credit with sessions and spend; `queries/report/attribution.sql` derives the ratios and
//! the order; `measures` adds the columns of `--measures all`, `compare` those of another period;
//! `orders` is the table of what is known of orders alone, `gaps` of spend and sessions that do not
//! meet; `coverage` says what channel rules took; `rows` writes credits and journeys as tables;
//! `terminal` lays the report out for people; `identity` says what identity did;
//! `effects` says what models learnt of channels, `effects_text` how that reads; `sweep` what the results
//! of several settings have in common; `overview` is what a page shows beside the report, `markdown` how
//! it reads in a chat. Not for file formats; that is `output`.

mod compare;
mod coverage;
mod coverage_text;
mod effects;
mod effects_text;
mod gaps;
mod identity;
mod intervals;
mod lines;
mod markdown;
mod measures;
mod orders;
mod overview;
mod persons;
mod ranks;
mod rows;
mod side;
mod sweep;
mod sweep_text;
mod terminal;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringViewArray, UInt64Array,
};

pub use coverage::{Coverage, dimensions as coverage_dimensions};
pub use coverage_text::render_coverage;
pub use effects::{EffectsReport, ModelEffects};
pub use effects_text::render_effects;
pub use gaps::{Gap, GapKind, gap_rows, gaps};
pub(crate) use identity::IDENTITY_COLUMNS;
pub use identity::{
    AliasCounts, Cluster, Conflict, Cycle, Effect, EffectLine, EffectSums, Findings,
    IdentityReport, KeyCounts, Under, Why, changed_journeys,
};
pub use intervals::{Bounds, Interval, Intervals, RowBounds};
pub use lines::{Keys, Line, LineKey, OTHER, Sums, lines, meet};
pub use markdown::markdown;
pub use measures::{MeasureSet, is_own_column};
pub use orders::{OrderMeasures, OrderSums, OrderTable, Places, order_rows};
pub use overview::{
    JourneySums, Journeys, NamedJourneys, Overview, PathWorth, Step, Worth, readable_span,
};
pub use persons::with_orders;
pub use ranks::{Pairs, Ranks};
pub(crate) use rows::channel_paths;
pub use rows::{CREDIT_COLUMNS, CreditTable, Steps, TextOf, credit_rows, journey_rows};
pub use side::{
    SESSION_NUMBERS, Session, SessionCounts, Sessions, Spending, Spent, Told, cost_of,
    session_counts, session_rows, spending,
};
pub use sweep::{SweepReport, Tried};
pub use sweep_text::render_sweep;
pub(crate) use terminal::WIDTH;
pub use terminal::{render, render_wide};

use crate::bootstrap::Level;
use crate::credits::share;
use crate::engine::Credited;
use crate::error::{Error, Result};
use crate::frames::{Values, query};
use crate::journeys::Dimension;
use crate::money::Currency;
use crate::report::terminal::Shown;

const ATTRIBUTION: &str = include_str!("../../queries/report/attribution.sql");

/// What the query derives, one column each.
const RATIOS: [&str; 11] = [
    "conversions_share",
    "amount_share",
    "average_time_to_conversion",
    "bounce_rate",
    "conversion_rate",
    "average_duration",
    "average_pageviews",
    "cpa",
    "roas",
    "cpc",
    "ctr",
];

/// Columns with their names.
type Columns = Vec<(String, ArrayRef)>;

/// Digits of the decimals that amounts are written as.
const PRECISION: u8 = 38;

/// What one model credits in one currency, over the whole report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Total {
    /// The model's position among those asked for.
    pub model: usize,
    /// The currency.
    pub currency: Currency,
    /// Conversions, in units of [`WHOLE`](crate::credits::WHOLE).
    pub conversions: i128,
    /// Minor units.
    pub amount: i128,
}

/// A report: one line a combination of dimension values and currency, every model beside it.
pub struct Report {
    /// What it is by.
    pub by: Vec<Dimension>,
    /// The models' names, in the order asked for.
    pub models: Vec<String>,
    /// The combinations.
    pub lines: Vec<Line>,
    /// What each model credits in all, by model and currency.
    pub totals: Vec<Total>,
    /// Which optional measures it has.
    pub measures: Measures,
    /// The same lines in the period that it is compared with, where it is.
    then: Option<Box<Self>>,
    /// How uncertain its figures are, where that is asked for.
    intervals: Option<Intervals>,
    /// Its cells, in the order of the report: the position of a line, and of a model.
    cells: Vec<(usize, usize)>,
    /// What follows from the sums, by name: one a line and model, the models of a line together.
    ratios: BTreeMap<String, Vec<Option<f64>>>,
}

/// Which measures a report has beyond credit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Measures {
    /// The usual ones, or all.
    pub set: MeasureSet,
    /// Sessions of the period can be counted by the dimensions.
    pub sessions: bool,
    /// Sessions say how long they lasted or how many interactions they had.
    pub bounces: bool,
    /// Spend is given and known by the dimensions.
    pub cost: bool,
}

impl Report {
    /// Reports of one kind from exact lines, with their ratios and their order: one from each.
    ///
    /// # Errors
    ///
    /// A sum of amounts that leaves 64 bits.
    pub fn each(
        by: &[Dimension],
        models: &[String],
        lines: Vec<Vec<Line>>,
        measures: Measures,
    ) -> Result<Vec<Self>> {
        let report = |lines: Vec<Line>| Self {
            by: by.to_vec(),
            models: models.to_vec(),
            totals: totals(models.len(), &lines),
            lines,
            measures,
            then: None,
            intervals: None,
            cells: Vec::new(),
            ratios: BTreeMap::new(),
        };
        let mut reports: Vec<Self> = lines.into_iter().map(report).collect();
        derive(&mut reports)?;
        if measures.set == MeasureSet::All {
            measures::derive_roles(&mut reports)?;
        }
        Ok(reports)
    }

    /// Compares the report with the same lines of another period; see [`meet`].
    #[must_use]
    pub fn compared_with(mut self, then: Self) -> Self {
        self.then = Some(Box::new(then));
        self
    }

    /// Says how uncertain the figures are.
    #[must_use]
    pub fn with_intervals(mut self, intervals: Intervals) -> Self {
        self.intervals = Some(intervals);
        self
    }

    /// The same lines in the period that it is compared with, where it is.
    pub fn then(&self) -> Option<&Self> {
        self.then.as_deref()
    }

    /// How many resamples say how uncertain its figures are, and which part of them an interval holds.
    pub fn resamples(&self) -> Option<(usize, Level)> {
        self.intervals.as_ref().map(|intervals| (intervals.resamples, intervals.level))
    }

    /// Between which bounds a model's conversions, amount and change of amount lie: of a line, by its
    /// position, or of all lines in a currency. None where that is not known: nothing was resampled,
    /// or the line is not among the first.
    pub fn bounds(
        &self,
        model: usize,
        currency: Currency,
        line: Option<usize>,
    ) -> Option<RowBounds> {
        let shown = line.map_or(Shown::Total, Shown::Line);
        Some(self.intervals.as_ref()?.of_row(model, currency, shown))
    }

    /// The lines in the order of the report, which is by what a model credits.
    pub fn ordered(&self, model: usize) -> impl Iterator<Item = &Line> {
        let cells = self.cells.iter().filter(move |(_, of)| *of == model);
        cells.map(|(line, _)| &self.lines[*line])
    }

    /// The report in long form: one row a model and combination of dimension values.
    ///
    /// Compared with another period, every figure `NAME` has three more columns after it: `NAME_then`,
    /// `NAME_change` and `NAME_change_ratio`.
    ///
    /// Where intervals are asked for, every figure `NAME` of persons has `NAME_low` and `NAME_high`
    /// after it.
    pub fn long(&self) -> Result<RecordBatch> {
        self.with_bounds(false)
    }

    fn with_bounds(&self, wide: bool) -> Result<RecordBatch> {
        let table = self.plain(self, wide)?;
        match &self.intervals {
            Some(intervals) => intervals.beside(table, wide),
            None => Ok(table),
        }
    }

    /// The report in long or wide form, without bounds, its rows in the order of another report of
    /// the same lines.
    fn plain(&self, ordered: &Self, wide: bool) -> Result<RecordBatch> {
        let lines: Vec<usize> =
            ordered.cells.iter().filter(|(_, model)| *model == 0).map(|(line, _)| *line).collect();
        let table = |report: &Self| {
            if wide { report.wide_of(&lines) } else { report.long_of(&ordered.cells) }
        };
        let now = table(self)?;
        match &self.then {
            Some(then) => compare::side_by_side(&now, &table(then)?),
            None => Ok(now),
        }
    }

    fn long_of(&self, cells: &[(usize, usize)]) -> Result<RecordBatch> {
        let scale = self.scale();
        let order = cells;
        let lines = || order.iter().map(|(line, _)| &self.lines[*line]);
        let cells = || {
            order.iter().map(|(line, model)| {
                let line = &self.lines[*line];
                (line, &line.credited[*model])
            })
        };
        let counts = |count: &dyn Fn(&Line) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(lines().map(count)))
        };
        let floats = |values: Vec<f64>| -> ArrayRef { Arc::new(Float64Array::from(values)) };
        let ratio = |name: &str| self.ratio(name, order);
        let amounts = |amount: &dyn Fn(&Credited) -> i128| {
            decimals(cells().map(|(line, credited)| Some((amount(credited), line.currency))), scale)
        };
        let mut columns: Columns = vec![(
            "model".into(),
            texts(order.iter().map(|(_, model)| self.models[*model].as_str())),
        )];
        self.push_dimensions(&mut columns, &|| Box::new(lines()));
        columns.push(("currency".into(), texts(lines().map(|line| line.currency.code()))));
        let conversions = |of: &dyn Fn(&Credited) -> i128| {
            floats(cells().map(|(_, credited)| share(of(credited))).collect())
        };
        columns.extend([
            ("conversions".into(), conversions(&|credited| credited.conversions)),
            ("conversions_share".into(), ratio("conversions_share")),
            ("amount".into(), amounts(&|credited| credited.amount)?),
            ("amount_share".into(), ratio("amount_share")),
            ("orders".into(), counts(&|line| line.orders)),
            ("persons".into(), counts(&|line| line.persons)),
            ("alone".into(), counts(&|line| line.roles[0])),
            ("initiator".into(), counts(&|line| line.roles[1])),
            ("assisting".into(), counts(&|line| line.roles[2])),
            ("closer".into(), counts(&|line| line.roles[3])),
            ("acquisition_conversions".into(), conversions(&|credited| credited.first_conversions)),
            ("acquisition_amount".into(), amounts(&|credited| credited.first_amount)?),
            (
                "retention_conversions".into(),
                conversions(&|credited| credited.conversions - credited.first_conversions),
            ),
            (
                "retention_amount".into(),
                amounts(&|credited| credited.amount - credited.first_amount)?,
            ),
            ("average_time_to_conversion".into(), ratio("average_time_to_conversion")),
        ]);
        if self.measures.sessions {
            columns.push(("sessions".into(), sessions(lines())));
            if self.measures.bounces {
                columns.push(("bounce_rate".into(), ratio("bounce_rate")));
            }
            columns.push(("conversion_rate".into(), ratio("conversion_rate")));
        }
        if self.measures.cost {
            columns.push(("cost".into(), cost(lines(), scale)?));
            columns.push(("cpa".into(), ratio("cpa")));
            columns.push(("roas".into(), ratio("roas")));
        }
        if self.measures.set == MeasureSet::All {
            self.push_all(&mut columns, order, scale)?;
        }
        Ok(RecordBatch::try_from_iter(columns)?)
    }

    /// The report in wide form: one row a combination of dimension values, the models side by side
    /// as `MODEL_conversions` and `MODEL_amount`.
    pub fn wide(&self) -> Result<RecordBatch> {
        self.with_bounds(true)
    }

    fn wide_of(&self, order: &[usize]) -> Result<RecordBatch> {
        let scale = self.scale();
        let lines = || order.iter().map(|line| &self.lines[*line]);
        let mut columns = Columns::new();
        self.push_dimensions(&mut columns, &|| Box::new(lines()));
        columns.push(("currency".into(), texts(lines().map(|line| line.currency.code()))));
        let counts = |count: &dyn Fn(&Line) -> u64| -> ArrayRef {
            Arc::new(UInt64Array::from_iter_values(lines().map(count)))
        };
        columns.push(("orders".into(), counts(&|line| line.orders)));
        columns.push(("persons".into(), counts(&|line| line.persons)));
        if self.measures.sessions {
            columns.push(("sessions".into(), sessions(lines())));
        }
        if self.measures.cost {
            columns.push(("cost".into(), cost(lines(), scale)?));
        }
        for (model, name) in self.models.iter().enumerate() {
            let conversions = lines().map(|line| share(line.credited[model].conversions));
            let amounts = lines().map(|line| Some((line.credited[model].amount, line.currency)));
            columns.push((
                format!("{name}_conversions"),
                Arc::new(Float64Array::from_iter_values(conversions)),
            ));
            columns.push((format!("{name}_amount"), decimals(amounts, scale)?));
        }
        Ok(RecordBatch::try_from_iter(columns)?)
    }

    fn push_dimensions<'a>(
        &'a self,
        columns: &mut Columns,
        lines: &dyn Fn() -> Box<dyn Iterator<Item = &'a Line> + 'a>,
    ) {
        for (at, dimension) in self.by.iter().enumerate() {
            columns
                .push((dimension.to_string(), texts(lines().map(|line| line.values[at].as_str()))));
        }
    }

    /// What follows from the sums, in the order of these cells.
    fn ratio(&self, name: &str, cells: &[(usize, usize)]) -> ArrayRef {
        let values = self.ratios.get(name).map_or(&[][..], Vec::as_slice);
        let value = |(line, model): &(usize, usize)| {
            values.get(line * self.models.len() + model).copied().flatten()
        };
        Arc::new(cells.iter().map(value).collect::<Float64Array>())
    }

    /// The decimals that hold every currency of the report.
    fn scale(&self) -> u32 {
        self.lines.iter().map(|line| line.currency.exponent()).max().unwrap_or(2)
    }
}

/// Derives the ratios of reports of one kind, and the order of each: one query for all of them.
fn derive(reports: &mut [Report]) -> Result<()> {
    let Some(first) = reports.first() else { return Ok(()) };
    let models = first.models.len();
    let lines =
        || reports.iter().flat_map(|report| report.lines.iter().map(move |of| (report, of)));
    let each = |value: &dyn Fn(&Line, &Credited) -> Result<i64>| -> Result<Values> {
        let values = lines()
            .flat_map(|(_, line)| line.credited.iter().map(move |credited| value(line, credited)));
        values.collect::<Result<_>>().map(Values::Integers)
    };
    let float = |value: &dyn Fn(&Credited) -> f64| {
        Values::Floats(lines().flat_map(|(_, line)| line.credited.iter().map(value)).collect())
    };
    let some = |value: &dyn Fn(&Line) -> Option<f64>| {
        let values = lines().flat_map(|(_, line)| std::iter::repeat_n(value(line), models));
        Values::SomeFloats(values.collect())
    };
    let counted = |value: &dyn Fn(&SessionCounts) -> u64| {
        some(&|line| line.sessions.as_ref().map(|counts| value(counts) as f64))
    };
    let text = |value: &dyn Fn(&Report, &Line) -> String| {
        let values =
            lines().flat_map(|(report, line)| std::iter::repeat_n(value(report, line), models));
        Values::Texts(values.collect())
    };
    let of_total = |value: &dyn Fn(&Total) -> f64| {
        let total = |report: &Report, line: &Line, model: usize| {
            let found = report
                .totals
                .iter()
                .find(|total| total.model == model && total.currency == line.currency);
            found.map_or(0.0, value)
        };
        let values = lines()
            .flat_map(|(report, line)| (0..models).map(move |model| total(report, line, model)));
        Values::Floats(values.collect())
    };
    let count = lines().count() * models;
    let positions = (0..models as u64).map(u64::cast_signed);
    let bounces = first.measures.bounces;
    let cells = vec![
        ("cell", Values::Integers((0..i64::MAX).take(count).collect())),
        ("model", Values::Integers(lines().flat_map(|_| positions.clone()).collect())),
        ("currency", text(&|_, line| line.currency.to_string())),
        ("period", text(&|report, line| line.period(&report.by))),
        ("label", text(&|_, line| line.values.join("\u{1f}"))),
        (
            "unattributed",
            Values::Flags(
                lines()
                    .flat_map(|(_, line)| std::iter::repeat_n(line.unattributed, models))
                    .collect(),
            ),
        ),
        ("conversions", float(&|credited| share(credited.conversions))),
        ("timed_conversions", float(&|credited| share(credited.timed))),
        ("conversion_seconds", float(&|credited| share(credited.seconds))),
        ("amount", each(&|line, credited| narrow(credited.amount, line))?),
        ("total_conversions", of_total(&|total| share(total.conversions))),
        ("total_amount", of_total(&|total| total.amount as f64)),
        ("minor_units", each(&|line, _| Ok(10_i64.pow(line.currency.exponent())))?),
        ("sessions", counted(&|counts| counts.sessions)),
        (
            "bounced",
            some(&|line| {
                let counts = line.sessions.filter(|_| bounces)?;
                Some(counts.bounced as f64)
            }),
        ),
        ("timed_sessions", counted(&|counts| counts.duration.rows)),
        ("duration", some(&|line| line.sessions?.duration.sum())),
        ("counted_sessions", counted(&|counts| counts.pageviews.rows)),
        ("pageviews", some(&|line| line.sessions?.pageviews.sum())),
        ("cost", some(&|line| Some(line.spent?.cost as f64))),
        ("clicks", some(&|line| line.spent?.clicks.sum())),
        ("impressions", some(&|line| line.spent?.impressions.sum())),
    ];
    let answer = query("attribution", ATTRIBUTION, vec![("cells", cells)])?;
    let order: Vec<usize> = answer
        .integers("cell")?
        .into_iter()
        .flatten()
        .map(|cell| usize::try_from(cell).unwrap_or_default())
        .collect();
    for name in RATIOS {
        let mut by_cell = vec![None; order.len()];
        for (cell, value) in order.iter().zip(answer.floats(name)?) {
            by_cell[*cell] = value;
        }
        share_out(reports, name, by_cell);
    }
    // The cells of a report are in its order among those of all.
    let ends: Vec<usize> = ends(reports).collect();
    for cell in order {
        let at = ends.partition_point(|end| *end <= cell);
        let within = cell - if at == 0 { 0 } else { ends[at - 1] };
        reports[at].cells.push((within / models, within % models));
    }
    Ok(())
}

/// Where the cells of each report end, where those of all follow one another.
fn ends(reports: &[Report]) -> impl Iterator<Item = usize> {
    reports.iter().scan(0, |end, report| {
        *end += report.lines.len() * report.models.len();
        Some(*end)
    })
}

/// Gives each report its part of what was derived of the cells of all.
fn share_out(reports: &mut [Report], name: &str, by_cell: Vec<Option<f64>>) {
    let mut by_cell = by_cell.into_iter();
    for report in reports {
        let cells = report.lines.len() * report.models.len();
        report.ratios.insert(name.to_owned(), by_cell.by_ref().take(cells).collect());
    }
}

/// Texts as a column.
pub(crate) fn texts<'a>(values: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringViewArray>())
}

/// Amounts in minor units as decimals in major units, of one scale for all currencies.
pub(crate) fn decimals(
    amounts: impl Iterator<Item = Option<(i128, Currency)>>,
    scale: u32,
) -> Result<ArrayRef> {
    // A column mostly has one currency, whose code would be looked up anew for each amount.
    let mut known = None;
    let scaled = amounts.map(|amount| {
        let (minor, currency) = amount?;
        let factor = match known {
            Some((same, factor)) if same == currency => factor,
            _ => unit(currency, scale),
        };
        known = Some((currency, factor));
        Some(minor * factor)
    });
    decimal_column(scaled.collect(), scale)
}

/// What a currency's minor unit is in decimals of a scale.
pub(crate) fn unit(currency: Currency, scale: u32) -> i128 {
    10_i128.pow(scale.saturating_sub(currency.exponent()))
}

/// Unscaled decimals as a column of amounts.
pub(crate) fn decimal_column(unscaled: Decimal128Array, scale: u32) -> Result<ArrayRef> {
    let scale = i8::try_from(scale).unwrap_or(i8::MAX);
    Ok(Arc::new(unscaled.with_precision_and_scale(PRECISION, scale)?))
}

fn sessions<'a>(lines: impl Iterator<Item = &'a Line>) -> ArrayRef {
    let counts = lines.map(|line| line.sessions.map(|counts| counts.sessions.cast_signed()));
    Arc::new(counts.collect::<Int64Array>())
}

fn cost<'a>(lines: impl Iterator<Item = &'a Line>, scale: u32) -> Result<ArrayRef> {
    let costs = lines.map(|line| Some((i128::from(line.spent?.cost), line.currency)));
    decimals(costs, scale)
}

fn narrow(amount: i128, line: &Line) -> Result<i64> {
    i64::try_from(amount).map_err(|_| Error::Overflow {
        what: match &line.values[..] {
            [] => format!("the amount of all orders in {}", line.currency),
            values => format!("the amount of `{}`", values.join(" / ")),
        },
    })
}

fn totals(models: usize, lines: &[Line]) -> Vec<Total> {
    let mut currencies: Vec<Currency> = lines.iter().map(|line| line.currency).collect();
    currencies.sort_unstable();
    currencies.dedup();
    let mut totals = Vec::new();
    for model in 0..models {
        for currency in &currencies {
            let of = || {
                lines
                    .iter()
                    .filter(|line| line.currency == *currency)
                    .map(move |line| &line.credited[model])
            };
            totals.push(Total {
                model,
                currency: *currency,
                conversions: of().map(|credited| credited.conversions).sum(),
                amount: of().map(|credited| credited.amount).sum(),
            });
        }
    }
    totals
}
