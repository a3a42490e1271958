//! How the report reads on a terminal: one table a model and currency, with its total.

use std::collections::BTreeMap;

use crate::credits::share;
use crate::engine::Credited;
use crate::journeys::UNATTRIBUTED;
use crate::money::Currency;
use crate::output::table::{aligned, printable};
use crate::output::{Align, thousands};
use crate::report::{Line, Report};

/// Columns of characters that a table keeps to where it can.
const WIDTH: usize = 80;

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
    let mut columns: Vec<&str> = Vec::new();
    if report.measures.sessions {
        columns.push("sessions");
    }
    columns.extend(["orders", "conversions", "share", "amount"]);
    if report.measures.cost {
        columns.extend(["cost", "ROAS"]);
    }
    // What is wider than a terminal loses what can best be done without.
    let mut spare = ["orders", "sessions"].into_iter();
    loop {
        let text = laid_out(&header, &columns, &rows, whole, currency);
        let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        match spare.next() {
            Some(column) if width > WIDTH => columns.retain(|name| *name != column),
            _ => return text,
        }
    }
}

fn laid_out(
    names: &[(String, Align)],
    columns: &[&str],
    rows: &[Row],
    whole: Credited,
    currency: Currency,
) -> String {
    let mut header: Vec<(&str, Align)> =
        names.iter().map(|(name, align)| (name.as_str(), *align)).collect();
    header.extend(columns.iter().map(|name| (*name, Align::Right)));
    let cells = rows.iter().map(|row| {
        let figures = columns.iter().map(|column| row.figure(column, whole, currency));
        row.names.iter().cloned().chain(figures).collect()
    });
    aligned(&header, cells.collect())
}

impl Row {
    /// A figure of the row as text; empty where it has none.
    fn figure(&self, column: &str, whole: Credited, currency: Currency) -> String {
        let text = match column {
            "sessions" => self.sessions.map(|count| count.to_string()),
            "orders" => self.orders.map(|count| count.to_string()),
            "conversions" => Some(format!("{:.2}", share(self.credited.conversions))),
            "share" => {
                // Of the amount, or of the conversions where nothing has an amount.
                let part = if whole.amount == 0 {
                    share(self.credited.conversions) / share(whole.conversions)
                } else {
                    self.credited.amount as f64 / whole.amount as f64
                };
                part.is_finite().then(|| format!("{:.1} %", part * 100.0))
            }
            "amount" => Some(currency.format(self.credited.amount)),
            "cost" => self.cost.map(|cost| currency.format(i128::from(cost))),
            _ => {
                let roas = |cost: i64| self.credited.amount as f64 / cost as f64;
                self.cost.filter(|cost| *cost > 0).map(|cost| format!("{:.2}", roas(cost)))
            }
        };
        text.map_or_else(String::new, |text| thousands(&text))
    }
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

/// A label that leaves room for the figures.
fn shortened(label: &str) -> String {
    const ROOM: usize = 28;
    if label.chars().count() <= ROOM {
        return label.to_owned();
    }
    label.chars().take(ROOM - 1).chain(['\u{2026}']).collect()
}
