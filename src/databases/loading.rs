//! What a run wants loaded: rows that wait in files until its proof holds, and then the load.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use chrono::{Datelike, NaiveDate, Weekday};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use tempfile::NamedTempFile;

use super::columns::{Column, difference};
use super::statements::{self, FROM, TO};
use super::{
    Database, Engine, LoadTable, Replace, Rows, Session, Target, duckdb, postgres, sqlite,
};
use crate::calendar::{Span, parse_day};
use crate::error::{Error, Result};
use crate::input::Guarded;
use crate::journeys::Dimension;
use crate::kept::in_minor_units;
use crate::output::{self, Sink};
use crate::report::Report;

/// Rows of a run that are to be loaded, in files of their own until the proof holds.
pub struct Loading {
    target: Target,
    report: Option<NamedTempFile>,
    credits: Option<NamedTempFile>,
}

impl Loading {
    /// Begins to hold rows, so that a place that cannot be loaded is known before the work.
    ///
    /// # Errors
    ///
    /// A database that cannot be reached, or a file that is none.
    pub fn begin(target: &Target) -> Result<Self> {
        let database = &target.database;
        match database.engine {
            Engine::Postgres => postgres::check(database)?,
            Engine::Sqlite => sqlite::check(database)?,
            Engine::DuckDb => duckdb::check(database)?,
        }
        let file = |table: LoadTable| {
            let wanted = database.loads(table);
            let made = wanted.then(NamedTempFile::new).transpose();
            made.map_err(|error| Error::io("write", &std::env::temp_dir())(error))
        };
        let (report, credits) = (file(LoadTable::Report)?, file(LoadTable::Credits)?);
        Ok(Self { target: target.clone(), report, credits })
    }

    /// Where credits are written to, in the format of the same name, where they are to be loaded.
    pub fn credits(&self) -> Result<Option<(Sink, &'static output::Format)>> {
        let Some(file) = &self.credits else { return Ok(None) };
        Ok(Some((sink(file)?, output::format("parquet")?)))
    }

    /// Takes the report; the run can be loaded then, once its credits are written.
    ///
    /// # Errors
    ///
    /// A report that cannot be held, or with a dimension that is named like a column of the table.
    pub fn finish(self, report: &Report) -> Result<Load> {
        if let Some(file) = &self.report {
            let rows = dated(report, self.target.days)?;
            output::write(output::format("parquet")?, sink(file)?, &rows)?;
        }
        let Self { target, report, credits } = self;
        Ok(Load { target, report, credits })
    }
}

/// A run that can be loaded.
pub struct Load {
    target: Target,
    report: Option<NamedTempFile>,
    credits: Option<NamedTempFile>,
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The database, without a password.
    pub database: String,
    /// Each table.
    pub tables: Vec<LoadedTable>,
}

/// What was loaded into one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedTable {
    /// Its name.
    pub name: String,
    /// The rows that were loaded.
    pub rows: u64,
    /// The rows that they replaced.
    pub replaced: u64,
}

impl Load {
    /// Loads everything, or nothing.
    ///
    /// # Errors
    ///
    /// A database that cannot be reached or does not take the rows; a table with other columns; rows
    /// of the report whose days the run covers in part.
    pub fn load(self) -> Result<Loaded> {
        let database = &self.target.database;
        let mut session: Box<dyn Session> = match database.engine {
            Engine::Postgres => Box::new(postgres::Server::begin(database)?),
            Engine::Sqlite => Box::new(sqlite::SqliteFile::begin(database)?),
            Engine::DuckDb => Box::new(duckdb::Script::begin(database)?),
        };
        let files = [(LoadTable::Report, &self.report), (LoadTable::Credits, &self.credits)];
        let mut tables = Vec::new();
        for (table, file) in files {
            if let Some(file) = file {
                tables.push(load_table(&mut *session, &self.target, table, file.path())?);
            }
        }
        session.commit()?;
        Ok(Loaded { database: database.to_string(), tables })
    }
}

fn load_table(
    session: &mut dyn Session,
    target: &Target,
    of: LoadTable,
    path: &Path,
) -> Result<LoadedTable> {
    let database = &target.database;
    let called = database.table(of);
    let table = match &database.schema {
        Some(schema) => format!("{}.{}", statements::name(schema), statements::name(&called)),
        None => statements::name(&called),
    };
    let mut loaded = LoadedTable { name: called.clone(), rows: 0, replaced: 0 };
    let there = columns_there(session, database, &called)?;
    let schema = schema_of(path)?;
    let prepare = |rows: RecordBatch| prepared(rows, database.engine);
    let columns = match &schema {
        Some(schema) => {
            let empty = prepare(RecordBatch::new_empty(SchemaRef::clone(schema)))?;
            Column::all(&empty.schema(), database.engine)
        }
        None => Vec::new(),
    };
    if there.is_empty() {
        // A run without a single order has no credits, and they no columns.
        if columns.is_empty() {
            return Ok(loaded);
        }
        for statement in statements::create(&table, target, of, &columns) {
            session.execute(&statement)?;
        }
    } else {
        if let Some(difference) = difference(&columns, &there).filter(|_| !columns.is_empty()) {
            return Err(other_columns(database, &called, &difference));
        }
        if of == LoadTable::Report && database.replace == Replace::Period {
            refuse_overlap(session, target, &table)?;
        }
        let replaced = statements::replaced(target, of);
        let counted =
            session.query(&format!("select count(*) as n from {table} where {replaced}"))?;
        let counted = counted.first().and_then(|row| row.first()?.as_ref()?.parse().ok());
        loaded.replaced = counted.unwrap_or_default();
        session.execute(&format!("delete from {table} where {replaced}"))?;
    }
    if !columns.is_empty() {
        session.insert(&table, &columns, &Rows { path, prepare: &prepare })?;
        loaded.rows = rows_of(path)?;
    }
    Ok(loaded)
}

/// The columns of a table with their types; none where there is no table.
fn columns_there(
    session: &mut dyn Session,
    database: &Database,
    called: &str,
) -> Result<Vec<(String, String)>> {
    let sql = match database.engine {
        Engine::Postgres => postgres::columns(database.schema.as_deref(), called),
        Engine::Sqlite => sqlite::columns(called),
        Engine::DuckDb => duckdb::columns(database.schema.as_deref(), called),
    };
    let rows = session.query(&sql)?.into_iter().map(|row| {
        let mut cells = row.into_iter().flatten();
        (cells.next().unwrap_or_default(), cells.next().unwrap_or_default())
    });
    Ok(rows.collect())
}

fn other_columns(database: &Database, called: &str, difference: &str) -> Error {
    Error::Database {
        database: database.to_string(),
        why: format!("the table `{called}` has other columns than this run: {difference}"),
        hint: Some(
            "`?prefix=NAME_` at the end of the place loads tables of other names; or rename or drop that one"
                .to_owned(),
        ),
    }
}

/// An error if the table holds rows that the run covers in part: their days would be counted twice.
fn refuse_overlap(session: &mut dyn Session, target: &Target, table: &str) -> Result<()> {
    let covered = statements::covered_in_part(target);
    let rows = session.query(&format!(
        "select distinct {FROM}, {TO} from {table} where {covered} order by {FROM}, {TO} limit 1"
    ))?;
    let Some(row) = rows.into_iter().next() else { return Ok(()) };
    let text = |day: Option<String>, open: &str| day.unwrap_or_else(|| open.to_owned());
    let mut days = row.into_iter();
    let there = (days.next().flatten(), days.next().flatten());
    let there = format!("{} to {}", text(there.0, "the first day"), text(there.1, "the last"));
    let (from, to) = target.days;
    let days = |day: Option<NaiveDate>| day.map(|day| day.to_string());
    let run = format!("{} to {}", text(days(from), "the first day"), text(days(to), "the last"));
    Err(Error::Database {
        database: target.database.to_string(),
        why: format!(
            "{table} has rows of {there}, of which this run, {run}, covers a part: neither can they be replaced, nor stand beside its own"
        ),
        hint: Some(
            "report whole periods, or by `day` (then each row is of one); `?replace=all` replaces whatever is there"
                .to_owned(),
        ),
    })
}

fn sink(file: &NamedTempFile) -> Result<Sink> {
    Ok(Box::new(file.reopen().map_err(Error::io("write", file.path()))?))
}

/// The report with the days that each of its rows covers: those of the run, or the part of them that
/// its own day, week or month is. A side that is open is missing.
fn dated(
    report: &Report,
    (from, to): (Option<NaiveDate>, Option<NaiveDate>),
) -> Result<RecordBatch> {
    let rows = report.long()?;
    let spans: Vec<(Span, StringArray)> = report
        .by
        .iter()
        .filter_map(|dimension| match dimension {
            Dimension::Span(span) => Some((*span, rows.column_by_name(&dimension.to_string())?)),
            _ => None,
        })
        .map(|(span, column)| Ok((span, cast(column, &DataType::Utf8)?.as_string::<i32>().clone())))
        .collect::<Result<_>>()?;
    let days = (0..rows.num_rows()).map(|row| {
        spans.iter().fold((from, to), |(from, to), (span, labels)| {
            match days_of(*span, labels.value(row)) {
                Some((first, last)) => (
                    Some(from.map_or(first, |from| from.max(first))),
                    Some(to.map_or(last, |to| to.min(last))),
                ),
                None => (from, to),
            }
        })
    });
    let (from, to): (Vec<_>, Vec<_>) = days.unzip();
    let column = |days: Vec<Option<NaiveDate>>| -> ArrayRef {
        let since = |day: NaiveDate| day.num_days_from_ce() - UNIX_EPOCH_FROM_CE;
        Arc::new(days.into_iter().map(|day| day.map(since)).collect::<Date32Array>())
    };
    let mut columns = vec![(FROM.to_owned(), column(from)), (TO.to_owned(), column(to))];
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if [FROM, TO].contains(&field.name().as_str()) {
            return Err(Error::Contradiction(format!(
                "`{}` is a dimension, and the database's column for the days that a row covers; `--column` gives yours another name",
                field.name()
            )));
        }
        columns.push((field.name().clone(), ArrayRef::clone(column)));
    }
    Ok(RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )?)
}

/// Days from the first of the year 1 to that of 1970.
const UNIX_EPOCH_FROM_CE: i32 = 719_163;

/// The first and the last day of a day, week or month, as a report labels it.
fn days_of(span: Span, label: &str) -> Option<(NaiveDate, NaiveDate)> {
    match span {
        Span::Day => parse_day(label).map(|day| (day, day)),
        Span::Week => {
            let (year, week) = label.split_once("-W")?;
            let (year, week) = (year.parse().ok()?, week.parse().ok()?);
            let day = |weekday| NaiveDate::from_isoywd_opt(year, week, weekday);
            Some((day(Weekday::Mon)?, day(Weekday::Sun)?))
        }
        Span::Month => {
            let first = parse_day(&format!("{label}-01"))?;
            let next = first.checked_add_months(chrono::Months::new(1))?;
            Some((first, next.pred_opt()?))
        }
    }
}

/// Rows as an engine holds them: SQLite has no decimals, so amounts are whole minor units there.
fn prepared(rows: RecordBatch, engine: Engine) -> Result<RecordBatch> {
    if engine != Engine::Sqlite {
        return Ok(rows);
    }
    let schema = rows.schema();
    let amounts = schema.fields().iter().filter(|field| field.data_type().is_decimal());
    let amounts: Vec<&str> = amounts.map(|field| field.name().as_str()).collect();
    in_minor_units(&rows, &amounts, "currency")
}

/// The columns of a file of rows; none where nothing was written.
fn schema_of(path: &Path) -> Result<Option<SchemaRef>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    if file.metadata().map_err(Error::io("read", path))?.len() == 0 {
        return Ok(None);
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(ArrowError::from)?;
    Ok(Some(SchemaRef::clone(reader.schema())))
}

fn rows_of(path: &Path) -> Result<u64> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(ArrowError::from)?;
    Ok(u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default())
}

/// The rows of a file, some at a time.
pub(super) fn read(path: &Path) -> Result<impl Iterator<Item = Result<RecordBatch>>> {
    let file = File::open(path).map_err(Error::io("read", path))?;
    let damaged = |error: ArrowError| damaged(path, error.into());
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(ArrowError::from);
    let reader = reader.and_then(|reader| Ok(reader.with_batch_size(8192).build()?));
    let reader = Guarded::new(reader.map_err(damaged)?);
    Ok(reader.map(move |rows| rows.map_err(damaged)))
}

/// Rows that waited, and are not what was written.
fn damaged(path: &Path, source: ParquetError) -> Error {
    Error::NotParquet {
        table: "temporary",
        path: path.to_path_buf(),
        why: "it is damaged, or not what the run wrote".to_owned(),
        source: Some(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_wait_and_are_damaged_are_an_error_that_names_their_file() {
        let file = NamedTempFile::new().unwrap();
        let texts = (0..900).map(|row| (row % 7 > 0).then(|| format!("text {}", row / 9)));
        let texts: StringArray = texts.collect();
        let rows =
            RecordBatch::try_from_iter_with_nullable([("channel", Arc::new(texts) as _, true)]);
        output::write(output::format("parquet").unwrap(), sink(&file).unwrap(), &rows.unwrap())
            .unwrap();
        let whole = std::fs::read(file.path()).unwrap();
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            std::fs::write(file.path(), damaged).unwrap();
            let rows = read(file.path()).and_then(Iterator::collect::<Result<Vec<RecordBatch>>>);
            if let Err(error) = rows {
                let name = file.path().display().to_string();
                assert!(error.to_string().contains(&name), "{error}");
                refused += 1;
            }
        }
        assert!(refused > 50, "only {refused} of {} were noticed", whole.len());
    }

    #[test]
    fn a_label_of_time_says_its_days() {
        let days = |span, label: &str| {
            let (first, last) = days_of(span, label).unwrap();
            format!("{first} {last}")
        };
        assert_eq!(days(Span::Day, "2024-02-29"), "2024-02-29 2024-02-29");
        assert_eq!(days(Span::Month, "2024-02"), "2024-02-01 2024-02-29");
        assert_eq!(days(Span::Week, "2020-W53"), "2020-12-28 2021-01-03");
        assert_eq!(days_of(Span::Month, "(not set)"), None);
    }
}
