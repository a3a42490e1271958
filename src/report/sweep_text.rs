//! How a sweep reads on a terminal: what was tried, between what each line moves, and which
//! decisions turn.
//!
//! Every result by itself is in the other formats.

use std::collections::{BTreeMap, BTreeSet};

use crate::credits::share;
use crate::money::Currency;
use crate::output::table::{aligned, printable, wrapped};
use crate::output::{Align, counted, thousands};
use crate::report::SweepReport;
use crate::report::sweep::{Standing, turns};
use crate::report::terminal::{ROWS, WIDTH, label, labels, names};

/// Lines of which it is said how their rank moves: those that move the furthest.
const MOVING: usize = 6;

/// A sweep as text: the range of each line, then what turns.
pub fn render_sweep(report: &SweepReport) -> String {
    let mut text = String::new();
    for line in wrapped(&headline(report), WIDTH) {
        text.push_str(&format!("{line}\n"));
    }
    let all = report.standings();
    let mut currencies: Vec<Currency> = report.keys.iter().map(|key| key.0).collect();
    currencies.sort_unstable();
    currencies.dedup();
    for currency in currencies {
        let keys: Vec<usize> =
            (0..report.keys.len()).filter(|key| report.keys[*key].0 == currency).collect();
        let standings: Vec<&[Standing]> = keys.iter().map(|key| all[*key].as_slice()).collect();
        text.push_str(&format!("\nleast to greatest \u{b7} {currency}\n\n"));
        text.push_str(&ranges(report, currency, &keys, &standings));
        text.push_str(&format!("\n{}", decisions(report, currency, &keys, &standings)));
    }
    text
}

/// What was tried.
fn headline(report: &SweepReport) -> String {
    let results = counted(report.tried.len() as u64, "result", "results");
    let settings = report
        .settings
        .iter()
        .map(|setting| format!("{} {}", setting.name, setting.values.join(", ")));
    let parts: Vec<String> = std::iter::once(report.models().join(", ")).chain(settings).collect();
    printable(&format!("{results}: {}", parts.join(" \u{b7} ")))
}

/// What a row shows: of each result the conversions and the amount that are credited, and the cost.
struct Row {
    names: Vec<String>,
    credited: Vec<(i128, i128)>,
    cost: Option<i64>,
}

fn ranges(
    report: &SweepReport,
    currency: Currency,
    keys: &[usize],
    standings: &[&[Standing]],
) -> String {
    let names = report.reports.first().map(names).unwrap_or_default();
    let of_lines = |names: Vec<String>, lines: &[&[Standing]]| {
        let mut credited = vec![(0, 0); report.tried.len()];
        let mut cost = None;
        for line in lines {
            for ((conversions, amount), one) in credited.iter_mut().zip(*line) {
                *conversions += one.conversions;
                *amount += one.amount;
            }
            if let Some(more) = line.iter().find_map(|one| one.cost) {
                cost = Some(cost.unwrap_or(0_i64).saturating_add(more));
            }
        }
        Row { names, credited, cost }
    };
    let shown = if keys.len() > ROWS + 1 { ROWS } else { keys.len() };
    let mut rows: Vec<Row> = keys[..shown]
        .iter()
        .zip(standings)
        .map(|(key, line)| {
            let (_, values, unattributed) = &report.keys[*key];
            let names = labels(values, *unattributed, names.len());
            of_lines(names, std::slice::from_ref(line))
        })
        .collect();
    if shown < keys.len() {
        let more = format!("({} more)", thousands(&(keys.len() - shown).to_string()));
        rows.push(of_lines(label(&more, names.len()), &standings[shown..]));
    }
    rows.push(of_lines(label("total", names.len()), standings));
    let mut columns = vec!["conversions", "amount"];
    if report.has_cost() {
        columns.push("ROAS");
    }
    let text = laid_out(&names, &columns, &rows, currency);
    if text.lines().all(|line| line.chars().count() <= WIDTH) {
        return text;
    }
    // What is wider than a terminal loses what can best be done without.
    laid_out(&names, &columns[1..], &rows, currency)
}

fn laid_out(names: &[String], columns: &[&str], rows: &[Row], currency: Currency) -> String {
    let mut header: Vec<(&str, Align)> =
        names.iter().map(|name| (name.as_str(), Align::Left)).collect();
    header
        .extend(columns.iter().flat_map(|column| [(*column, Align::Right), ("to", Align::Right)]));
    let cells = rows.iter().map(|row| {
        let figures = columns.iter().flat_map(|column| row.figures(column, currency));
        row.names.iter().cloned().chain(figures).collect()
    });
    aligned(&header, cells.collect())
}

impl Row {
    /// The least and the greatest of a figure as text.
    fn figures(&self, column: &str, currency: Currency) -> [String; 2] {
        let ends = |of: fn(&(i128, i128)) -> i128| {
            let values = || self.credited.iter().map(of);
            [values().min().unwrap_or_default(), values().max().unwrap_or_default()]
        };
        let amounts = ends(|(_, amount)| *amount);
        match column {
            "conversions" => ends(|(conversions, _)| *conversions)
                .map(|end| thousands(&format!("{:.2}", share(end)))),
            "amount" => amounts.map(|end| thousands(&currency.format(end))),
            _ => match self.cost.filter(|cost| *cost > 0) {
                Some(cost) => {
                    amounts.map(|end| thousands(&format!("{:.2}", end as f64 / cost as f64)))
                }
                None => [String::new(), String::new()],
            },
        }
    }
}

/// What turns: whether lines earn what they cost; without spend, their ranks.
fn decisions(
    report: &SweepReport,
    currency: Currency,
    keys: &[usize],
    standings: &[&[Standing]],
) -> String {
    let lines = || {
        let lines = keys.iter().zip(standings);
        lines.filter(|(key, _)| !report.keys[**key].2).map(|(key, of)| (title(report, *key), of))
    };
    let mut text = String::new();
    let mut say = |indent: usize, sentence: &str| {
        if indent == 0 && !text.is_empty() {
            text.push('\n');
        }
        for line in wrapped(sentence, WIDTH - indent) {
            text.push_str(&format!("{:indent$}{line}\n", ""));
        }
    };
    if report.has_cost() {
        let turning: Vec<_> = lines().filter(|(_, of)| turns(of) == Some(true)).collect();
        if turning.is_empty() {
            say(
                0,
                &format!(
                    "No ROAS turns \u{b7} {currency}: every line that costs something earns it in all results, or in none."
                ),
            );
            return text;
        }
        say(
            0,
            &format!("ROAS turns \u{b7} {currency}: 1 or more in some results, and less in others"),
        );
        for (title, of) in turning {
            let ends = |choose: fn(f64, f64) -> f64| {
                of.iter().filter_map(Standing::roas).reduce(choose).unwrap_or_default()
            };
            say(0, &format!("{title}: {:.2} to {:.2}", ends(f64::min), ends(f64::max)));
            for (pays, what) in [(true, "at 1 or more"), (false, "below 1")] {
                let set: Vec<bool> = of.iter().map(|one| one.pays() == Some(pays)).collect();
                say(2, &in_results(report, what, &set));
            }
        }
        return text;
    }
    say(
        0,
        "Whether a line earns what it costs needs spend (`--spend`). What moves is its rank by amount:",
    );
    let spread = |of: &[Standing]| {
        let ranks = || of.iter().map(|one| one.rank);
        (ranks().min().unwrap_or_default(), ranks().max().unwrap_or_default())
    };
    let mut moving: Vec<_> = lines()
        .map(|(title, of)| (spread(of), title, of))
        .filter(|((least, greatest), ..)| least < greatest)
        .collect();
    if moving.is_empty() {
        say(0, &format!("No rank does \u{b7} {currency}"));
    }
    // The furthest first; of several, those that stand above.
    moving.sort_by_key(|((least, greatest), ..)| std::cmp::Reverse(greatest - least));
    for ((least, greatest), title, of) in moving.iter().take(MOVING) {
        say(0, &format!("{title}: rank {least} to {greatest} \u{b7} {currency}"));
        for rank in [least, greatest] {
            let set: Vec<bool> = of.iter().map(|one| one.rank == *rank).collect();
            say(2, &in_results(report, &format!("at rank {rank}"), &set));
        }
    }
    if moving.len() > MOVING {
        say(0, &format!("({} more)", moving.len() - MOVING));
    }
    text
}

/// The line of a key in words.
fn title(report: &SweepReport, key: usize) -> String {
    let (_, values, unattributed) = &report.keys[key];
    labels(values, *unattributed, values.len().max(1)).join(" / ")
}

/// In which results something holds: `3 of 9 results below 1: last_click`.
fn in_results(report: &SweepReport, what: &str, set: &[bool]) -> String {
    let holds = set.iter().filter(|holds| **holds).count();
    let all = counted(set.len() as u64, "result", "results");
    printable(&format!("{holds} of {all} {what}: {}", described(report, set)))
}

/// Some results in few words: by one setting where that decides for every model, else model by model.
fn described(report: &SweepReport, set: &[bool]) -> String {
    if let Some(values) = decided_by(report, set) {
        return format!("every model with {values}");
    }
    let of_model = |model: &&str| {
        let members = || (0..set.len()).filter(|at| report.tried[*at].model == **model);
        let inside: Vec<usize> = members().filter(|at| set[*at]).collect();
        if inside.len() == members().count() {
            return vec![(*model).to_owned()];
        }
        let blocks = joined(report, &inside);
        blocks.iter().map(|block| format!("{model} with {}", conditions(report, block))).collect()
    };
    report.models().iter().flat_map(of_model).collect::<Vec<_>>().join("; ")
}

/// Results that are the same but for one setting, as one: the values of each setting, by their
/// positions, in every combination.
type Joined = Vec<BTreeSet<usize>>;

/// Results of one model in as few groups as joining one setting after the other makes of them.
fn joined(report: &SweepReport, results: &[usize]) -> Vec<Joined> {
    let place = |(at, value): (usize, &Option<String>)| {
        let values = &report.settings[at].values;
        values.iter().position(|known| Some(known) == value.as_ref()).into_iter().collect()
    };
    let each = results.iter().map(|result| {
        report.tried[*result].values.iter().enumerate().map(place).collect::<Joined>()
    });
    let mut groups: Vec<Joined> = each.collect();
    loop {
        let before = groups.len();
        for setting in 0..report.settings.len() {
            let mut same_otherwise: BTreeMap<Joined, BTreeSet<usize>> = BTreeMap::new();
            for mut group in groups {
                let values = std::mem::take(&mut group[setting]);
                same_otherwise.entry(group).or_default().extend(values);
            }
            let whole = same_otherwise.into_iter().map(|(mut group, values)| {
                group[setting] = values;
                group
            });
            groups = whole.collect();
        }
        if groups.len() == before {
            return groups;
        }
    }
}

/// The settings that a group does not have every value of.
fn conditions(report: &SweepReport, group: &Joined) -> String {
    let settings = report.settings.iter().zip(group);
    let limited =
        settings.filter(|(setting, of)| !of.is_empty() && of.len() < setting.values.len());
    let conditions = limited.map(|(setting, of)| {
        let values: Vec<&str> = of.iter().map(|value| setting.values[*value].as_str()).collect();
        format!("{} {}", setting.name, values.join(" or "))
    });
    conditions.collect::<Vec<_>>().join(", ")
}

/// The values of one setting that results are in the set for, where it decides for all of them.
fn decided_by(report: &SweepReport, set: &[bool]) -> Option<String> {
    report.settings.iter().enumerate().find_map(|(at, setting)| {
        let of_value = |value: &String| {
            let results = report.tried.iter().zip(set);
            let mut some = results.filter(|(tried, _)| tried.values[at].as_ref() == Some(value));
            let (_, first) = some.next()?;
            some.all(|(_, holds)| holds == first).then_some(*first)
        };
        if report.tried.iter().any(|tried| tried.values[at].is_none()) {
            return None;
        }
        let decided: Vec<bool> =
            setting.values.iter().map(of_value).collect::<Option<Vec<bool>>>()?;
        let values = setting.values.iter().zip(&decided).filter(|(_, holds)| **holds);
        let values: Vec<&str> = values.map(|(value, _)| value.as_str()).collect();
        (!values.is_empty() && values.len() < decided.len())
            .then(|| format!("{} {}", setting.name, values.join(" or ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SweptSetting;
    use crate::report::Tried;

    #[test]
    fn results_are_told_in_few_words() {
        let setting = |name: &str, values: [&str; 2]| SweptSetting {
            name: name.to_owned(),
            values: values.map(str::to_owned).to_vec(),
        };
        let settings = vec![setting("lookback", ["7d", "30d"]), setting("half_life", ["3d", "7d"])];
        let tried = |model: &str, lookback: &str, half_life: Option<&str>| Tried {
            values: vec![Some(lookback.to_owned()), half_life.map(str::to_owned)],
            model: model.to_owned(),
            report: 0,
            at: 0,
        };
        let all = vec![
            tried("linear", "7d", None),
            tried("time_decay", "7d", Some("3d")),
            tried("time_decay", "7d", Some("7d")),
            tried("linear", "30d", None),
            tried("time_decay", "30d", Some("3d")),
            tried("time_decay", "30d", Some("7d")),
        ];
        let report = SweepReport::new(settings, all, Vec::new());
        for (set, said) in [
            ([1, 1, 1, 0, 0, 0], "every model with lookback 7d"),
            ([1, 0, 0, 1, 0, 0], "linear"),
            ([0, 1, 0, 1, 1, 0], "linear with lookback 30d; time_decay with half_life 3d"),
            (
                [0, 1, 1, 0, 1, 0],
                "time_decay with lookback 7d, half_life 7d; time_decay with half_life 3d",
            ),
            ([0, 0, 0, 0, 0, 1], "time_decay with lookback 30d, half_life 7d"),
        ] {
            assert_eq!(described(&report, &set.map(|holds| holds == 1)), said);
        }
    }
}
