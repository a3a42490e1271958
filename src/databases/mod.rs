//! Loads a run into a database: its report and its credits, in one transaction.
//!
//! [`Database`] is a place as it is written (`postgres://…`, `sqlite:PATH`, `duckdb:PATH`), [`Loading`]
//! holds what a run wants loaded until its proof holds, and [`Load`] loads it. A run replaces what an
//! earlier one loaded of the same models and days, so that a second run changes nothing, and a failure
//! leaves what was there. A new database is one file here and one line in [`Engine`]. Not for files,
//! nor for what is in a table: that is `output` and `report`.

mod columns;
mod duckdb;
mod loading;
mod place;
mod postgres;
mod sqlite;
mod statements;

pub use loading::{Load, Loaded, LoadedTable, Loading};
pub use place::{Database, Replace, Target};
pub(crate) use place::{beside, names_database};

use std::path::Path;

use arrow::array::RecordBatch;

use self::columns::Column;
use crate::error::{Error, Result};

/// What kind of database a place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// A PostgreSQL server, or one that speaks its protocol.
    Postgres,
    /// An SQLite file.
    Sqlite,
    /// A DuckDB file.
    DuckDb,
}

/// A table that a run loads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoadTable {
    /// The report.
    Report,
    /// The credits.
    Credits,
}

impl LoadTable {
    /// Both, in the order in which they are loaded.
    pub const ALL: [Self; 2] = [Self::Report, Self::Credits];

    /// Its name, after the prefix of the place.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Credits => "credits",
        }
    }
}

/// A transaction in a database; dropped without a commit, it has changed nothing.
trait Session {
    /// The rows of a query, each cell as text. What was executed before may not be seen yet.
    fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>>;
    /// Does a statement, now or at the latest with the commit.
    fn execute(&mut self, sql: &str) -> Result<()>;
    /// Adds rows to a table, by its name in SQL.
    fn insert(&mut self, table: &str, columns: &[Column], rows: &Rows<'_>) -> Result<()>;
    /// Makes all of it last.
    fn commit(self: Box<Self>) -> Result<()>;
}

/// Rows that wait in a Parquet file.
struct Rows<'a> {
    path: &'a Path,
    /// What makes of them what the database holds.
    prepare: &'a dyn Fn(RecordBatch) -> Result<RecordBatch>,
}

impl Rows<'_> {
    /// Hands over the rows, some at a time.
    fn each(&self, mut take: impl FnMut(&RecordBatch) -> Result<()>) -> Result<()> {
        for rows in loading::read(self.path)? {
            take(&(self.prepare)(rows?)?)?;
        }
        Ok(())
    }
}

/// An error of a database.
fn failed(database: &Database, why: impl Into<String>) -> Error {
    Error::Database { database: database.to_string(), why: why.into(), hint: None }
}
