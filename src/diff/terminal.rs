//! How a difference reads on a terminal: by cause first, then by dimension values.

use serde_json::Value;

use crate::diff::{Cause, ChangedSetting, Differences, Line, Part, Step};
use crate::kept::SHARE_WHOLE;
use crate::money::Currency;
use crate::output::table::{aligned, printable, wrapped};
use crate::output::{Align, counted, shortened, thousands};
use crate::report::WIDTH;

/// Combinations of dimension values that are shown before the rest is summed up.
const ROWS: usize = 20;

/// Characters of a name beside figures.
const ROOM: usize = 30;

/// A difference as text.
pub fn render(differences: &Differences) -> String {
    let mut blocks = vec![runs(differences)];
    for model in &differences.models {
        let lines = differences.lines.iter().filter(|line| line.model == *model);
        let lines: Vec<&Line> = lines.collect();
        for lines in lines.chunk_by(|left, right| left.currency == right.currency) {
            let title = format!("{} \u{b7} {}", printable(model), lines[0].currency);
            blocks.push(format!("{title}\n\n{}", causes(lines)));
            if !differences.by.is_empty() {
                blocks.push(values(&differences.by, lines));
            }
        }
    }
    blocks.join("\n")
}

fn runs(differences: &Differences) -> String {
    let mut text = String::new();
    for (name, run) in ["before", "after"].iter().zip(&differences.runs) {
        let orders = counted(run.orders, "order", "orders");
        let line = format!("{} as of {}: {orders}", run.folder.display(), run.as_of);
        text.push_str(&said(name, &line));
    }
    if !differences.left_out.is_empty() {
        let models = differences.left_out.join(", ");
        text.push_str(&said("left out", &format!("{models}: not in both runs")));
    }
    for changed in &differences.settings {
        text.push_str(&said("setting", &setting(changed)));
    }
    text
}

fn setting(changed: &ChangedSetting) -> String {
    let value = |value: &Option<Value>| value.as_ref().map_or_else(|| "not set".into(), plain);
    // Rules are too long for a line, and are in a file.
    let is_long = |value: &Option<Value>| {
        value.as_ref().is_some_and(|value| plain(value).chars().count() > ROOM)
    };
    if is_long(&changed.before) || is_long(&changed.after) {
        return format!("{} is another", changed.key);
    }
    format!("{}: {}, then {}", changed.key, value(&changed.before), value(&changed.after))
}

/// The value of a setting as a flag would say it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A name and what is said of it.
fn said(name: &str, text: &str) -> String {
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    let lines = wrapped(&printable(text), WIDTH - 10);
    names
        .zip(&lines)
        .map(|(name, line)| format!("{name:<8}  {line}\n"))
        .collect::<Vec<_>>()
        .concat()
}

fn conversions(part: &Part) -> String {
    thousands(&format!("{:.2}", part.conversions as f64 / SHARE_WHOLE as f64))
}

/// A figure with its sign, as differences are.
fn signed(figure: &str, above_zero: bool) -> String {
    if above_zero { format!("+{figure}") } else { figure.to_owned() }
}

fn amount(part: &Part, currency: Currency) -> String {
    thousands(&currency.format(part.amount))
}

/// What the causes do over all dimension values.
fn causes(lines: &[&Line]) -> String {
    let header = [
        ("", Align::Left),
        ("orders", Align::Right),
        ("conversions", Align::Right),
        ("amount", Align::Right),
    ];
    let sums = lines.iter().filter(|line| line.values.is_none());
    let mut steps: Vec<(Step, Part)> = sums.map(|line| (line.step, line.part)).collect();
    for end in [Step::Before, Step::After] {
        if !steps.iter().any(|(step, _)| *step == end) {
            steps.push((end, Part::default()));
        }
    }
    steps.sort_by_key(|(step, _)| *step);
    let currency = lines[0].currency;
    let rows = steps.iter().map(|(step, part)| {
        let of_cause = matches!(step, Step::Cause(_));
        let name = match step {
            Step::Before => "before",
            Step::Cause(cause) => cause.words(),
            Step::After => "after",
        };
        vec![
            if of_cause { format!("  {name}") } else { name.to_owned() },
            thousands(&part.orders.to_string()),
            signed(&conversions(part), of_cause && part.conversions > 0),
            signed(&amount(part, currency), of_cause && part.amount > 0),
        ]
    });
    let mut text = aligned(&header, rows.collect());
    if steps.len() == 2 {
        text.push_str("\nnothing changed\n");
    }
    text
}

/// What one combination of dimension values had, has, and why.
#[derive(Default)]
struct Of {
    name: String,
    before: Part,
    after: Part,
    causes: Vec<(Cause, Part)>,
}

impl Of {
    fn change(&self) -> Part {
        Part {
            conversions: self.after.conversions - self.before.conversions,
            amount: self.after.amount - self.before.amount,
            orders: 0,
        }
    }

    fn add(&mut self, other: &Self) {
        self.before.add(&other.before);
        self.after.add(&other.after);
        for (cause, part) in &other.causes {
            match self.causes.iter_mut().find(|(known, _)| known == cause) {
                Some((_, sum)) => sum.add(part),
                None => self.causes.push((*cause, *part)),
            }
        }
    }
}

/// What changed of each combination of dimension values, and why; the greatest change first.
fn values(by: &[String], lines: &[&Line]) -> String {
    let named: Vec<&&Line> = lines.iter().filter(|line| line.values.is_some()).collect();
    let mut all: Vec<Of> = named
        .chunk_by(|left, right| left.values == right.values)
        .map(|lines| {
            let name = lines[0].values.as_deref().unwrap_or_default().join(" / ");
            let mut of = Of { name: shortened(&printable(&name), ROOM), ..Of::default() };
            for line in lines {
                match line.step {
                    Step::Before => of.before = line.part,
                    Step::After => of.after = line.part,
                    Step::Cause(cause) => of.causes.push((cause, line.part)),
                }
            }
            of
        })
        .collect();
    // Names are in byte order, and sorting keeps it.
    all.sort_by_key(|of| {
        let change = of.change();
        std::cmp::Reverse((change.amount.abs(), change.conversions.abs()))
    });
    let currency = lines[0].currency;
    if all.len() > ROWS + 1 {
        let more = all.split_off(ROWS);
        let mut rest =
            Of { name: format!("({} more)", thousands(&more.len().to_string())), ..Of::default() };
        for of in &more {
            rest.add(of);
        }
        rest.causes.sort_by_key(|(cause, _)| *cause);
        all.push(rest);
    }
    let mut total = Of { name: "total".to_owned(), ..Of::default() };
    for of in &all {
        total.add(of);
    }
    total.causes.clear();
    all.push(total);
    let title = by.join(" / ");
    let header = [
        (title.as_str(), Align::Left),
        ("conversions", Align::Right),
        ("before", Align::Right),
        ("after", Align::Right),
        ("change", Align::Right),
    ];
    let mut rows = Vec::new();
    for of in &all {
        let change = of.change();
        rows.push(vec![
            of.name.clone(),
            signed(&conversions(&change), change.conversions > 0),
            amount(&of.before, currency),
            amount(&of.after, currency),
            signed(&amount(&change, currency), change.amount > 0),
        ]);
        rows.extend(of.causes.iter().map(|(cause, part)| {
            vec![
                format!("  {}", cause.words()),
                signed(&conversions(part), part.conversions > 0),
                String::new(),
                String::new(),
                signed(&amount(part, currency), part.amount > 0),
            ]
        }));
    }
    aligned(&header, rows)
}
