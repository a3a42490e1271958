//! JSON items, one a line, to the canonical tables: [`read`] takes lines and spills their rows,
//! [`merge`] merges them with the tables that are there and stages new ones.
//!
//! ```text
//! lines ─▶ parse ─▶ accept ─▶ spill ─▶ merged ─▶ tables
//! gz zst   shape    decoded   by id    bucket    Parquet, beside
//!                   judged    on disk  by bucket each field its time
//! ```
//!
//! What is kept beside every field is its time, so that the result is a function of the set of
//! items: any order of arrival, any number of times, any split into several ingests gives the same
//! bytes. Not for who is a person: an id under two users stays two rows, and the run decides.

mod accept;
mod lines;
mod narrow;
mod parse;
mod row;
mod spill;
mod tables;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::{Error, Result};
use crate::input::Source;
use crate::money::{Currency, Units};
use crate::output::{Staged, UNFINISHED, clear_left};
use crate::schema::Table;
use crate::stop;
use crate::validate::Reject;

use lines::Lines;
use spill::{BUCKETS, Buckets, Spill};
use tables::Columns;

/// The tables that items become, in the order in which they are listed.
pub const TABLES: [Table; 7] = [
    Table::Users,
    Table::UserAliases,
    Table::Devices,
    Table::Sessions,
    Table::Postviews,
    Table::Orders,
    Table::OrderItems,
];

/// What the workspace says of items that they do not say themselves.
#[derive(Debug, Clone, Copy)]
pub struct Meaning {
    /// The currency of amounts that name none.
    pub currency: Currency,
    /// What amounts hold: major units, unless minor ones are said.
    pub units: Option<Units>,
    /// The clock: items created later are rejected.
    pub as_of: i64,
}

/// What was read, in lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    /// How many files.
    pub files: u64,
    /// Their lines, without blank ones.
    pub read: u64,
    /// The lines that were accepted.
    pub accepted: u64,
    /// The lines that were rejected, in the order of the files.
    pub rejects: Vec<Reject>,
    /// How many accepted rows were repaired.
    pub repaired: u64,
}

/// Items that were read and wait on disk to be merged.
pub struct Waiting {
    /// What was read.
    pub account: Account,
    buckets: Buckets,
    scratch: TempDir,
}

/// Tables that are written and not yet in their places.
pub struct Ingested {
    /// How many rows each table has now.
    pub rows: BTreeMap<Table, u64>,
    staged: Vec<Staged>,
}

impl Ingested {
    /// Makes every table appear.
    pub fn publish(self) -> Result<()> {
        Staged::commit_all(self.staged)
    }
}

/// Reads files of items, each line once, and spills their rows to a folder inside `scratch`.
///
/// `progress` is told how many lines have been read since it was last told. The path `-` is standard
/// input. Lines that break a rule are in the account, for the caller to
/// judge before anything is written.
///
/// # Errors
///
/// A file that cannot be read, or is damaged.
pub fn read(
    meaning: &Meaning,
    sources: &[Source],
    scratch: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Waiting> {
    let mut builder = tempfile::Builder::new();
    let made = builder.prefix(UNFINISHED).tempdir_in(scratch);
    let scratch = made.map_err(Error::io("write", scratch))?;
    stop::temporary(scratch.path());
    clear_left(scratch.path());
    let mut buckets = Buckets::new(scratch.path());
    let mut account = Account { files: sources.len() as u64, ..Account::default() };
    for source in sources {
        let mut lines = Lines::open(source)?;
        loop {
            stop::check()?;
            let chunk = lines.chunk()?;
            if chunk.is_empty() {
                break;
            }
            let accepted = accept::accept(meaning, &source.path, &chunk)?;
            account.read += chunk.len() as u64;
            account.accepted += accepted.lines;
            account.rejects.extend(accepted.rejects);
            account.repaired += accepted.repaired;
            accepted.rows.iter().try_for_each(|row| buckets.push(row))?;
            progress(chunk.len() as u64);
        }
        source.check_unchanged()?;
    }
    Ok(Waiting { account, buckets, scratch })
}

/// Merges what waits with the tables in `folder`, and stages the new tables there.
///
/// # Example
///
/// ```no_run
/// use std::path::Path;
/// use apportion::input;
/// use apportion::items::{self, Meaning};
/// use apportion::money::Currency;
/// use apportion::schema::Table;
///
/// let meaning = Meaning { currency: Currency::NONE, units: None, as_of: 1_735_689_600_000_000 };
/// let sources = input::find(Table::Items, &["items.ndjson".into()])?;
/// let waiting = items::read(&meaning, &sources, Path::new("."), &|_| ())?;
/// println!("{} of {} items rejected", waiting.account.rejects.len(), waiting.account.read);
/// items::merge(waiting, Path::new("tables"))?.publish()?;
/// # Ok::<(), apportion::Error>(())
/// ```
///
/// # Errors
///
/// A table that is there and was not written by an ingest; a folder that cannot be written to.
pub fn merge(waiting: Waiting, folder: &Path) -> Result<Ingested> {
    let Waiting { mut buckets, scratch, .. } = waiting;
    for table in TABLES {
        tables::read(folder, table, |row| buckets.push(&row))?;
    }
    let spill = |table: Table| Spill::new(scratch.path().join(table.name()));
    let mut written: BTreeMap<Table, (Columns, Spill)> = TABLES
        .into_iter()
        .map(|table| Ok((table, (Columns::default(), spill(table)?))))
        .collect::<Result<_>>()?;
    for bucket in 0..BUCKETS {
        stop::check()?;
        for row in tables::merged(buckets.take(bucket)?) {
            for row in tables::item_rows(&row).iter().chain([&row]) {
                if let Some((columns, rows)) = written.get_mut(&row.table) {
                    columns.see(row)?;
                    rows.push(row)?;
                }
            }
        }
    }
    fs::create_dir_all(folder).map_err(Error::io("write", folder))?;
    let mut ingested = Ingested { rows: BTreeMap::new(), staged: Vec::new() };
    for (table, (columns, rows)) in written {
        let staged = Staged::new(&tables::path(folder, table))?;
        ingested.rows.insert(table, rows.rows);
        tables::write(table, &columns, rows, staged.sink()?)?;
        ingested.staged.push(staged);
    }
    Ok(ingested)
}

/// The files of the tables in a folder.
pub fn files(folder: &Path) -> BTreeMap<Table, PathBuf> {
    TABLES.into_iter().map(|table| (table, tables::path(folder, table))).collect()
}
