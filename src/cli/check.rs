//! `apportion check`: says how the inputs are understood, and runs nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use arrow::array::AsArray;
use arrow::compute::{max, min};
use arrow::datatypes::TimestampMicrosecondType;

use super::{RunArgs, Status, configure, in_pool};
use crate::calendar::format_instant;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::input::{Loaded, Needs};
use crate::output::table::{aligned, printable};
use crate::output::{Align, thousands};
use crate::pipeline::{Silent, read_table};
use crate::schema::Table;
use crate::validate::{Reject, Rule, count_by_rule};

pub(super) fn run(args: &RunArgs, out: &mut dyn Write) -> Result<Status> {
    let config = configure(args)?;
    if config.inputs.is_empty() {
        return Err(Error::Contradiction(
            "no inputs are given; `--sessions PATH --orders PATH` names them, or apportion.toml"
                .to_owned(),
        ));
    }
    let (text, rejects, read) = in_pool(config.threads, || check(&config))??;
    out.write_all(text.as_bytes())
        .map_err(|error| Error::Output { format: "text", why: error.to_string() })?;
    config.max_rejects.check(read, &rejects)?;
    Ok(Status::Done)
}

fn check(config: &Config) -> Result<(String, Vec<Reject>, u64)> {
    let (mut text, mut rejects, mut read) = (String::new(), Vec::new(), 0);
    for table in Table::ALL {
        let names = table.columns().iter().map(|column| column.name.to_owned()).collect();
        let Some(loaded) = read_table(config, table, Needs::Named(names), &Silent)? else {
            continue;
        };
        text.push_str(&described(table, &loaded));
        read += loaded.read;
        rejects.extend(loaded.rejects);
    }
    Ok((text, rejects, read))
}

fn described(table: Table, loaded: &Loaded) -> String {
    let number = |count: u64| thousands(&count.to_string());
    let files = if loaded.files.len() == 1 {
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
    let accepted = loaded.rows.num_rows() as u64;
    text.push_str(&format!(
        "\n  {} accepted, {} rejected",
        number(accepted),
        number(loaded.rejects.len() as u64)
    ));
    if loaded.repaired > 0 {
        text.push_str(&format!(", {} repaired", number(loaded.repaired)));
    }
    text.push('\n');
    for (_, rule, rows) in count_by_rule(&loaded.rejects) {
        text.push_str(&format!(
            "    {} by `{}`{}\n",
            number(rows),
            rule.name(),
            example(&loaded.rejects, rule)
        ));
    }
    text.push('\n');
    text
}

/// Which column of the files was taken for what.
fn columns(table: Table, loaded: &Loaded) -> String {
    // Files of one table may differ: each distinct origin is listed once.
    let mut seen: BTreeMap<&str, BTreeSet<(String, String)>> = BTreeMap::new();
    for file in &loaded.files {
        for column in &file.columns {
            let origin = (column.origin.to_string(), column.data_type.to_string());
            seen.entry(&column.name).or_default().insert(origin);
        }
    }
    let canonical = table.columns().iter().map(|column| column.name);
    let others = seen.keys().copied().filter(|name| table.column(name).is_none());
    let rows = canonical.chain(others).flat_map(|name| {
        let meaning = table.column(name).map_or("dimension", |column| column.kind.name());
        let origins = seen.get(name).into_iter().flatten();
        origins.map(move |(origin, data_type)| {
            vec![format!("  {name}"), meaning.to_owned(), printable(origin), printable(data_type)]
        })
    });
    let header = [
        ("  column", Align::Left),
        ("holds", Align::Left),
        ("taken from", Align::Left),
        ("type", Align::Left),
    ];
    aligned(&header, rows.collect())
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
