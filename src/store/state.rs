//! What a run knew of its input files: enough for the next to tell which have changed, and what of them.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The folder of a run that holds this.
pub(crate) const STATE_FOLDER: &str = "state";

/// The file that lists the input files.
const STATE_FILE: &str = "state/files.json";

/// What a run knew of its input files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    /// When they were looked at, in microseconds.
    pub(crate) looked_at: i64,
    /// The input files, in the order of tables and paths.
    pub(crate) files: Vec<FileState>,
}

/// What a run knew of an input file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileState {
    /// The table that it was given for.
    pub(crate) table: String,
    /// Where it was.
    pub(crate) path: String,
    /// The columns that its folders gave it, as text.
    pub(crate) folders: String,
    /// Its size.
    pub(crate) bytes: u64,
    /// When it was written, in microseconds.
    pub(crate) modified: Option<i64>,
    /// What it holds.
    pub(crate) checksum: String,
    /// Whether rows of it were rejected for being later than the run's clock: they may be accepted by a
    /// later one.
    pub(crate) has_future: bool,
    /// The file of its entries, named by what it holds, where its table is indexed.
    pub(crate) index: Option<String>,
}

impl State {
    /// Reads what a run knew.
    ///
    /// # Errors
    ///
    /// A run that knew nothing, or of which that is damaged.
    pub(crate) fn read(run: &Path) -> Result<Self> {
        let path = run.join(STATE_FILE);
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let damaged = |error| Error::Broken(format!("`{}` is damaged: {error}", path.display()));
        serde_json::from_str(&text).map_err(damaged)
    }

    /// The file's name, and what it is to hold.
    ///
    /// # Errors
    ///
    /// None but what JSON cannot say.
    pub(crate) fn file(&self) -> Result<(&'static str, String)> {
        let failed =
            |error: serde_json::Error| Error::Output { format: "json", why: error.to_string() };
        Ok((STATE_FILE, serde_json::to_string_pretty(self).map_err(failed)?))
    }
}

impl FileState {
    /// Whether two are of one file of one table.
    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        (&self.table, &self.path, &self.folders) == (&other.table, &other.path, &other.folders)
    }

    /// Whether the file need not be read to know that it is the same: its size and time are, and it was
    /// written well before it was looked at, so that a later write would show.
    pub(crate) fn is_surely(&self, now: &Self, looked_at: i64) -> bool {
        /// The coarsest clock of file systems ticks every two seconds.
        const TICK: i64 = 2_000_000;
        let settled = self.modified.is_some_and(|modified| modified < looked_at - TICK);
        settled && (self.bytes, self.modified) == (now.bytes, now.modified)
    }
}
