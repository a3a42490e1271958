//! The canonical tables on disk: read back as rows with their times, and written from merged rows.
//!
//! A table that an ingest wrote says so, and names in `_times` the time of each field that is not
//! as old as its row. The same rows are the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{
    DataType, Decimal128Type, Field, Float64Type, Int64Type, Metadata, Schema, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::accept::sort_items;
use super::narrow::{self, Narrow};
use super::row::{Cell, Item, Name, Row, Value};
use super::spill::Spill;
use crate::calendar::format_instant;
use crate::error::{Error, Result};
use crate::input::Guarded;
use crate::merge::{Holds, holds};
use crate::output::{self, Sink};
use crate::schema::{FIELD_TIMES, INGESTED, ITEM_USER, ITEMS_AT, Kind, MAJOR, Table};

/// Digits of an amount, and how many of them are decimals.
pub(super) const MONEY_DIGITS: u8 = 38;
pub(super) const MONEY_DECIMALS: i8 = 18;

/// The version of the form that tables have.
const FORM: &str = "1";

/// Rows that are written at a time: always as many, because pages end with them.
const BATCH_ROWS: usize = 8 * 1024;

/// Columns that a table may have. Keys that are ids by mistake would make one of every id.
pub(super) const MOST_COLUMNS: usize = 1_000;

/// The type of amounts.
pub(super) fn money() -> DataType {
    DataType::Decimal128(MONEY_DIGITS, MONEY_DECIMALS)
}

fn times_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The file of a table in a folder of tables.
pub(super) fn path(folder: &Path, table: Table) -> PathBuf {
    let name = if table == Table::UserAliases { "user_aliases" } else { table.name() };
    folder.join(format!("{name}.parquet"))
}

/// An error of a table that would have more columns than [`MOST_COLUMNS`].
pub(super) fn too_many_columns(table: Table, name: &str) -> Error {
    Error::Contradiction(format!(
        "{table} would have more than {MOST_COLUMNS} columns, `{name}` among them; are ids used as keys?"
    ))
}

/// What is known of a table's columns, once all of its rows are.
#[derive(Default)]
pub(super) struct Columns(BTreeMap<Name, Seen>);

struct Seen {
    /// The type of a column that apportion does not know.
    narrow: Narrow,
    /// Whether some field has a time of its own.
    times: bool,
}

impl Columns {
    /// Takes note of a merged row.
    pub(super) fn see(&mut self, row: &Row) -> Result<()> {
        let at = row.at();
        for (name, cell) in &row.cells {
            if !self.0.contains_key(name) {
                if self.0.len() == MOST_COLUMNS {
                    return Err(too_many_columns(row.table, name));
                }
                let seen = Seen { narrow: Narrow::default(), times: false };
                self.0.insert(Name::clone(name), seen);
            }
            let Some(seen) = self.0.get_mut(name) else { continue };
            if let Some(Value::Text(text)) = &cell.value
                && row.table.kind_of(name) == Kind::Any
            {
                seen.narrow.see(text);
            }
            seen.times |= own_time(name, cell, at).is_some();
        }
        Ok(())
    }

    /// The table's columns: the known ones in their order, then the others by name.
    fn layout(&self, table: Table) -> Vec<(Name, DataType)> {
        let known = table
            .columns()
            .iter()
            .filter(|column| column.required || self.0.contains_key(column.name))
            .map(|column| (Name::from(column.name), data_type(column.kind)));
        let others = self.0.iter().filter(|(name, _)| table.column(name).is_none());
        let others = others.map(|(name, seen)| {
            let data_type = match table.kind_of(name) {
                Kind::Any => seen.narrow.data_type(),
                kind => data_type(kind),
            };
            (Name::clone(name), data_type)
        });
        known.chain(others).collect()
    }

    /// The columns of which some field has a time of its own.
    fn with_times(&self) -> Vec<Name> {
        let timed = self.0.iter().filter(|(_, seen)| seen.times);
        timed.map(|(name, _)| Name::clone(name)).collect()
    }
}

fn data_type(kind: Kind) -> DataType {
    match kind {
        Kind::Time | Kind::Day => times_type(),
        Kind::Flag => DataType::Boolean,
        Kind::Number => DataType::Float64,
        Kind::Money => money(),
        Kind::Id | Kind::Text | Kind::Texts | Kind::Any => DataType::Utf8,
    }
}

/// The time of a field where it is not that of its row, or where the field was cleared.
///
/// Where the least, the greatest or any value holds, times say nothing.
fn own_time(name: &str, cell: &Cell, row: i64) -> Option<i64> {
    let timed = holds(name) == Holds::Latest && name != ITEMS_AT;
    (timed && (cell.at != row || cell.value.is_none())).then_some(cell.at)
}

/// Writes a table from its merged rows.
pub(super) fn write(table: Table, columns: &Columns, rows: Spill, sink: Sink) -> Result<()> {
    let layout = columns.layout(table);
    let with_times = columns.with_times();
    let schema = schema(&layout, &with_times);
    let mut writer = (output::format("parquet")?.begin)(sink, &schema)?;
    let mut rows = rows.read()?;
    let mut batch = Vec::with_capacity(BATCH_ROWS);
    loop {
        let row = rows.next()?;
        let end = row.is_none();
        batch.extend(row);
        if batch.len() == BATCH_ROWS || (end && !batch.is_empty()) {
            writer.write(&arrays(&schema, &layout, &with_times, &batch)?)?;
            batch.clear();
        }
        if end {
            return writer.finish();
        }
    }
}

fn schema(layout: &[(Name, DataType)], with_times: &[Name]) -> SchemaRef {
    let mut fields: Vec<Field> = layout
        .iter()
        .map(|(name, data_type)| {
            let field = Field::new(&**name, data_type.clone(), true);
            // Whoever takes a number for an amount is to know that it has major units.
            if data_type.is_numeric() {
                let major = [(MAJOR.to_owned(), "true".to_owned())];
                field.with_metadata(major.into_iter().collect::<Metadata>())
            } else {
                field
            }
        })
        .collect();
    if !with_times.is_empty() {
        let times = with_times.iter().map(|name| Field::new(&**name, times_type(), true));
        let times = DataType::Struct(times.collect::<Vec<_>>().into());
        fields.push(Field::new(FIELD_TIMES, times, false));
    }
    let written: Metadata = [(INGESTED.to_owned(), FORM.to_owned())].into_iter().collect();
    Arc::new(Schema::new_with_metadata(fields, written))
}

fn arrays(
    schema: &SchemaRef,
    layout: &[(Name, DataType)],
    with_times: &[Name],
    rows: &[Row],
) -> Result<RecordBatch> {
    let mut arrays: Vec<ArrayRef> =
        layout.iter().map(|(name, data_type)| array(name, data_type, rows)).collect();
    if !with_times.is_empty() {
        let at: Vec<i64> = rows.iter().map(Row::at).collect();
        let times = with_times.iter().map(|name| {
            let time = |(row, at): (&Row, &i64)| own_time(name, row.cells.get(name)?, *at);
            let times: TimestampMicrosecondArray = rows.iter().zip(&at).map(time).collect();
            let field = Arc::new(Field::new(&**name, times_type(), true));
            (field, Arc::new(times.with_timezone("UTC")) as ArrayRef)
        });
        arrays.push(Arc::new(StructArray::from(times.collect::<Vec<_>>())));
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), arrays)?)
}

fn array(name: &str, data_type: &DataType, rows: &[Row]) -> ArrayRef {
    let cells = || rows.iter().map(|row| row.cells.get(name));
    let values = || cells().map(|cell| cell.and_then(|cell| cell.value.as_ref()));
    let texts = || {
        values().map(|value| match value {
            Some(Value::Text(text)) => Some(text.as_str()),
            _ => None,
        })
    };
    match data_type {
        DataType::Boolean => Arc::new(
            values()
                .map(|value| match value {
                    Some(Value::Flag(flag)) => Some(*flag),
                    Some(Value::Text(text)) => narrow::as_flag(text),
                    _ => None,
                })
                .collect::<BooleanArray>(),
        ),
        DataType::Int64 => {
            Arc::new(texts().map(|text| narrow::as_integer(text?)).collect::<Int64Array>())
        }
        DataType::Float64 => Arc::new(
            values()
                .map(|value| match value {
                    Some(Value::Number(number)) => Some(*number),
                    Some(Value::Text(text)) => narrow::as_number(text),
                    _ => None,
                })
                .collect::<Float64Array>(),
        ),
        DataType::Decimal128(..) => {
            let amounts = values().map(|value| match value {
                Some(Value::Money(amount)) => Some(*amount),
                _ => None,
            });
            Arc::new(amounts.collect::<Decimal128Array>().with_data_type(money()))
        }
        DataType::Timestamp(..) => {
            let times = cells().map(|cell| match (&cell?.value, cell?.at) {
                (Some(Value::Time(at)), _) => Some(*at),
                (Some(Value::Items(_)), at) => Some(at),
                (Some(Value::Text(text)), _) => narrow::as_time(text),
                _ => None,
            });
            Arc::new(times.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        _ => Arc::new(texts().collect::<StringArray>()),
    }
}

/// Reads a table that an ingest wrote, row by row; nothing where there is none.
///
/// # Errors
///
/// A table that something else wrote: merging it would replace a file that is somebody's own.
pub(super) fn read(
    folder: &Path,
    table: Table,
    mut each: impl FnMut(Row) -> Result<()>,
) -> Result<()> {
    let path = path(folder, table);
    if !path.exists() {
        return Ok(());
    }
    let not_parquet = |why: &str, source| Error::NotParquet {
        table: table.name(),
        path: path.clone(),
        why: why.to_owned(),
        source,
    };
    let file = File::open(&path).map_err(Error::io("read", &path))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|source| not_parquet("it is something else, or was cut off", Some(source)))?;
    if reader.schema().metadata().get(INGESTED).map(String::as_str) != Some(FORM) {
        return Err(Error::Contradiction(format!(
            "`{}` was not written by `apportion ingest`, which will not replace it; name another folder, and give both to `apportion run`",
            path.display()
        )));
    }
    let reader = reader
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(|source| not_parquet("its pages cannot be decoded", Some(source)))?;
    for batch in Guarded::new(reader) {
        let batch = batch
            .map_err(|source| not_parquet("its pages cannot be decoded", Some(source.into())))?;
        for row in rows(table, &batch) {
            each(row)?;
        }
    }
    Ok(())
}

fn rows(table: Table, batch: &RecordBatch) -> Vec<Row> {
    let mut rows = vec![Row { table, cells: BTreeMap::new() }; batch.num_rows()];
    let times = batch.column_by_name(FIELD_TIMES).and_then(|times| times.as_struct_opt());
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if field.name() == FIELD_TIMES {
            continue;
        }
        let name = Name::from(field.name().as_str());
        for (row, stored) in rows.iter_mut().enumerate() {
            if let Some(value) = value(array, row, table.kind_of(&name)) {
                stored.cells.insert(Name::clone(&name), Cell { at: i64::MIN, value: Some(value) });
            }
        }
    }
    for row in &mut rows {
        let at = row.at();
        for cell in row.cells.values_mut() {
            cell.at = at;
        }
    }
    for (field, array) in times.iter().flat_map(|times| times.fields().iter().zip(times.columns()))
    {
        let array = array.as_primitive::<TimestampMicrosecondType>();
        let name = Name::from(field.name().as_str());
        for (at, stored) in array.iter().zip(&mut rows) {
            let Some(at) = at else { continue };
            let cell = stored.cells.entry(Name::clone(&name));
            cell.or_insert(Cell { at, value: None }).at = at;
        }
    }
    rows
}

/// A value as it was before it was written; see [`narrow`] for the types of unknown columns.
fn value(array: &ArrayRef, row: usize, kind: Kind) -> Option<Value> {
    if array.is_null(row) {
        return None;
    }
    let unknown = kind == Kind::Any;
    let text = |text: String| Some(Value::Text(text));
    match array.data_type() {
        DataType::Boolean => {
            let flag = array.as_boolean().value(row);
            if unknown { text(flag.to_string()) } else { Some(Value::Flag(flag)) }
        }
        DataType::Int64 => text(array.as_primitive::<Int64Type>().value(row).to_string()),
        DataType::Float64 => {
            let number = array.as_primitive::<Float64Type>().value(row);
            if unknown { text(number.to_string()) } else { Some(Value::Number(number)) }
        }
        DataType::Decimal128(..) => {
            Some(Value::Money(array.as_primitive::<Decimal128Type>().value(row)))
        }
        DataType::Timestamp(..) => {
            let at = array.as_primitive::<TimestampMicrosecondType>().value(row);
            if unknown { text(format_instant(at)) } else { Some(Value::Time(at)) }
        }
        DataType::Utf8 => text(array.as_string::<i32>().value(row).to_owned()),
        _ => None,
    }
}

/// The rows of a bucket, merged: one a thing, in the order of their keys, items within their order.
pub(super) fn merged(rows: Vec<Row>) -> Vec<Row> {
    // Items that were stored are put back into the stored row of their order.
    let (items, rows): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| row.table == Table::OrderItems);
    let mut sets: BTreeMap<(String, String), Vec<Item>> = BTreeMap::new();
    for item in items {
        let (order, user) = item.key();
        let set = sets.entry((order.to_owned(), user.to_owned())).or_default();
        let of_order = ["order_external_id", ITEM_USER, "updated_at"];
        let cells = item.cells.into_iter().filter(|(name, _)| !of_order.contains(&&**name));
        set.push(cells.filter_map(|(name, cell)| Some((name, cell.value?))).collect());
    }
    let mut things: BTreeMap<(Table, String, String), Row> = BTreeMap::new();
    for mut row in rows {
        let (id, user) = row.key();
        let key = (row.table, id.to_owned(), user.to_owned());
        if let Some(cell) = row.cells.get_mut(ITEMS_AT)
            && let Some(at) = stored_at(cell)
        {
            let mut set = sets.remove(&(key.1.clone(), key.2.clone())).unwrap_or_default();
            sort_items(&mut set);
            *cell = Cell { at, value: Some(Value::Items(set)) };
        }
        match things.get_mut(&key) {
            Some(known) => known.merge(row),
            None => {
                things.insert(key, row);
            }
        }
    }
    things.into_values().collect()
}

/// The time of a set of items that is stored elsewhere.
fn stored_at(cell: &Cell) -> Option<i64> {
    match &cell.value {
        Some(Value::Time(at)) => Some(*at),
        _ => None,
    }
}

/// The rows of an order's items: as old as their set.
pub(super) fn item_rows(order: &Row) -> Vec<Row> {
    let Some(Cell { at, value: Some(Value::Items(items)) }) = order.cells.get(ITEMS_AT) else {
        return Vec::new();
    };
    let (id, user) = order.key();
    let own = [
        ("order_external_id", Value::Text(id.to_owned())),
        (ITEM_USER, Value::Text(user.to_owned())),
        ("updated_at", Value::Time(*at)),
    ];
    let row = |item: &Item| {
        let of_item = item.iter().map(|(name, value)| (Name::clone(name), value.clone()));
        let own = own.iter().map(|(name, value)| (Name::from(*name), value.clone()));
        let cells = of_item.chain(own);
        let cells = cells.map(|(name, value)| (name, Cell { at: *at, value: Some(value) }));
        Row { table: Table::OrderItems, cells: cells.collect() }
    };
    items.iter().map(row).collect()
}
