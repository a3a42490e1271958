//! Rows on their way from buckets to the files of a run, in types that every engine knows: texts as plain
//! texts, and numbers with a sign.
//!
//! The schema that rows have at home goes with them, as text in the metadata of the one that they travel in.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Metadata, Schema, SchemaRef};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{PERSON, ROW, RowTable};
use crate::error::{Error, Result};

/// The key of the metadata that holds the schema at home.
const HOME: &str = "apportion.home";

/// Sends off rows of a table, batch by batch.
pub(super) struct Travelling<'a> {
    table: RowTable,
    before: i64,
    schema: Option<SchemaRef>,
    take: &'a mut dyn FnMut(RecordBatch) -> Result<()>,
}

impl<'a> Travelling<'a> {
    pub(super) fn new(table: RowTable, take: &'a mut dyn FnMut(RecordBatch) -> Result<()>) -> Self {
        Self { table, before: 0, schema: None, take }
    }

    /// Sends off some more rows, with where they belong.
    pub(super) fn take(&mut self, rows: &RecordBatch) -> Result<()> {
        let order = self.table.order();
        let persons = match rows.column_by_name(order) {
            Some(persons) => cast(persons, &DataType::Utf8)?,
            None => return Err(Error::Broken(format!("rows have no column `{order}`"))),
        };
        let count = i64::try_from(rows.num_rows()).unwrap_or(i64::MAX);
        let numbers: ArrayRef =
            Arc::new(Int64Array::from_iter_values(self.before..self.before + count));
        self.before += count;
        let schema = match &self.schema {
            Some(schema) => Arc::clone(schema),
            None => Arc::clone(self.schema.insert(Arc::new(travelling(&rows.schema())?))),
        };
        let types = schema.fields().iter().map(|field| field.data_type());
        let columns = rows.columns().iter().zip(types).map(|(column, to)| cast(column, to));
        let mut columns = columns.collect::<Result<Vec<_>, _>>()?;
        columns.extend([persons, numbers]);
        (self.take)(RecordBatch::try_new(schema, columns)?)
    }
}

/// The schema that rows travel in.
fn travelling(home: &SchemaRef) -> Result<Schema> {
    let mut bytes = Vec::new();
    StreamWriter::try_new(&mut bytes, home)?.finish()?;
    let fields = home.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
            DataType::Dictionary(_, values) if values.is_string() => DataType::Utf8,
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 | DataType::UInt64 => {
                DataType::Int64
            }
            other => other.clone(),
        };
        Field::new(field.name(), data_type, true)
    });
    let own = [Field::new(PERSON, DataType::Utf8, true), Field::new(ROW, DataType::Int64, true)];
    let fields: Vec<Field> = fields.chain(own).collect();
    let metadata = [(HOME.to_owned(), STANDARD.encode(bytes))];
    Ok(Schema::new_with_metadata(fields, metadata.into_iter().collect::<Metadata>()))
}

/// The schema at home of rows that travelled in another.
pub(super) fn home(schema: &Schema) -> Result<SchemaRef> {
    let lost = || {
        let why = format!("rows of buckets have lost the `{HOME}` of their schema");
        Error::Contradiction(why)
    };
    let text = schema.metadata().get(HOME).ok_or_else(lost)?;
    let bytes = STANDARD.decode(text).map_err(|_| lost())?;
    Ok(StreamReader::try_new(&bytes[..], None)?.schema())
}

/// Rows that have arrived, as they are at home.
pub(super) fn arrived(rows: &RecordBatch, home: &SchemaRef) -> Result<RecordBatch> {
    let columns = home.fields().iter().map(|field| match rows.column_by_name(field.name()) {
        Some(column) => Ok(cast(column, field.data_type())?),
        None => Err(Error::Contradiction(format!(
            "rows of buckets have lost their column `{}`",
            field.name()
        ))),
    });
    Ok(RecordBatch::try_new(Arc::clone(home), columns.collect::<Result<_>>()?)?)
}
