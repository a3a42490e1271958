//! A run as one page for a browser: everything that a page shows, and how it is written.
//!
//! [`Page`] is plain data: sections of figures, charts and tables, made from a report, an overview
//! and a summary (`headline`, `credit`, `course`, `journeys`, `quality`); `template` makes HTML of
//! them, with `style.css` and `script.js` in it; `words` defines what figures mean. Nothing here
//! reads files or knows the terminal, and no figure is worked out here that the engine does not give:
//! what is not shown is added up in whole numbers.

mod course;
mod credit;
mod headline;
mod journeys;
mod quality;
mod settings;
mod template;
mod words;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;

use crate::charts::{Chart, Tone};
use crate::config::Config;
use crate::engine::Credited;
use crate::error::{Error, Result};
use crate::journeys::{Dimension, UNATTRIBUTED};
use crate::money::Currency;
use crate::output::{Align, cell_text, thousands};
use crate::report::{Line, Overview, Report};
use crate::summary::Summary;

/// Rows of a table before the rest is summed up in one.
const ROWS: usize = 200;

/// Labels of a chart before the rest is summed up in one.
const BARS: usize = 12;

/// What the rest is called.
const OTHER: &str = "(other)";

/// Everything that a page shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// What it is about.
    pub title: String,
    /// What its figures are of: the period, the models and so on.
    pub facts: Vec<(String, String)>,
    /// What a reader should know before trusting the figures.
    pub notes: Vec<String>,
    /// Its sections, in their order.
    pub sections: Vec<Section>,
}

/// A part of a page under a heading.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// What it is called in links.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What it says, in a sentence or two.
    pub lead: String,
    /// What it shows.
    pub parts: Vec<Part>,
}

/// What a section is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A heading of its own, where a section is about several things.
    Heading(String),
    /// A sentence.
    Text(String),
    /// Some figures that everybody asks for.
    Figures(Vec<Figure>),
    /// A chart, under the name that `apportion plot` gives it.
    Chart(ChartName, Chart),
    /// A table.
    Table(Table),
}

/// The charts that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ChartName {
    /// What each model credits, side by side.
    Models,
    /// What is credited over time.
    Time,
    /// Journeys by position.
    Paths,
    /// How long journeys took.
    Lag,
    /// How many touches they have.
    Length,
    /// Whether touches start, assist or close.
    Roles,
}

impl ChartName {
    /// Every chart with its name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("models", Self::Models),
        ("time", Self::Time),
        ("paths", Self::Paths),
        ("lag", Self::Lag),
        ("length", Self::Length),
        ("roles", Self::Roles),
    ];

    /// The chart of this name.
    ///
    /// # Errors
    ///
    /// A name that is none; the error lists those that are.
    pub fn from_name(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|(known, _)| *known == name);
        found.map(|(_, chart)| chart).ok_or_else(|| Error::Unknown {
            kind: "chart",
            name: name.to_owned(),
            known: Self::ALL.map(|(known, _)| known.to_owned()).to_vec(),
        })
    }
}

/// A figure with its name, large.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it is called.
    pub name: String,
    /// The word that defines it.
    pub word: Option<&'static str>,
    /// What it is.
    pub value: String,
    /// How it changed, where that is known.
    pub change: Option<Change>,
    /// More about it.
    pub detail: String,
}

/// How a figure changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// In words, with what it was.
    pub text: String,
    /// Whether it grew, fell or stayed.
    pub direction: std::cmp::Ordering,
}

/// A table that can be sorted, filtered and taken along.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// Its columns.
    pub columns: Vec<Column>,
    /// Its rows.
    pub rows: Vec<Row>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// What it is called.
    pub name: String,
    /// On which side its cells stand.
    pub align: Align,
    /// The word that defines it.
    pub word: Option<&'static str>,
}

/// A row of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it stands for.
    pub kind: RowKind,
    /// Its cells, one a column.
    pub cells: Vec<Cell>,
}

/// What a row stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// Itself.
    Line,
    /// What is not shown, summed up; it stays below the others.
    Rest,
    /// Everything; it stays at the end.
    Total,
}

/// A cell: how it reads, and the figure as other programs read it where that differs.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cell {
    /// How it reads.
    pub text: String,
    /// The figure itself.
    pub value: Option<String>,
}

impl Page {
    /// What a page says of a run.
    ///
    /// # Errors
    ///
    /// A report that cannot be written as a table.
    pub fn new(
        report: &Report,
        overview: &Overview,
        summary: &Summary,
        config: &Config,
    ) -> Result<Self> {
        let labels = Labels::new(report);
        let mut sections = vec![headline::section(report, overview, summary)];
        sections.extend(credit::sections(report, &labels)?);
        sections.push(course::section(report, overview, &labels));
        sections.extend(journeys::sections(report, overview, &labels));
        sections.push(quality::unattributed(&overview.journeys, summary));
        sections.extend(quality::sections(summary, config));
        Ok(Self {
            title: "Attribution report".to_owned(),
            facts: headline::facts(report, overview, config),
            notes: summary.warnings.clone(),
            sections,
        })
    }

    /// The page as one HTML document that needs nothing else.
    ///
    /// # Errors
    ///
    /// Charts that cannot be drawn.
    pub fn html(&self) -> Result<String> {
        template::document(self)
    }

    /// A chart of the page: of the first currency, where there are several.
    ///
    /// # Errors
    ///
    /// A chart that these data do not have.
    pub fn chart(&self, name: ChartName) -> Result<&Chart> {
        let parts = self.sections.iter().flat_map(|section| &section.parts);
        let mut charts = parts.filter_map(|part| match part {
            Part::Chart(known, chart) if *known == name => Some(chart),
            _ => None,
        });
        charts.next().ok_or_else(|| {
            Error::Contradiction("there is nothing to draw: no order is reported".to_owned())
        })
    }
}

impl Column {
    /// A column of text.
    fn text(name: impl Into<String>) -> Self {
        Self { name: name.into(), align: Align::Left, word: None }
    }

    /// A column of figures that a word defines.
    fn figure(name: impl Into<String>, word: &'static str) -> Self {
        Self { name: name.into(), align: Align::Right, word: Some(word) }
    }
}

impl Cell {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), value: None }
    }

    fn count(count: u64) -> Self {
        Self { text: thousands(&count.to_string()), value: Some(count.to_string()) }
    }

    /// An amount in minor units, to the last of them.
    fn amount(amount: i128, currency: Currency) -> Self {
        let value = currency.format(amount);
        Self { text: thousands(&value), value: Some(value) }
    }

    /// A number with two decimals, whatever it has.
    fn number(number: f64) -> Self {
        Self { text: thousands(&format!("{number:.2}")), value: Some(number.to_string()) }
    }

    /// A part of a whole; nothing where there is none.
    fn part(part: f64) -> Self {
        if !part.is_finite() {
            return Self::default();
        }
        Self { text: format!("{:.1}\u{a0}%", part * 100.0), value: Some(part.to_string()) }
    }
}

impl Row {
    fn line(cells: Vec<Cell>) -> Self {
        Self { kind: RowKind::Line, cells }
    }
}

/// A share of a whole in words; empty where there is no whole.
fn percent(part: f64) -> String {
    Cell::part(part).text
}

/// An amount in major units, to draw with.
fn major(amount: i128, currency: Currency) -> f64 {
    amount as f64 / 10_f64.powi(i32::try_from(currency.exponent()).unwrap_or(2))
}

/// A page of one table, for results that have no page of their own; `left_out` rows of it are not
/// among these.
pub(crate) fn single_table(rows: &RecordBatch, left_out: usize) -> String {
    template::table_page(&table_of(rows, "Result".to_owned()), left_out)
}

/// A table of a batch.
fn table_of(rows: &RecordBatch, caption: String) -> Table {
    let schema = rows.schema();
    let columns: Vec<Column> = schema
        .fields()
        .iter()
        .map(|field| Column {
            name: field.name().clone(),
            align: Align::of(field.data_type()),
            word: words::of_column(field.name()),
        })
        .collect();
    let cell = |at: usize, row: usize| {
        let Some(value) = cell_text(rows, at, row) else { return Cell::default() };
        if columns[at].align == Align::Left {
            return Cell::text(value);
        }
        // Ratios have more digits than anybody reads.
        let text = match value.split_once('.') {
            Some((_, digits)) if digits.len() > 4 => {
                value.parse().map_or_else(|_| value.clone(), |number: f64| format!("{number:.4}"))
            }
            _ => value.clone(),
        };
        Cell { text: thousands(&text), value: Some(value) }
    };
    let row = |row: usize| Row::line((0..columns.len()).map(|at| cell(at, row)).collect());
    Table { caption, rows: (0..rows.num_rows()).map(row).collect(), columns }
}

/// The lines of a report that are called alike where time is left out.
#[derive(Debug, Clone, PartialEq)]
struct Group {
    label: String,
    unattributed: bool,
    /// The positions of its lines in the report.
    lines: Vec<usize>,
    /// What each model credits.
    credited: Vec<Credited>,
}

/// What the lines of a report are called without time, most important first, by currency.
struct Labels {
    /// What the labels are of: `utm_source / utm_medium`.
    name: String,
    groups: BTreeMap<Currency, Vec<Group>>,
    tones: BTreeMap<(Currency, String, bool), Tone>,
}

/// The positions of the dimensions that are not time.
fn untimed(by: &[Dimension]) -> Vec<usize> {
    let dimensions = by.iter().enumerate();
    let untimed = dimensions
        .filter(|(_, dimension)| !matches!(dimension, Dimension::Span(_)))
        .map(|(at, _)| at);
    untimed.collect()
}

/// What a line is called by these dimensions.
fn label(line: &Line, places: &[usize]) -> String {
    let values: Vec<&str> = places.iter().map(|at| line.values[*at].as_str()).collect();
    match values.as_slice() {
        [] => "all".to_owned(),
        values if line.unattributed && values.iter().all(|value| *value == UNATTRIBUTED) => {
            UNATTRIBUTED.to_owned()
        }
        values => values.join(" / "),
    }
}

/// Adds what models credit to what they credit elsewhere.
fn add_all(sums: &mut [Credited], more: &[Credited]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        sum.add(more);
    }
}

impl Labels {
    fn new(report: &Report) -> Self {
        let places = untimed(&report.by);
        let names: Vec<String> = places.iter().map(|at| report.by[*at].to_string()).collect();
        let mut by_label: BTreeMap<(Currency, String, bool), Group> = BTreeMap::new();
        for (at, line) in report.lines.iter().enumerate() {
            let name = label(line, &places);
            let key = (line.currency, name.clone(), line.unattributed);
            let group = by_label.entry(key).or_insert_with(|| Group {
                label: name,
                unattributed: line.unattributed,
                lines: Vec::new(),
                credited: vec![Credited::default(); report.models.len()],
            });
            group.lines.push(at);
            add_all(&mut group.credited, &line.credited);
        }
        let mut groups: BTreeMap<Currency, Vec<Group>> = BTreeMap::new();
        for ((currency, _, _), group) in by_label {
            groups.entry(currency).or_default().push(group);
        }
        let mut tones = BTreeMap::new();
        for (currency, groups) in &mut groups {
            groups.sort_by(|left, right| {
                let of = |group: &Group| {
                    let first = group.credited.first().copied().unwrap_or_default();
                    (first.amount, first.conversions)
                };
                left.unattributed
                    .cmp(&right.unattributed)
                    .then_with(|| of(right).cmp(&of(left)))
                    .then_with(|| left.label.cmp(&right.label))
            });
            for (rank, group) in groups.iter().enumerate() {
                let tone = match rank {
                    _ if group.unattributed => Tone::Nothing,
                    0..TONES => Tone::Series(rank),
                    _ => Tone::Rest,
                };
                tones.insert((*currency, group.label.clone(), group.unattributed), tone);
            }
        }
        let name = if names.is_empty() { "all".to_owned() } else { names.join(" / ") };
        Self { name, groups, tones }
    }

    fn tone(&self, currency: Currency, label: &str, unattributed: bool) -> Tone {
        self.tones.get(&(currency, label.to_owned(), unattributed)).copied().unwrap_or(Tone::Rest)
    }

    /// The groups of a currency that are shown one by one, those that are summed up, and the one
    /// without touches.
    fn shown(&self, currency: Currency, most: usize) -> (Vec<&Group>, Vec<&Group>, Option<&Group>) {
        let groups = self.groups.get(&currency).map(Vec::as_slice).unwrap_or_default();
        let (without, with): (Vec<&Group>, Vec<&Group>) =
            groups.iter().partition(|group| group.unattributed);
        // One alone is not worth summing up.
        let most = if with.len() > most + 1 { most } else { with.len() };
        let rest = with[most..].to_vec();
        (with[..most].to_vec(), rest, without.first().copied())
    }

    /// The currencies of the report.
    fn currencies(&self) -> impl Iterator<Item = Currency> {
        self.groups.keys().copied()
    }
}

/// Labels that have a colour of their own.
const TONES: usize = 8;

/// What the models credit to some groups.
fn sum_of(groups: &[&Group], models: usize) -> Vec<Credited> {
    let mut sums = vec![Credited::default(); models];
    for group in groups {
        add_all(&mut sums, &group.credited);
    }
    sums
}
