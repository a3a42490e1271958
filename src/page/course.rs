//! Credit over time.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Cell, ChartName, Column, Labels, OTHER, Part, Row, RowKind, Section, TONES, Table, add_all,
    label, major, untimed,
};
use crate::calendar::Span;
use crate::charts::{Chart, Columns, Series, Shapes, Tone};
use crate::credits::share;
use crate::engine::Credited;
use crate::journeys::UNATTRIBUTED;
use crate::money::Currency;
use crate::report::{Overview, Report};

/// The name of a span.
fn name(span: Span) -> &'static str {
    match span {
        Span::Day => "day",
        Span::Week => "week",
        Span::Month => "month",
    }
}

/// What is credited in each span of time to each label that has a colour, and to the rest.
struct Course {
    spans: Vec<String>,
    /// Labels in their order.
    labels: Vec<(String, Tone)>,
    credited: BTreeMap<(usize, usize), Vec<Credited>>,
}

fn course(report: &Report, overview: &Overview, labels: &Labels, currency: Currency) -> Course {
    let places = untimed(&overview.by);
    let time = overview.by.len() - 1;
    let (shown, rest, without) = labels.shown(currency, TONES);
    let mut names: Vec<(String, Tone)> = shown
        .iter()
        .map(|group| (group.label.clone(), labels.tone(currency, &group.label, false)))
        .collect();
    let other = names.len();
    if !rest.is_empty() {
        names.push((OTHER.to_owned(), Tone::Rest));
    }
    if without.is_some() {
        names.push((UNATTRIBUTED.to_owned(), Tone::Nothing));
    }
    let known: BTreeMap<&str, usize> =
        shown.iter().enumerate().map(|(at, group)| (group.label.as_str(), at)).collect();
    let lines = || overview.over_time.iter().filter(|line| line.currency == currency);
    let spans: BTreeSet<&String> = lines().map(|line| &line.values[time]).collect();
    let spans: Vec<String> = spans.into_iter().cloned().collect();
    let mut credited: BTreeMap<(usize, usize), Vec<Credited>> = BTreeMap::new();
    for line in lines() {
        let at = match known.get(label(line, &places).as_str()) {
            _ if line.unattributed => names.len() - 1,
            Some(at) => *at,
            None => other,
        };
        let span = spans.binary_search(&line.values[time]).unwrap_or(0);
        let sums = credited
            .entry((span, at))
            .or_insert_with(|| vec![Credited::default(); report.models.len()]);
        add_all(sums, &line.credited);
    }
    Course { spans, labels: names, credited }
}

pub(super) fn section(report: &Report, overview: &Overview, labels: &Labels) -> Section {
    let span = name(overview.span);
    let several = labels.groups.len() > 1;
    let mut parts = Vec::new();
    for currency in labels.currencies() {
        let course = course(report, overview, labels, currency);
        if several {
            parts.push(Part::Heading(currency.to_string()));
        }
        parts.push(Part::Chart(ChartName::Time, chart(report, labels, &course, span, currency)));
        parts.push(Part::Table(table(report, labels, &course, span, currency)));
    }
    Section {
        id: "time",
        title: "Over time",
        lead: format!(
            "What is credited in each {span}, under {}; the table has every model.",
            report.models.first().map_or("no model", String::as_str)
        ),
        parts,
    }
}

fn chart(
    report: &Report,
    labels: &Labels,
    course: &Course,
    span: &str,
    currency: Currency,
) -> Chart {
    let none = Credited::default();
    let of = |span: usize, at: usize| {
        course.credited.get(&(span, at)).and_then(|sums| sums.first()).unwrap_or(&none)
    };
    let worthless = course.credited.values().flatten().all(|credited| credited.amount == 0);
    let series = course.labels.iter().enumerate().map(|(at, (name, tone))| Series {
        name: name.clone(),
        tone: *tone,
        values: (0..course.spans.len())
            .map(|span| {
                let credited = of(span, at);
                if worthless {
                    share(credited.conversions)
                } else {
                    major(credited.amount, currency)
                }
            })
            .collect(),
        bounds: Vec::new(),
    });
    let what = if worthless { "Conversions".to_owned() } else { format!("Amount in {currency}") };
    let model = report.models.first().map_or("no model", String::as_str);
    let ends = match (course.spans.first(), course.spans.last()) {
        (Some(first), Some(last)) => format!(" from {first} to {last}"),
        _ => String::new(),
    };
    Chart {
        title: format!("{what} by {span} and {}, under {model}", labels.name),
        description: format!(
            "Columns for each {span}{ends}, divided by {}. The table below has every figure.",
            labels.name
        ),
        shapes: Shapes::Columns(Columns {
            labels: course.spans.clone(),
            series: series.collect(),
            unit: if worthless { "conversions".to_owned() } else { currency.to_string() },
        }),
    }
}

fn table(
    report: &Report,
    labels: &Labels,
    course: &Course,
    span: &str,
    currency: Currency,
) -> Table {
    let mut columns = vec![Column::text(span), Column::text(labels.name.clone())];
    for name in &report.models {
        columns.push(Column::figure(format!("{name} amount"), "Amount"));
        columns.push(Column::figure(format!("{name} conversions"), "Conversions"));
    }
    let figures = |credited: &[Credited]| -> Vec<Cell> {
        let cells = credited.iter().flat_map(|credited| {
            [Cell::amount(credited.amount, currency), Cell::number(share(credited.conversions))]
        });
        cells.collect()
    };
    let mut totals = vec![Credited::default(); report.models.len()];
    let mut rows: Vec<Row> = Vec::new();
    for ((span, at), credited) in &course.credited {
        add_all(&mut totals, credited);
        let mut cells =
            vec![Cell::text(course.spans[*span].clone()), Cell::text(course.labels[*at].0.clone())];
        cells.extend(figures(credited));
        rows.push(Row::line(cells));
    }
    let mut cells = vec![Cell::text("total"), Cell::default()];
    cells.extend(figures(&totals));
    rows.push(Row { kind: RowKind::Total, cells });
    Table { caption: format!("By {span} and {}, {currency}", labels.name), columns, rows }
}
