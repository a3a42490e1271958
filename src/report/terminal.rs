//! How the report reads on a terminal: one table a model and currency, with its total.

use std::collections::BTreeMap;

use crate::credits::share;
use crate::engine::Credited;
use crate::journeys::UNATTRIBUTED;
use crate::money::Currency;
use crate::output::table::{aligned, printable};
use crate::output::{Align, thousands};
use crate::report::{Line, Report};

/// Rows of a table before the rest is summed up in one.
const ROWS: usize = 40;

/// The report as text. Every table adds up: what is not shown is summed up in a row of its own.
pub fn render(report: &Report) -> String {
    let mut blocks: BTreeMap<(usize, Currency), Vec<&Line>> = BTreeMap::new();
    for (line, model) in &report.cells {
        let line = &report.lines[*line];
        blocks.entry((*model, line.currency)).or_default().push(line);
    }
    let mut text = String::new();
    for ((model, currency), lines) in blocks {
        let name = &report.models[model];
        text.push_str(&format!("{name} \u{b7} {currency}\n\n"));
        text.push_str(&block(report, model, currency, &lines));
        text.push('\n');
    }
    text.pop();
    text
}

/// What a row of a table shows.
#[derive(Default)]
struct Row {
    names: Vec<String>,
    sessions: Option<u64>,
    orders: Option<u64>,
    credited: Credited,
    cost: Option<i64>,
}

fn block(report: &Report, model: usize, currency: Currency, lines: &[&Line]) -> String {
    let mut header: Vec<(String, Align)> =
        report.by.iter().map(|dimension| (dimension.to_string(), Align::Left)).collect();
    if header.is_empty() {
        header.push((String::new(), Align::Left));
    }
    let names = header.len();
    let label = |text: &str| {
        let mut labels = vec![String::new(); names];
        text.clone_into(&mut labels[0]);
        labels
    };
    let shown = if lines.len() > ROWS + 1 { ROWS } else { lines.len() };
    let mut rows: Vec<Row> = lines[..shown]
        .iter()
        .map(|line| Row {
            names: if line.values.is_empty() {
                label("all")
            } else if line.unattributed && line.values.iter().all(|value| value == UNATTRIBUTED) {
                label(UNATTRIBUTED)
            } else {
                line.values.iter().map(|value| shortened(&printable(value))).collect()
            },
            sessions: line.sessions.map(|counts| counts.sessions),
            orders: Some(line.orders),
            credited: line.credited[model],
            cost: line.cost,
        })
        .collect();
    if shown < lines.len() {
        let label = label(&format!("({} more)", lines.len() - shown));
        rows.push(summed(label, &lines[shown..], model));
    }
    let total = summed(label("total"), lines, model);
    let whole = total.credited;
    rows.push(total);
    let money = whole.amount != 0;
    let mut columns = Vec::new();
    if report.measures.sessions {
        columns.push("sessions");
    }
    columns.extend(["orders", "conversions", "share", "amount"]);
    if report.measures.cost {
        columns.extend(["cost", "ROAS"]);
    }
    header.extend(columns.iter().map(|name| ((*name).to_owned(), Align::Right)));
    let cells = rows.into_iter().map(|row| {
        let mut cells = row.names;
        let part = if money {
            row.credited.amount as f64 / whole.amount as f64
        } else {
            share(row.credited.conversions) / share(whole.conversions)
        };
        let some = |value: Option<String>| value.map_or_else(String::new, |text| thousands(&text));
        for column in &columns {
            cells.push(match *column {
                "sessions" => some(row.sessions.map(|count| count.to_string())),
                "orders" => some(row.orders.map(|count| count.to_string())),
                "conversions" => thousands(&format!("{:.2}", share(row.credited.conversions))),
                "share" => percent(part),
                "amount" => thousands(&currency.format(row.credited.amount)),
                "cost" => some(row.cost.map(|cost| currency.format(i128::from(cost)))),
                _ => row
                    .cost
                    .filter(|cost| *cost > 0)
                    .map(|cost| format!("{:.2}", row.credited.amount as f64 / cost as f64))
                    .unwrap_or_default(),
            });
        }
        cells
    });
    let cells: Vec<Vec<String>> = cells.collect();
    let header: Vec<(&str, Align)> =
        header.iter().map(|(name, align)| (name.as_str(), *align)).collect();
    aligned(&header, cells)
}

/// Lines in one row. Orders of several lines are not summed: one order may have touches in many.
fn summed(names: Vec<String>, lines: &[&Line], model: usize) -> Row {
    let mut row = Row { names, ..Row::default() };
    for line in lines {
        row.credited.add(&line.credited[model]);
        if let Some(counts) = line.sessions {
            row.sessions = Some(row.sessions.unwrap_or(0) + counts.sessions);
        }
        if let Some(cost) = line.cost {
            row.cost = Some(row.cost.unwrap_or(0).saturating_add(cost));
        }
    }
    row
}

fn percent(part: f64) -> String {
    if part.is_finite() { format!("{:.1} %", part * 100.0) } else { String::new() }
}

/// A label that leaves room for the figures.
fn shortened(label: &str) -> String {
    const ROOM: usize = 28;
    if label.chars().count() <= ROOM {
        return label.to_owned();
    }
    label.chars().take(ROOM - 1).chain(['\u{2026}']).collect()
}
