//! Rows laid out by what they say alone, whatever they were taken from: then the same rows are the same
//! bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, make_array};

use crate::error::Result;

/// The same rows, holding on to no memory of others: a few must not keep all that they were taken from.
///
/// Nor do they say of a column without nulls where its nulls are, because encoders go by that too, and it
/// would depend on the rows that they were taken from.
pub(crate) fn compact(rows: &RecordBatch) -> Result<RecordBatch> {
    let columns = rows.columns().iter().map(|column| {
        let column = match column.as_string_view_opt() {
            Some(texts) => Arc::new(texts.gc()) as ArrayRef,
            // What is not text was copied when it was taken.
            None => ArrayRef::clone(column),
        };
        if column.nulls().is_none() || column.null_count() > 0 {
            return Ok(column);
        }
        Ok(make_array(column.to_data().into_builder().nulls(None).build()?))
    });
    Ok(RecordBatch::try_new(rows.schema(), columns.collect::<Result<_>>()?)?)
}
