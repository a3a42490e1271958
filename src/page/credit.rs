//! What models credit: side by side, how it changed, and every figure of the report.

use std::collections::BTreeMap;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;

use super::{
    BARS, Cell, ChartName, Column, Group, Labels, OTHER, Part, ROWS, Row, RowKind, Section, Table,
    major, sum_of, table_of,
};
use crate::charts::{Bars, Chart, Series, Shapes, Tone};
use crate::credits::share;
use crate::engine::Credited;
use crate::error::Result;
use crate::journeys::UNATTRIBUTED;
use crate::money::Currency;
use crate::output::{counted, thousands};
use crate::report::{Report, RowBounds};

pub(super) fn sections(report: &Report, labels: &Labels) -> Result<Vec<Section>> {
    let several = labels.groups.len() > 1;
    let mut parts = Vec::new();
    for currency in labels.currencies() {
        if several {
            parts.push(Part::Heading(currency.to_string()));
        }
        parts.push(Part::Chart(ChartName::Models, chart(report, labels, currency)));
        parts.push(Part::Table(side_by_side(report, labels, currency)));
    }
    let resampled = report.resamples().map_or_else(String::new, |(resamples, level)| {
        format!(
            " Lines at the ends of bars, low and high in the table: {level} of {} resamples of persons lie between.",
            thousands(&resamples.to_string())
        )
    });
    let models = Section {
        id: "models",
        title: "What each model credits",
        lead: format!(
            "The same orders, divided by {}. Where the models agree, the choice of one hardly matters; the spread says where it does.{resampled}",
            counted(report.models.len(), "model", "models")
        ),
        parts,
    };
    let mut sections = vec![models];
    if report.then().is_some() {
        let tables =
            labels.currencies().map(|currency| Part::Table(changes(report, labels, currency)));
        sections.push(Section {
            id: "changes",
            title: "What changed",
            lead: "What each model credits to each line now and then.".to_owned(),
            parts: tables.collect(),
        });
    }
    sections.push(every_figure(report)?);
    Ok(sections)
}

/// The groups of a chart or a table, with the rest as one, in their order.
fn rows(
    labels: &Labels,
    currency: Currency,
    most: usize,
    models: usize,
) -> Vec<(String, RowKind, Vec<Credited>, Option<&Group>)> {
    let (shown, rest, without) = labels.shown(currency, most);
    let mut rows: Vec<(String, RowKind, Vec<Credited>, Option<&Group>)> = shown
        .into_iter()
        .map(|group| (group.label.clone(), RowKind::Line, group.credited.clone(), Some(group)))
        .collect();
    if !rest.is_empty() {
        let name = format!("{OTHER} {} more", thousands(&rest.len().to_string()));
        rows.push((name, RowKind::Rest, sum_of(&rest, models), None));
    }
    if let Some(group) = without {
        rows.push((UNATTRIBUTED.to_owned(), RowKind::Line, group.credited.clone(), Some(group)));
    }
    rows
}

/// Whether nothing in a currency has an amount: leads, sign-ups.
fn worthless(labels: &Labels, currency: Currency) -> bool {
    let groups = labels.groups.get(&currency).into_iter().flatten();
    groups.flat_map(|group| &group.credited).all(|credited| credited.amount == 0)
}

fn chart(report: &Report, labels: &Labels, currency: Currency) -> Chart {
    let conversions = worthless(labels, currency);
    let rows = rows(labels, currency, BARS, report.models.len());
    let value = |credited: &Credited| {
        if conversions { share(credited.conversions) } else { major(credited.amount, currency) }
    };
    let series = report.models.iter().enumerate().map(|(model, name)| Series {
        name: name.clone(),
        tone: Tone::Series(model),
        values: rows.iter().map(|(_, _, credited, _)| value(&credited[model])).collect(),
        bounds: rows
            .iter()
            .map(|(_, _, _, group)| {
                let [of_conversions, of_amount, _] = bounds(report, model, currency, *group)?;
                if conversions {
                    of_conversions.map(|(low, high)| (share(low), share(high)))
                } else {
                    of_amount.map(|(low, high)| (major(low, currency), major(high, currency)))
                }
            })
            .collect(),
    });
    let what = if conversions { "Conversions".to_owned() } else { format!("Amount in {currency}") };
    let first = rows.iter().find(|(_, kind, ..)| *kind == RowKind::Line);
    let leads = first.map_or_else(String::new, |(name, ..)| {
        format!(" Under {} the most goes to {name}.", report.models[0])
    });
    Chart {
        title: format!("{what} by {}, under each model", labels.name),
        description: format!(
            "Bars of what each model credits to each line.{leads} The table below has every figure."
        ),
        shapes: Shapes::Bars(Bars {
            labels: rows.iter().map(|(name, ..)| name.clone()).collect(),
            series: series.collect(),
            stacked: false,
        }),
    }
}

/// Between which bounds lie the conversions, the amount and the change of a group that is one line.
fn bounds(
    report: &Report,
    model: usize,
    currency: Currency,
    group: Option<&Group>,
) -> Option<RowBounds> {
    match group?.lines.as_slice() {
        [line] => report.bounds(model, currency, Some(*line)),
        _ => None,
    }
}

fn side_by_side(report: &Report, labels: &Labels, currency: Currency) -> Table {
    let models = report.models.len();
    let resampled = report.resamples().is_some();
    let conversions = worthless(labels, currency);
    let mut columns = vec![Column::text(labels.name.clone())];
    for name in &report.models {
        let word = if conversions { "Conversions" } else { "Amount" };
        columns.push(Column::figure(name.clone(), word));
        columns.push(Column::figure(format!("{name} share"), "Share"));
        if resampled {
            columns.push(Column::figure(format!("{name} low"), "Low"));
            columns.push(Column::figure(format!("{name} high"), "High"));
        }
    }
    if models > 1 {
        columns.push(Column::figure("spread", "Spread"));
    }
    let cell = |conversions_of: i128, amount: i128| {
        if conversions {
            Cell::number(share(conversions_of))
        } else {
            Cell::amount(amount, currency)
        }
    };
    let all: Vec<&Group> = labels.groups.get(&currency).into_iter().flatten().collect();
    let totals = sum_of(&all, models);
    let line = |name: &str,
                kind: RowKind,
                credited: &[Credited],
                of: &dyn Fn(usize) -> Option<RowBounds>| {
        let mut cells = vec![Cell::text(name)];
        for (model, credited) in credited.iter().enumerate() {
            cells.push(cell(credited.conversions, credited.amount));
            let (part, whole) = if conversions {
                (share(credited.conversions), share(totals[model].conversions))
            } else {
                (credited.amount as f64, totals[model].amount as f64)
            };
            cells.push(Cell::part(part / whole));
            if resampled {
                let bounds = of(model).map(
                    |[conversions_of, amount, _]| if conversions { conversions_of } else { amount },
                );
                let bounds = bounds.flatten();
                let end = |end: Option<i128>| end.map_or_else(Cell::default, |end| cell(end, end));
                cells.push(end(bounds.map(|(low, _)| low)));
                cells.push(end(bounds.map(|(_, high)| high)));
            }
        }
        if models > 1 {
            let of = |credited: &Credited| {
                if conversions { credited.conversions } else { credited.amount }
            };
            let (least, most) = (credited.iter().map(of).min(), credited.iter().map(of).max());
            let spread = most.unwrap_or_default() - least.unwrap_or_default();
            cells.push(cell(spread, spread));
        }
        Row { kind, cells }
    };
    let rows = rows(labels, currency, ROWS, models);
    let mut rows: Vec<Row> = rows
        .iter()
        .map(|(name, kind, credited, group)| {
            line(name, *kind, credited, &|model| bounds(report, model, currency, *group))
        })
        .collect();
    rows.push(line("total", RowKind::Total, &totals, &|model| {
        report.bounds(model, currency, None)
    }));
    let what = if conversions { "Conversions".to_owned() } else { format!("Amount in {currency}") };
    Table { caption: format!("{what} by {}, the models side by side", labels.name), columns, rows }
}

/// What each model credits now and then.
fn changes(report: &Report, labels: &Labels, currency: Currency) -> Table {
    let columns = vec![
        Column::text("model"),
        Column::text(labels.name.clone()),
        Column::figure("amount", "Amount"),
        Column::figure("then", "Then"),
        Column::figure("change", "Change"),
        Column::figure("relative", "Relative change"),
        Column::figure("conversions", "Conversions"),
        Column::figure("conversions then", "Then"),
    ];
    let then_of = |lines: &mut dyn Iterator<Item = usize>, model: usize| {
        let mut sum = Credited::default();
        if let Some(then) = report.then() {
            lines.for_each(|line| sum.add(&then.lines[line].credited[model]));
        }
        sum
    };
    let mut rows_of = Vec::new();
    for (model, name) in report.models.iter().enumerate() {
        let mut push = |label: &str, kind: RowKind, groups: &[&Group]| {
            let now = sum_of(groups, report.models.len())[model];
            let mut lines = groups.iter().flat_map(|group| group.lines.iter().copied());
            let then = then_of(&mut lines, model);
            let change = now.amount - then.amount;
            rows_of.push(Row {
                kind,
                cells: vec![
                    Cell::text(name.clone()),
                    Cell::text(label),
                    Cell::amount(now.amount, currency),
                    Cell::amount(then.amount, currency),
                    Cell::amount(change, currency),
                    Cell::part(change as f64 / then.amount.abs() as f64),
                    Cell::number(share(now.conversions)),
                    Cell::number(share(then.conversions)),
                ],
            });
        };
        let (shown, rest, without) = labels.shown(currency, ROWS);
        for group in shown.iter().chain(&without) {
            push(&group.label, RowKind::Line, &[group]);
        }
        if !rest.is_empty() {
            push(
                &format!("{OTHER} {} more", thousands(&rest.len().to_string())),
                RowKind::Rest,
                &rest,
            );
        }
        let all: Vec<&Group> = labels.groups.get(&currency).into_iter().flatten().collect();
        push("total", RowKind::Total, &all);
    }
    Table {
        caption: format!("Now and then by {}, {currency}", labels.name),
        columns,
        rows: rows_of,
    }
}

/// The report as other formats have it, as far as a page can hold it.
fn every_figure(report: &Report) -> Result<Section> {
    let table = report.long()?;
    // The report is by model, and by what it credits: the first lines of each model are shown.
    let each = (ROWS / report.models.len().max(1)).max(1);
    let lines = report.lines.len();
    let first = (0..table.num_rows()).map(|row| Some(row % lines.max(1) < each));
    let first = filter_record_batch(&table, &first.collect::<BooleanArray>())?;
    let mut shown = table_of(&first, format!("The report, by {}", names(report)));
    let left_out = table.num_rows() - shown.rows.len();
    if left_out > 0 {
        shown.rows.extend(rests(report, &shown.columns, each));
    }
    let note = if left_out == 0 {
        String::new()
    } else {
        format!(
            " The first {} of each model are shown; {} more are summed up as {OTHER}, and `-o report.csv` has all.",
            thousands(&each.to_string()),
            thousands(&left_out.to_string())
        )
    };
    Ok(Section {
        id: "figures",
        title: "Every figure",
        lead: format!("One row a model and line, as the report has it in other formats.{note}"),
        parts: vec![Part::Table(shown)],
    })
}

fn names(report: &Report) -> String {
    let by: Vec<String> = report.by.iter().map(ToString::to_string).collect();
    if by.is_empty() { "none".to_owned() } else { by.join(", ") }
}

/// What is not shown of each model and currency: only what can be added up.
fn rests(report: &Report, columns: &[Column], each: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    for (model, name) in report.models.iter().enumerate() {
        let mut sums = BTreeMap::<Currency, Credited>::new();
        for line in report.ordered(model).skip(each) {
            sums.entry(line.currency).or_default().add(&line.credited[model]);
        }
        for (currency, sum) in sums {
            let cells = columns.iter().enumerate().map(|(at, column)| match column.name.as_str() {
                "model" => Cell::text(name.clone()),
                "currency" => Cell::text(currency.code()),
                "conversions" => Cell::number(share(sum.conversions)),
                "amount" => Cell::amount(sum.amount, currency),
                _ if at == 1 => Cell::text(OTHER),
                _ => Cell::default(),
            });
            rows.push(Row { kind: RowKind::Rest, cells: cells.collect() });
        }
    }
    rows
}
