//! `apportion ingest`: turns JSON items into the canonical tables of a folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;

use super::progress::Bar;
use super::{Status, configure_with, in_pool, say};
use crate::config::{Config, Settings};
use crate::error::{Error, Result};
use crate::input::{self, Input};
use crate::items::{self, Account};
use crate::money::Units;
use crate::objects;
use crate::output::{self, Staged, by_extension, thousands};
use crate::pipeline::Progress;
use crate::schema::Table;
use crate::validate::{count_by_rule, rejects_table};

/// What `apportion ingest` is to do.
#[derive(Args)]
pub(super) struct IngestArgs {
    /// JSON items, one a line: files, folders or quoted globs, plain, .gz or .zst; `-` is standard input
    #[arg(value_name = "ITEMS", required = true)]
    items: Vec<String>,
    /// The folder of the tables; those that are there are merged with what comes
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// What amounts hold [default: major]
    #[arg(long, value_enum, value_name = "minor|major", hide_possible_values = true)]
    units: Option<Units>,
    /// The currency of amounts that name none
    #[arg(long, value_name = "CODE")]
    currency: Option<String>,
    /// How many items may be rejected before nothing is written: a share or a number [default: 1%]
    #[arg(long, value_name = "SHARE|ITEMS")]
    max_rejects: Option<String>,
    /// Write every rejected item; its format follows the name (.csv .ndjson .parquet .json .arrow .md)
    #[arg(long, value_name = "PATH")]
    rejects: Option<PathBuf>,
    /// The clock; items created later are rejected [default: now]
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// Threads to work on [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// The workspace file, for its currency, units, limit and clock [default: apportion.toml, where there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(short, long)]
    quiet: bool,
}

pub(super) fn run(args: &IngestArgs) -> Result<Status> {
    let settings = Settings {
        items: args.items.clone(),
        units: args.units,
        currency: args.currency.clone(),
        max_rejects: args.max_rejects.clone(),
        as_of: args.as_of.clone(),
        threads: args.threads,
        ..Settings::default()
    };
    let config = configure_with(settings, args.config.as_deref())?;
    let bar = Bar::unless(args.quiet);
    let (account, rows) = in_pool(config.threads, || ingest(&config, args, &bar))??;
    drop(bar);
    if !args.quiet {
        say(&said(&account, &rows));
    }
    Ok(Status::Done)
}

fn ingest(
    config: &Config,
    args: &IngestArgs,
    progress: &dyn Progress,
) -> Result<(Account, BTreeMap<Table, u64>)> {
    let folder = &args.output;
    objects::refuse(folder, "what `ingest` merges with")?;
    if folder.exists() && !folder.is_dir() {
        let why = "it is a file; name the folder of the tables";
        return Err(Error::setting("--output", folder.display().to_string(), why));
    }
    let inputs: Vec<Input> = args.items.iter().cloned().map(Input::from).collect();
    let sources = input::find(Table::Items, &inputs)?;
    let rejects = match &args.rejects {
        Some(path) => {
            let taken = sources.iter().map(|source| source.path.clone());
            check_free(path, taken.chain(items::files(folder).into_values()))?;
            Some((by_extension(path)?, Staged::new(path)?))
        }
        None => None,
    };
    progress.stage("reading items");
    let scratch = existing(folder);
    let mut waiting =
        items::read(&config.meaning(), &sources, scratch, &|rows| progress.rows(rows))?;
    let account = std::mem::take(&mut waiting.account);
    config.max_rejects.check(account.read, &count_by_rule(&account.rejects))?;
    progress.stage("merging items");
    let ingested = items::merge(waiting, folder)?;
    let rows = ingested.rows.clone();
    if let Some((format, staged)) = rejects {
        output::write(format, staged.sink()?, &rejects_table(&account.rejects)?)?;
        staged.commit()?;
    }
    ingested.publish()?;
    Ok((account, rows))
}

/// The folder, or the nearest one above it that is there: rows wait on the disk that the tables
/// will be on.
fn existing(folder: &Path) -> &Path {
    let above = folder.ancestors().filter(|path| !path.as_os_str().is_empty());
    above.into_iter().find(|path| path.is_dir()).unwrap_or_else(|| Path::new("."))
}

/// An error if an output would take the place of a file that is read or written otherwise.
fn check_free(path: &Path, mut taken: impl Iterator<Item = PathBuf>) -> Result<()> {
    let there = fs::canonicalize(path).ok();
    let same = |other: PathBuf| {
        other == path || (there.is_some() && fs::canonicalize(&other).ok() == there)
    };
    if taken.any(same) {
        return Err(Error::Contradiction(format!(
            "`{}` holds items or is one of the tables; name another file for `--rejects`",
            path.display()
        )));
    }
    Ok(())
}

/// What was read, and what the tables hold now.
fn said(account: &Account, rows: &BTreeMap<Table, u64>) -> String {
    let number = |count: u64| thousands(&count.to_string());
    let files = if account.files == 1 {
        "1 file".to_owned()
    } else {
        format!("{} files", number(account.files))
    };
    let rejected = account.rejects.len() as u64;
    let mut text = format!(
        "\n{:<15} {} read from {files}: {} accepted, {} rejected\n",
        "items",
        number(account.read),
        number(account.accepted),
        number(rejected)
    );
    for (table, rule, rows) in count_by_rule(&account.rejects) {
        text.push_str(&format!(
            "{:<15} {} {table} by `{}`\n",
            "rejected",
            number(rows),
            rule.name()
        ));
    }
    if account.repaired > 0 {
        text.push_str(&format!(
            "{:<15} {} rows: sign-up taken from creation\n",
            "repaired",
            number(account.repaired)
        ));
    }
    for table in items::TABLES {
        let count = rows.get(&table).copied().unwrap_or_default();
        text.push_str(&format!("{:<15} {} rows now\n", table.name(), number(count)));
    }
    text
}
