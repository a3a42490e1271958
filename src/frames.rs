//! The border between our columns and Polars: plain vectors in, plain vectors out.
//!
//! arrow-rs and Polars have different Arrow types. Only results cross, a few thousand rows, and the
//! columns that a filter's condition names, so they cross as vectors. Beside this file only the error type names Polars.

use polars::prelude::{Column, DataFrame, DataType, IntoLazy, NamedFrom, PolarsResult, Series};
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
    let kept = sql_expr(condition).and_then(|holds| frame.lazy().filter(holds).collect());
    Answer(kept.map_err(failed)?, "where").integers(row)
}

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

    fn failed(&self, source: polars::error::PolarsError) -> Error {
        Error::Query { name: self.1.to_owned(), source: Box::new(source) }
    }
}
