//! `apportion check`: says how the inputs are understood and what is wrong with them, and runs
//! nothing.
//!
//! It goes on after what cannot be read, so that one look tells everything. Not for what is wrong:
//! that is `findings`, `validate` and `error`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::io::Write;

use arrow::array::AsArray;
use arrow::compute::{max, min};
use arrow::datatypes::TimestampMicrosecondType;

use super::{RunArgs, Status, configure_with, in_pool};
use crate::calendar::format_instant;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::findings::{Finding, Weight, findings};
use crate::input::{Loaded, Needs};
use crate::items::Account;
use crate::output::table::{aligned, printable, wrapped};
use crate::output::{Align, thousands};
use crate::pipeline::{Examined, Inputs, Silent, Tables, examine_table, resolve};
use crate::schema::{Kind, Table, is_bookkeeping};
use crate::summary::Summary;
use crate::validate::{Reject, Rule, count_by_rule};

/// Columns of characters that text keeps to where it can.
const WIDTH: usize = 80;

pub(super) fn run(args: &RunArgs, out: &mut dyn Write) -> Result<Status> {
    let config = configure_with(args.settings.clone(), args.config.as_deref())?;
    if config.inputs.is_empty() {
        return Err(Error::Contradiction(
            "no inputs are given; `--sessions PATH --orders PATH` names them, or apportion.toml"
                .to_owned(),
        ));
    }
    let (text, status) = in_pool(config.threads, || check(&config))??;
    out.write_all(text.as_bytes())
        .map_err(|error| Error::Output { format: "text", why: error.to_string() })?;
    Ok(status)
}

/// What is there and what is wrong with it, as text and as an exit code.
fn check(config: &Config) -> Result<(String, Status)> {
    let (mut text, mut tables, mut unreadable) = (String::new(), Tables::new(), Vec::new());
    let inputs = Inputs::gather(config, &Silent)?;
    if let Some(items) = &inputs.items {
        text.push_str(&of_items(&items.account));
    }
    for table in Table::ALL.into_iter().filter(|table| inputs.paths.contains_key(table)) {
        let mut names: BTreeSet<String> =
            table.columns().iter().map(|column| column.name.to_owned()).collect();
        names.extend(config.amount.iter().filter(|_| table == Table::Orders).cloned());
        let examined = examine_table(config, &inputs, table, Needs::Named(names))?;
        let Examined { loaded, unreadable: of_table } = examined;
        if let Some(loaded) = loaded {
            text.push_str(&described(table, &loaded, &inputs));
            tables.insert(table, loaded);
        }
        unreadable.extend(of_table);
    }
    let people = resolve(config, &tables, &mut Summary::new(config.as_of));
    let found = findings(config, &tables, &people)?;
    let of_tables = tables.values().flat_map(|loaded| &loaded.rejects);
    let rejects: Vec<Reject> = inputs.rejects().iter().chain(of_tables).cloned().collect();
    let read = tables.values().map(|loaded| loaded.read).sum();
    let too_many = config.max_rejects.check(inputs.rows_read(read), &count_by_rule(&rejects)).err();
    let problems = found.iter().filter(|finding| finding.weight == Weight::Problem).count();
    text.push_str(&conclusion(&unreadable, too_many.as_ref(), &found));
    let status = if !unreadable.is_empty() {
        Status::Failed
    } else if problems > 0 || too_many.is_some() {
        Status::Findings
    } else {
        Status::Done
    };
    Ok((text, status))
}

/// What cannot be read, what is a problem, what is worth knowing.
fn conclusion(unreadable: &[Error], too_many: Option<&Error>, found: &[Finding]) -> String {
    let cannot_be_read: Vec<(String, String)> = unreadable
        .iter()
        .map(|error| {
            let mut what = error.to_string();
            let mut cause = error.source();
            while let Some(source) = cause {
                what.push_str(&format!(" ({})", source.to_string().trim_end()));
                cause = source.source();
            }
            (what, error.hint().unwrap_or_default())
        })
        .collect();
    let of = |weight: Weight| -> Vec<(String, String)> {
        let of_weight = found.iter().filter(|finding| finding.weight == weight);
        let said = of_weight
            .map(|finding| (format!("{}: {}", finding.table, finding.what), finding.right.clone()));
        said.collect()
    };
    let mut problems: Vec<(String, String)> = Vec::new();
    if let Some(error) = too_many {
        let right = "mend the rows, or let a run go on without them: `--rejects rejects.csv` keeps them, `--max-rejects 100%` allows them";
        problems.push((error.to_string(), right.to_owned()));
    }
    problems.extend(of(Weight::Problem));
    let mut text = section("thing cannot be read", "things cannot be read", &cannot_be_read);
    text.push_str(&section("problem", "problems", &problems));
    if text.is_empty() {
        text.push_str("no problems\n\n");
    }
    text.push_str(&section("note", "notes", &of(Weight::Note)));
    text.pop();
    text
}

/// A count of entries and each of them, what is found and what would be right; an empty line after.
fn section(one: &str, several: &str, entries: &[(String, String)]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let count = thousands(&entries.len().to_string());
    let mut text = format!("{count} {}\n", if entries.len() == 1 { one } else { several });
    for (what, right) in entries {
        indented(&mut text, "  - ", what);
        if !right.is_empty() {
            indented(&mut text, "    > ", right);
        }
    }
    text.push('\n');
    text
}

/// Text in lines, the first after `first`, the others below its beginning.
fn indented(text: &mut String, first: &str, body: &str) {
    let width = first.chars().count();
    for (at, line) in wrapped(&printable(body), WIDTH - width).into_iter().enumerate() {
        let before = if at == 0 { first } else { &" ".repeat(width) };
        text.push_str(&format!("{before}{line}\n"));
    }
}

/// What became of the lines of items.
fn of_items(account: &Account) -> String {
    let number = |count: u64| thousands(&count.to_string());
    let files = if account.files == 1 {
        "1 file".to_owned()
    } else {
        format!("{} files", number(account.files))
    };
    let verdict = verdict(account.accepted, &account.rejects, account.repaired);
    format!("items: {} lines in {files}\n\n{verdict}", number(account.read))
}

fn described(table: Table, loaded: &Loaded, inputs: &Inputs) -> String {
    let number = |count: u64| thousands(&count.to_string());
    let files = if loaded.files.len() == 1 && inputs.is_unpacked(&loaded.files[0].path) {
        "the items".to_owned()
    } else if loaded.files.len() == 1 {
        loaded.files[0].path.display().to_string()
    } else {
        format!("{} files", number(loaded.files.len() as u64))
    };
    let mut text = format!("{table}: {} rows in {files}\n", number(loaded.read));
    if let Some((first, last)) = time_range(loaded) {
        text.push_str(&format!("  from {} to {}\n", format_instant(first), format_instant(last)));
    }
    text.push('\n');
    text.push_str(&columns(table, loaded));
    let missing: Vec<&str> = table
        .columns()
        .iter()
        .map(|column| column.name)
        .filter(|name| {
            !loaded.files.iter().any(|file| file.columns.iter().any(|column| column.name == *name))
        })
        .collect();
    if !missing.is_empty() {
        text.push_str("\n  not there, and not needed:\n");
        let mut line = String::new();
        for name in missing {
            if line.len() + name.len() > 70 {
                text.push_str(&format!("    {}\n", line.trim_end()));
                line.clear();
            }
            line.push_str(name);
            line.push(' ');
        }
        text.push_str(&format!("    {}\n", line.trim_end()));
    }
    text.push('\n');
    let accepted = loaded.rows.num_rows() as u64;
    text.push_str(&verdict(accepted, &loaded.rejects, loaded.repaired));
    text
}

/// How many rows are accepted, rejected and repaired, and by which rules.
fn verdict(accepted: u64, rejects: &[Reject], repaired: u64) -> String {
    let number = |count: u64| thousands(&count.to_string());
    let rejected = rejects.len() as u64;
    let mut text = format!("  {} accepted, {} rejected", number(accepted), number(rejected));
    if repaired > 0 {
        text.push_str(&format!(", {} repaired", number(repaired)));
    }
    text.push('\n');
    for (_, rule, rows) in count_by_rule(rejects) {
        let said = example(rejects, rule);
        indented(&mut text, "    ", &format!("{} by `{}`{said}", number(rows), rule.name()));
    }
    text.push('\n');
    text
}

/// Which column of the files was taken for what.
fn columns(table: Table, loaded: &Loaded) -> String {
    // Files of one table may differ: each distinct origin is listed once.
    let mut seen: BTreeMap<&str, BTreeSet<(String, String)>> = BTreeMap::new();
    for file in &loaded.files {
        for column in file.columns.iter().filter(|column| !is_bookkeeping(&column.name)) {
            let origin = (column.origin.to_string(), column.data_type.to_string());
            seen.entry(&column.name).or_default().insert(origin);
        }
    }
    let canonical = table.columns().iter().map(|column| column.name);
    let others = seen.keys().copied().filter(|name| table.column(name).is_none());
    let mut rows: Vec<Vec<String>> = canonical
        .chain(others)
        .flat_map(|name| {
            let meaning = table.column(name).map_or(Kind::Any.name(), |column| column.kind.name());
            let origins = seen.get(name).into_iter().flatten();
            origins.map(move |(origin, data_type)| {
                // What is taken from its own name goes without saying.
                let origin = if origin == name { String::new() } else { printable(origin) };
                let (name, origin) = (cut(&printable(name)), cut(&origin));
                vec![format!("  {name}"), meaning.to_owned(), cut(&printable(data_type)), origin]
            })
        })
        .collect();
    let header = ["  column", "holds", "type", "taken from"].map(|name| (name, Align::Left));
    let every_own = rows.iter().all(|row| row[header.len() - 1].is_empty());
    let shown = header.len() - usize::from(every_own);
    for row in &mut rows {
        row.truncate(shown);
    }
    aligned(&header[..shown], rows)
}

/// Text of no more than what leaves room for the columns beside it.
fn cut(text: &str) -> String {
    const ROOM: usize = 26;
    if text.chars().count() <= ROOM {
        return text.to_owned();
    }
    text.chars().take(ROOM - 1).chain(['\u{2026}']).collect()
}

fn time_range(loaded: &Loaded) -> Option<(i64, i64)> {
    let times = loaded.rows.column_by_name("created_at")?;
    let times = times.as_primitive_opt::<TimestampMicrosecondType>()?;
    Some((min(times)?, max(times)?))
}

fn example(rejects: &[Reject], rule: Rule) -> String {
    let first = rejects.iter().find(|reject| reject.rule == rule);
    let Some((reject, (file, row))) =
        first.and_then(|reject| Some((reject, reject.place.as_ref()?)))
    else {
        return String::new();
    };
    format!(", first in row {row} of {}: {}", file.display(), printable(&reject.message))
}
