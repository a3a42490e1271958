//! Columns whose values are listed once (dictionary arrays), and the same columns with a value in each row.
//!
//! Rows of credits come with their values listed, which Parquet takes as they are; every other format, and
//! whoever works on with the rows, takes them plain. Not for how codes are written; that is `coded`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;

/// A column with a value in each row.
pub(super) fn plain_column(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.as_dictionary_opt::<UInt32Type>() {
        Some(listed) => take(listed.values(), listed.keys(), None),
        None => Ok(Arc::clone(column)),
    }
}

/// The schema of rows with a value in each column.
pub(crate) fn plain_schema(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Dictionary(_, of) => {
            Arc::new(field.as_ref().clone().with_data_type((**of).clone()))
        }
        _ => Arc::clone(field),
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// Rows with a value in each column.
///
/// # Errors
///
/// More text than one column holds.
pub(crate) fn plain(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().map(plain_column).collect::<Result<_, _>>()?;
    RecordBatch::try_new(plain_schema(&rows.schema()), columns)
}
