//! What a run reads: the tables that are given, and those that JSON items become.
//!
//! Not for reading a table; that is `input`.

use std::collections::BTreeMap;
use std::path::Path;
use std::{env, mem};

use tempfile::TempDir;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::input::{self, Input};
use crate::items::{self, Account};
use crate::pipeline::Progress;
use crate::schema::Table;
use crate::stop;
use crate::validate::Reject;

/// The files of every table.
pub struct Inputs {
    /// What is given for each table that there is.
    pub paths: BTreeMap<Table, Vec<Input>>,
    /// The items, where some are given.
    pub items: Option<Unpacked>,
}

/// JSON items as tables, in a folder that is gone with this.
pub struct Unpacked {
    /// What was read.
    pub account: Account,
    folder: TempDir,
    rows: BTreeMap<Table, u64>,
}

impl Inputs {
    /// Finds what is given. Items are read and become tables.
    ///
    /// # Errors
    ///
    /// Items that cannot be read.
    pub fn gather(config: &Config, progress: &dyn Progress) -> Result<Self> {
        let mut paths = config.inputs.clone();
        let Some(patterns) = paths.remove(&Table::Items) else {
            return Ok(Self { paths, items: None });
        };
        let sources = input::find(Table::Items, &patterns)?;
        let folder = tempfile::tempdir().map_err(Error::io("write", &env::temp_dir()))?;
        stop::temporary(folder.path());
        progress.stage("reading items");
        let told = |rows| progress.rows(rows);
        let mut waiting = items::read(&config.meaning(), &sources, folder.path(), &told)?;
        let mut account = mem::take(&mut waiting.account);
        if let Some(pseudonyms) = &config.pseudonyms {
            let rejects = mem::take(&mut account.rejects).into_iter();
            account.rejects = rejects.map(|reject| reject.hashed(pseudonyms)).collect();
        }
        progress.stage("merging items");
        let unpacked = items::merge(waiting, folder.path())?;
        let rows = unpacked.rows.clone();
        unpacked.publish()?;
        for (table, path) in items::files(folder.path()) {
            // A run asks for these, with or without rows.
            let asked_for = matches!(table, Table::Sessions | Table::Orders | Table::OrderItems);
            if asked_for || rows.get(&table).is_some_and(|rows| *rows > 0) {
                let path = path.to_string_lossy().into_owned();
                paths.entry(table).or_default().push(path.into());
            }
        }
        Ok(Self { paths, items: Some(Unpacked { account, folder, rows }) })
    }

    /// Whether a file is a table that items became.
    pub fn is_unpacked(&self, path: &Path) -> bool {
        self.items.as_ref().is_some_and(|items| path.starts_with(items.folder.path()))
    }

    /// The rejected lines.
    pub fn rejects(&self) -> &[Reject] {
        self.items.as_ref().map_or(&[], |items| &items.account.rejects)
    }

    /// How many rows were read, of `rows` in the files of all tables: an item is the line that it
    /// came as, not the rows that it became.
    pub fn rows_read(&self, rows: u64) -> u64 {
        let Some(items) = &self.items else { return rows };
        let read = items.rows.iter().filter(|(table, _)| self.paths.contains_key(table));
        rows + items.account.read - read.map(|(_, rows)| rows).sum::<u64>()
    }
}
