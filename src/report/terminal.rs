//! How the report reads on a terminal: one table a model and currency, with its total.

use std::collections::BTreeMap;

use crate::credits::share;
use crate::engine::Credited;
use crate::journeys::UNATTRIBUTED;
use crate::money::Currency;
use crate::output::table::{aligned, printable};
use crate::output::{Align, shortened, thousands};
use crate::report::compare::relative_change;
use crate::report::intervals::Interval;
use crate::report::{Line, Report};

/// Columns of characters that a table keeps to where it can.
pub(crate) const WIDTH: usize = 80;

/// Rows of a table before the rest is summed up in one.
pub(super) const ROWS: usize = 40;

/// Characters of a label beside figures.
const ROOM: usize = 28;

/// What a row of a table stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Shown {
    /// One line of the report.
    Line(usize),
    /// The lines that are not shown.
    Rest,
    /// All lines.
    Total,
}

/// The lines of one table, in their order.
pub(super) struct Block {
    pub(super) model: usize,
    pub(super) currency: Currency,
    lines: Vec<usize>,
}

impl Block {
    /// What the rows of the table stand for, each with its lines.
    pub(super) fn rows(&self) -> impl Iterator<Item = (Shown, &[usize])> {
        let shown = shown(self.lines.len());
        let (each, rest) = self.lines.split_at(shown);
        let each = each.iter().map(|line| (Shown::Line(*line), std::slice::from_ref(line)));
        let rest = (!rest.is_empty()).then_some((Shown::Rest, rest));
        each.chain(rest).chain([(Shown::Total, &self.lines[..])])
    }
}

/// The tables of a report: one a model and currency.
pub(super) fn blocks(report: &Report) -> Vec<Block> {
    let mut blocks: BTreeMap<(usize, Currency), Vec<usize>> = BTreeMap::new();
    for (line, model) in &report.cells {
        blocks.entry((*model, report.lines[*line].currency)).or_default().push(*line);
    }
    let blocks = blocks.into_iter();
    blocks.map(|((model, currency), lines)| Block { model, currency, lines }).collect()
}

/// Writes a header, and rows below it.
type WriteTable = fn(&[(&str, Align)], Vec<Vec<String>>) -> String;

/// How tables of text are written.
pub(super) struct Layout {
    /// Writes one: a header, then rows.
    pub(super) table: WriteTable,
    /// How many characters wide it is at most, where it can be.
    pub(super) width: Option<usize>,
}

/// How a terminal shows tables.
const TERMINAL: Layout = Layout { table: aligned, width: Some(WIDTH) };

/// The report as text. Every table adds up: what is not shown is summed up in a row of its own.
pub fn render(report: &Report) -> String {
    titled(tables(report, &TERMINAL))
}

/// Tables below their titles.
fn titled(tables: Vec<(String, String)>) -> String {
    let tables = tables.into_iter().map(|(title, table)| format!("{title}\n\n{table}"));
    tables.collect::<Vec<_>>().join("\n")
}

/// The tables of a report with their titles, one a model and currency.
pub(super) fn tables(report: &Report, layout: &Layout) -> Vec<(String, String)> {
    let table = |of: Block| {
        let mut title = format!("{} \u{b7} {}", report.models[of.model], of.currency);
        if let Some(intervals) = &report.intervals {
            let resamples = thousands(&intervals.resamples.to_string());
            let level = intervals.level;
            title.push_str(&format!(" \u{b7} low to high: {level} of {resamples} resamples"));
        }
        (title, block(report, &of, layout))
    };
    blocks(report).into_iter().map(table).collect()
}

/// The report as text with the models side by side: one table of amounts and one of conversions
/// for each currency, with their totals.
pub fn render_wide(report: &Report) -> String {
    titled(side_by_side_tables(report, &TERMINAL))
}

/// The tables of a report with the models side by side, with their titles: two a currency.
pub(super) fn side_by_side_tables(report: &Report, layout: &Layout) -> Vec<(String, String)> {
    let mut blocks: BTreeMap<Currency, Vec<&Line>> = BTreeMap::new();
    for (line, _) in report.cells.iter().filter(|(_, model)| *model == 0) {
        let line = &report.lines[*line];
        blocks.entry(line.currency).or_default().push(line);
    }
    let mut tables = Vec::new();
    for (currency, lines) in blocks {
        let amount = |credited: &Credited| thousands(&currency.format(credited.amount));
        let conversions =
            |credited: &Credited| thousands(&format!("{:.2}", share(credited.conversions)));
        let table = |figure| side_by_side(report, &lines, figure, layout);
        tables.push((format!("amount \u{b7} {currency}"), table(&amount)));
        tables.push((format!("conversions \u{b7} {currency}"), table(&conversions)));
    }
    tables
}

fn side_by_side(
    report: &Report,
    lines: &[&Line],
    figure: &dyn Fn(&Credited) -> String,
    layout: &Layout,
) -> String {
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
    (layout.table)(&header, rows)
}

/// The names of the dimensions; one without a name where there are none.
pub(super) fn names(report: &Report) -> Vec<String> {
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
    /// The bounds of its conversions, its amount and the change of that.
    bounds: [Option<Interval>; 3],
}

fn block(report: &Report, block: &Block, layout: &Layout) -> String {
    let Block { model, currency, .. } = *block;
    let names = names(report);
    let rows: Vec<Row> = block
        .rows()
        .map(|(shown, lines)| Row {
            bounds: report
                .intervals
                .as_ref()
                .map_or([None; 3], |intervals| intervals.of_row(model, currency, shown)),
            ..match shown {
                Shown::Line(at) => of_line(report, at, model, names.len()),
                Shown::Rest => summed(report, more(lines.len(), names.len()), lines, model),
                Shown::Total => summed(report, label("total", names.len()), lines, model),
            }
        })
        .collect();
    let whole = rows.last().map(|total| total.credited).unwrap_or_default();
    let (mut columns, spare) = columns(report, whole);
    let mut spare = spare.iter();
    // What is wider than a terminal loses what can best be done without.
    loop {
        let text = laid_out(&names, &columns, &rows, (whole, currency), layout);
        let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        match spare.next() {
            Some(spared) if layout.width.is_some_and(|most| width > most) => {
                columns.retain(|column| !spared.contains(column));
            }
            _ => return text,
        }
    }
}

/// The columns of a report's tables, and those that it can do without, those first that are missed
/// least.
fn columns(
    report: &Report,
    whole: Credited,
) -> (Vec<&'static str>, &'static [&'static [&'static str]]) {
    let cost = report.measures.cost;
    if report.then.is_some() {
        let mut columns = vec!["conversions", "amount", "then", "change"];
        columns.extend(match report.intervals {
            Some(_) => ["change low", "change high"].as_slice(),
            None => &["relative"],
        });
        return (columns, &[&["conversions"]]);
    }
    if report.intervals.is_some() {
        let conversions = ["conversions", "conversions low", "conversions high"];
        let amount = ["amount", "amount low", "amount high"];
        // Leads are worth nothing in money.
        if whole.amount == 0 {
            return ([&["orders"][..], &conversions].concat(), &[&["orders"]]);
        }
        let roas: &[&str] = if cost { &["ROAS", "ROAS low", "ROAS high"] } else { &[] };
        return (
            [&conversions[..], &amount, roas].concat(),
            &[&["conversions low", "conversions high"], &["conversions"], &["ROAS"]],
        );
    }
    let mut columns: Vec<&str> = Vec::new();
    if report.measures.sessions {
        columns.push("sessions");
    }
    columns.extend(["orders", "conversions", "share", "amount"]);
    if cost {
        columns.extend(["cost", "ROAS"]);
    }
    (columns, &[&["orders"], &["sessions"]])
}

/// A line as a row of its own.
fn of_line(report: &Report, at: usize, model: usize, columns: usize) -> Row {
    let line = &report.lines[at];
    Row {
        names: labels(&line.values, line.unattributed, columns),
        sessions: line.sessions.map(|counts| counts.sessions),
        orders: Some(line.orders),
        credited: line.credited[model],
        then: report.then.as_ref().map(|then| then.lines[at].credited[model]),
        cost: line.spent.map(|spent| spent.cost),
        bounds: [None; 3],
    }
}

fn laid_out(
    names: &[String],
    columns: &[&'static str],
    rows: &[Row],
    (whole, currency): (Credited, Currency),
    layout: &Layout,
) -> String {
    let mut header: Vec<(&str, Align)> =
        names.iter().map(|name| (name.as_str(), Align::Left)).collect();
    // Bounds stand after the figure that they are of.
    let title = |column: &'static str| column.rsplit(' ').next().unwrap_or(column);
    header.extend(columns.iter().map(|column| (title(column), Align::Right)));
    let cells = rows.iter().map(|row| {
        let figures = columns.iter().map(|column| row.figure(column, whole, currency));
        row.names.iter().cloned().chain(figures).collect()
    });
    (layout.table)(&header, cells.collect())
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
            "ROAS" => self.roas(Some(self.credited.amount)),
            _ => self.bound(column, currency),
        };
        text.map_or_else(String::new, |text| thousands(&text))
    }

    /// An amount by the cost, if there is any.
    fn roas(&self, amount: Option<i128>) -> Option<String> {
        let cost = self.cost.filter(|cost| *cost > 0)?;
        Some(format!("{:.2}", amount? as f64 / cost as f64))
    }

    /// A bound of a figure. Cost is not of persons, so that ROAS is as certain as the amount.
    fn bound(&self, column: &str, currency: Currency) -> Option<String> {
        let [conversions, amount, change] = self.bounds;
        let (figure, end) = column.rsplit_once(' ')?;
        let bound = |of: Option<Interval>| of.map(|of| if end == "low" { of.0 } else { of.1 });
        match figure {
            "conversions" => bound(conversions).map(|bound| format!("{:.2}", share(bound))),
            "ROAS" => self.roas(bound(amount)),
            "change" => bound(change).map(|bound| currency.format(bound)),
            _ => bound(amount).map(|bound| currency.format(bound)),
        }
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
