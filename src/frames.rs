//! The border between our columns and Polars.
//!
//! arrow-rs and Polars have different Arrow types. What the report derives and what a filter looks at
//! crosses as plain vectors, because it is a few columns of known types. Tables that a user's query asks
//! of cross as Arrow streams in memory, which both understand, whatever their types. Beside this
//! file only the error type names Polars.

use std::io::Cursor;
use std::panic;
use std::thread::{self, ScopedJoinHandle};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use polars::error::PolarsError;
use polars::prelude::{
    Column, DataFrame, DataType, IntoLazy, IpcStreamReader, IpcStreamWriter, NamedFrom,
    PolarsResult, SerReader, SerWriter, Series,
};
use polars::sql::{SQLContext, sql_expr};

use crate::error::{Error, Result};

/// A column on its way into a query.
pub(crate) enum Values {
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Whole numbers, some missing.
    SomeIntegers(Vec<Option<i64>>),
    /// Numbers.
    Floats(Vec<f64>),
    /// Numbers, some missing.
    SomeFloats(Vec<Option<f64>>),
    /// Text.
    Texts(Vec<String>),
    /// Text, some missing.
    SomeTexts(Vec<Option<String>>),
    /// True or false.
    Flags(Vec<bool>),
    /// True or false, some missing.
    SomeFlags(Vec<Option<bool>>),
}

/// A table on its way into a query.
pub(crate) type Frame<'a> = Vec<(&'a str, Values)>;

/// What a query answered.
pub(crate) struct Answer(DataFrame, &'static str);

/// Runs a query over tables.
pub(crate) fn query(
    name: &'static str,
    sql: &str,
    tables: Vec<(&'static str, Frame<'_>)>,
) -> Result<Answer> {
    let failed = |source| Error::Query { name: name.to_owned(), source: Box::new(source) };
    let mut context = SQLContext::new();
    for (table, frame) in tables {
        context.register(table, data_frame(frame).map_err(failed)?.lazy());
    }
    let answer = context.execute(sql).and_then(|lazy| lazy.collect()).map_err(failed)?;
    Ok(Answer(answer, name))
}

/// What is wrong with a query.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// It names a column that is not there.
    Column(String),
    /// It names a table that is not there.
    Relation(String),
    /// Whatever else the SQL layer says.
    Other(String),
}

impl Wrong {
    fn new(error: &PolarsError) -> Self {
        let said = error.to_string();
        let first = said.lines().next().unwrap_or_default().to_owned();
        let quoted = || first.split(['"', '\'', '`']).nth(1).map(str::to_owned);
        let relation = first.starts_with("relation ");
        match error {
            PolarsError::ColumnNotFound(_) => quoted().map_or(Self::Other(first), Self::Column),
            PolarsError::SQLInterface(_) if relation => {
                quoted().map_or(Self::Other(first), Self::Relation)
            }
            _ => Self::Other(first),
        }
    }

    fn other(why: &dyn std::fmt::Display) -> Self {
        Self::Other(why.to_string())
    }
}

/// Answers a query over tables, whatever the types of their columns.
pub(crate) fn ask(
    sql: &str,
    tables: &[(&str, RecordBatch)],
) -> std::result::Result<RecordBatch, Wrong> {
    let mut context = SQLContext::new();
    for (name, rows) in tables {
        context.register(name, taken_in(rows)?.lazy());
    }
    let answer = context.execute(sql).and_then(|lazy| lazy.collect());
    handed_out(answer.map_err(|error| Wrong::new(&error))?)
}

fn taken_in(rows: &RecordBatch) -> std::result::Result<DataFrame, Wrong> {
    let mut stream = Vec::new();
    let written = StreamWriter::try_new(&mut stream, &rows.schema()).and_then(|mut writer| {
        writer.write(rows)?;
        writer.finish()
    });
    written.map_err(|error| Wrong::other(&error))?;
    IpcStreamReader::new(Cursor::new(stream)).finish().map_err(|error| Wrong::new(&error))
}

fn handed_out(mut answer: DataFrame) -> std::result::Result<RecordBatch, Wrong> {
    let mut stream = Vec::new();
    let written = IpcStreamWriter::new(&mut stream).finish(&mut answer);
    written.map_err(|error| Wrong::new(&error))?;
    let reader = StreamReader::try_new(Cursor::new(stream), None);
    let reader = reader.map_err(|error| Wrong::other(&error))?;
    let schema = reader.schema();
    let batches: std::result::Result<Vec<RecordBatch>, _> = reader.collect();
    let rows = batches.and_then(|batches| concat_batches(&schema, &batches));
    rows.map_err(|error| Wrong::other(&error))
}

/// The rows of a table for which a condition holds, as the values of its column `row`.
///
/// The condition is parsed as one SQL expression and nothing else, so that it cannot become another
/// query.
pub(crate) fn rows_where(
    condition: &str,
    frame: Frame<'_>,
    row: &'static str,
) -> Result<Vec<Option<i64>>> {
    let failed = |source| Error::Query { name: "where".to_owned(), source: Box::new(source) };
    let frame = data_frame(frame).map_err(failed)?;
    let kept = || sql_expr(condition).and_then(|holds| frame.lazy().filter(holds).collect());
    // A chain of `or` is a tree as deep as it is long, and every level takes some of the stack.
    let kept = thread::scope(|scope| {
        let spawned = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, kept);
        spawned.map(ScopedJoinHandle::join)
    });
    let kept =
        match kept.map_err(|error| Error::Broken(format!("no thread can be begun: {error}")))? {
            Ok(kept) => kept,
            Err(panicked) => panic::resume_unwind(panicked),
        };
    Answer(kept.map_err(failed)?, "where").integers(row)
}

/// Room for a condition of as many parts as are taken, in a build without optimisation too.
const STACK_BYTES: usize = 256 << 20;

fn data_frame(frame: Frame<'_>) -> PolarsResult<DataFrame> {
    DataFrame::new_infer_height(
        frame.into_iter().map(|(name, values)| column(name, values)).collect(),
    )
}

fn column(name: &str, values: Values) -> Column {
    let name = name.into();
    Column::from(match values {
        Values::Integers(values) => Series::new(name, values),
        Values::SomeIntegers(values) => Series::new(name, values),
        Values::Floats(values) => Series::new(name, values),
        Values::SomeFloats(values) => Series::new(name, values),
        Values::SomeTexts(values) => Series::new(name, values),
        Values::SomeFlags(values) => Series::new(name, values),
        Values::Texts(values) => Series::new(name, values),
        Values::Flags(values) => Series::new(name, values),
    })
}

impl Answer {
    /// A column of whole numbers.
    pub(crate) fn integers(&self, column: &str) -> Result<Vec<Option<i64>>> {
        let series = self.column(column, &DataType::Int64)?;
        Ok(series.i64().map_err(|source| self.failed(source))?.iter().collect())
    }

    /// A column of numbers; what is not finite is missing, and zero has no sign.
    pub(crate) fn floats(&self, column: &str) -> Result<Vec<Option<f64>>> {
        let series = self.column(column, &DataType::Float64)?;
        let floats = series.f64().map_err(|source| self.failed(source))?.iter();
        Ok(floats
            .map(|value| value.filter(|value| value.is_finite()).map(|value| value + 0.0))
            .collect())
    }

    fn column(&self, name: &str, kind: &DataType) -> Result<Series> {
        let cast = self.0.column(name).and_then(|column| column.cast(kind));
        Ok(cast.map_err(|source| self.failed(source))?.take_materialized_series())
    }

    fn failed(&self, source: PolarsError) -> Error {
        Error::Query { name: self.1.to_owned(), source: Box::new(source) }
    }
}
