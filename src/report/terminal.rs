//! How the report reads on a terminal: one table a model and currency, with its total.

use std::collections::BTreeMap;

use crate::credits::share;
use crate::engine::Credited;
use crate::journeys::UNATTRIBUTED;
use crate::money::Currency;
use crate::output::table::{aligned, printable};
use crate::output::{Align, thousands};
use crate::report::compare::relative_change;
use crate::report::{Line, Report};

/// Columns of characters that a table keeps to where it can.
pub(super) const WIDTH: usize = 80;

/// Rows of a table before the rest is summed up in one.
pub(super) const ROWS: usize = 40;

/// Characters of a label beside figures.
const ROOM: usize = 28;

/// The report as text. Every table adds up: what is not shown is summed up in a row of its own.
pub fn render(report: &Report) -> String {
    let mut blocks: BTreeMap<(usize, Currency), Vec<usize>> = BTreeMap::new();
    for (line, model) in &report.cells {
        blocks.entry((*model, report.lines[*line].currency)).or_default().push(*line);
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

/// The report as text with the models side by side: one table of amounts and one of conversions
/// for each currency, with their totals.
pub fn render_wide(report: &Report) -> String {
    let mut blocks: BTreeMap<Currency, Vec<&Line>> = BTreeMap::new();
    for (line, _) in report.cells.iter().filter(|(_, model)| *model == 0) {
        let line = &report.lines[*line];
        blocks.entry(line.currency).or_default().push(line);
    }
    let mut texts = Vec::new();
    for (currency, lines) in blocks {
        let amount = |credited: &Credited| thousands(&currency.format(credited.amount));
        let conversions =
            |credited: &Credited| thousands(&format!("{:.2}", share(credited.conversions)));
        texts
            .push(format!("amount \u{b7} {currency}\n\n{}", side_by_side(report, &lines, &amount)));
        texts.push(format!(
            "conversions \u{b7} {currency}\n\n{}",
            side_by_side(report, &lines, &conversions)
        ));
    }
    texts.join("\n")
}

fn side_by_side(report: &Report, lines: &[&Line], figure: &dyn Fn(&Credited) -> String) -> String {
    let names = names(report);
    let mut header: Vec<(&str, Align)> =
        names.iter().map(|name| (name.as_str(), Align::Left)).collect();
    header.extend(report.models.iter().map(|model| (model.as_str(), Align::Right)));
    let shown = shown(lines.len());
    let row = |names: Vec<String>, of: &[&Line]| {
        let models = (0..report.models.len()).map(|model| {
            let mut sum = Credited::default();
            for line in of {
                sum.add(&line.credited[model]);
            }
            figure(&sum)
        });
        names.into_iter().chain(models).collect::<Vec<String>>()
    };
    let mut rows: Vec<Vec<String>> = lines[..shown]
        .iter()
        .map(|line| row(labels(&line.values, line.unattributed, names.len()), &[*line]))
        .collect();
    if shown < lines.len() {
        rows.push(row(more(lines.len() - shown, names.len()), &lines[shown..]));
    }
    rows.push(row(label("total", names.len()), lines));
    aligned(&header, rows)
}

/// The names of the dimensions; one without a name where there are none.
fn names(report: &Report) -> Vec<String> {
    let names: Vec<String> = report.by.iter().map(ToString::to_string).collect();
    if names.is_empty() { vec![String::new()] } else { names }
}

/// How many lines are shown before the rest is summed up; one alone is not worth summing.
fn shown(lines: usize) -> usize {
    if lines > ROWS + 1 { ROWS } else { lines }
}

/// A label that stands in the first of so many columns.
pub(super) fn label(text: &str, columns: usize) -> Vec<String> {
    let mut labels = vec![String::new(); columns];
    text.clone_into(&mut labels[0]);
    labels
}

fn more(lines: usize, columns: usize) -> Vec<String> {
    label(&format!("({} more)", thousands(&lines.to_string())), columns)
}

/// The dimension values of a line, in so many columns.
pub(super) fn labels(values: &[String], unattributed: bool, columns: usize) -> Vec<String> {
    if values.is_empty() {
        label("all", columns)
    } else if unattributed && values.iter().all(|value| value == UNATTRIBUTED) {
        label(UNATTRIBUTED, columns)
    } else {
        values.iter().map(|value| shortened(&printable(value), ROOM)).collect()
    }
}

/// What a row of a table shows.
#[derive(Default)]
struct Row {
    names: Vec<String>,
    sessions: Option<u64>,
    orders: Option<u64>,
    credited: Credited,
    /// What is credited in the period that is compared with, where there is one.
    then: Option<Credited>,
    cost: Option<i64>,
}

fn block(report: &Report, model: usize, currency: Currency, lines: &[usize]) -> String {
    let names = names(report);
    let shown = shown(lines.len());
    let mut rows: Vec<Row> = lines[..shown]
        .iter()
        .map(|at| {
            let line = &report.lines[*at];
            Row {
                names: labels(&line.values, line.unattributed, names.len()),
                sessions: line.sessions.map(|counts| counts.sessions),
                orders: Some(line.orders),
                credited: line.credited[model],
                then: report.then.as_ref().map(|then| then.lines[*at].credited[model]),
                cost: line.spent.map(|spent| spent.cost),
            }
        })
        .collect();
    if shown < lines.len() {
        let label = more(lines.len() - shown, names.len());
        rows.push(summed(report, label, &lines[shown..], model));
    }
    let total = summed(report, label("total", names.len()), lines, model);
    let whole = total.credited;
    rows.push(total);
    let mut columns: Vec<&str> = Vec::new();
    if report.then.is_some() {
        columns.extend(["conversions", "amount", "then", "change", "relative"]);
    } else {
        if report.measures.sessions {
            columns.push("sessions");
        }
        columns.extend(["orders", "conversions", "share", "amount"]);
        if report.measures.cost {
            columns.extend(["cost", "ROAS"]);
        }
    }
    // What is wider than a terminal loses what can best be done without.
    let mut spare = ["orders", "sessions"].iter();
    if report.then.is_some() {
        spare = ["conversions"].iter();
    }
    loop {
        let text = laid_out(&names, &columns, &rows, whole, currency);
        let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        match spare.next() {
            Some(column) if width > WIDTH => columns.retain(|name| name != column),
            _ => return text,
        }
    }
}

fn laid_out(
    names: &[String],
    columns: &[&str],
    rows: &[Row],
    whole: Credited,
    currency: Currency,
) -> String {
    let mut header: Vec<(&str, Align)> =
        names.iter().map(|name| (name.as_str(), Align::Left)).collect();
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
            "then" => self.then.map(|then| currency.format(then.amount)),
            "change" | "relative" => return self.change(column, currency),
            "cost" => self.cost.map(|cost| currency.format(i128::from(cost))),
            _ => {
                let roas = |cost: i64| self.credited.amount as f64 / cost as f64;
                self.cost.filter(|cost| *cost > 0).map(|cost| format!("{:.2}", roas(cost)))
            }
        };
        text.map_or_else(String::new, |text| thousands(&text))
    }

    /// How much more is credited than then, with its sign also where it grows.
    fn change(&self, column: &str, currency: Currency) -> String {
        let Some(then) = self.then else { return String::new() };
        let change = self.credited.amount - then.amount;
        let text = if column == "change" {
            currency.format(change)
        } else {
            let relative = relative_change(change as f64, then.amount as f64);
            let Some(relative) = relative else { return String::new() };
            format!("{:.1} %", relative * 100.0)
        };
        let sign = if change > 0 { "+" } else { "" };
        format!("{sign}{}", thousands(&text))
    }
}

/// Lines in one row. Orders of several lines are not summed: one order may have touches in many.
fn summed(report: &Report, names: Vec<String>, lines: &[usize], model: usize) -> Row {
    let mut row = Row { names, ..Row::default() };
    for at in lines {
        let line = &report.lines[*at];
        row.credited.add(&line.credited[model]);
        if let Some(then) = &report.then {
            row.then.get_or_insert_default().add(&then.lines[*at].credited[model]);
        }
        if let Some(counts) = line.sessions {
            row.sessions = Some(row.sessions.unwrap_or(0) + counts.sessions);
        }
        if let Some(spent) = line.spent {
            row.cost = Some(row.cost.unwrap_or(0).saturating_add(spent.cost));
        }
    }
    row
}

/// A label of no more than so many characters, which leaves room for the figures.
pub(super) fn shortened(label: &str, room: usize) -> String {
    if label.chars().count() <= room {
        return label.to_owned();
    }
    label.chars().take(room - 1).chain(['\u{2026}']).collect()
}
