//! The rows of a bucket as they arrive: of all tables in one stream, each batch with rows of any.
//!
//! A batch has a column [`TABLE`] that says which table a row is of, and a struct for every table with the
//! columns of that row, null in rows of others. Not for what rows mean: they are tables in memory next.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use crate::error::{Error, Result};
use crate::input::{GatheringTable, MemoryTable};
use crate::schema::Table;

/// The column that says which table a row is of.
pub const TABLE: &str = "table";

/// The file that a row was read from, among the columns of its table, where that is known.
pub const FILE: &str = "_file";

/// The number of the row in its file, from 1.
pub const FILE_ROW: &str = "_file_row";

/// The rows of a bucket, as far as they have arrived.
pub struct Arriving {
    tables: BTreeMap<Table, OneTable>,
    most: u64,
}

struct OneTable {
    rows: GatheringTable,
    /// Where rows were read, batch by batch, where that is known.
    origins: Vec<(StringArray, Int64Array)>,
}

/// Where the rows of tables were read.
pub struct Origins(BTreeMap<Table, Vec<(StringArray, Int64Array)>>);

impl Arriving {
    /// No rows yet of these tables, whose columns are known; rows that take more than `most` bytes
    /// together wait on disk.
    pub fn new(tables: impl IntoIterator<Item = (Table, SchemaRef)>, most: u64) -> Self {
        let one = |(table, schema): (Table, SchemaRef)| {
            let (schema, _) = without_origin(&schema);
            let rows = GatheringTable::new(table, 1, schema);
            (table, OneTable { rows, origins: Vec::new() })
        };
        Self { tables: tables.into_iter().map(one).collect(), most }
    }

    /// Takes a batch of rows of any tables.
    ///
    /// # Errors
    ///
    /// A batch that is not made so, a disk that is full.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let unmade =
            |what: &str| Error::Broken(format!("rows of a bucket have no column `{what}`"));
        let tags = batch.column_by_name(TABLE).ok_or_else(|| unmade(TABLE))?;
        let tags: ArrayRef = cast(tags, &DataType::Utf8)?;
        let tags = tags.as_string::<i32>();
        for (table, gathered) in &mut self.tables {
            let name = table.name();
            let own: BooleanArray = tags.iter().map(|tag| Some(tag == Some(name))).collect();
            if own.true_count() == 0 {
                continue;
            }
            let rows = batch.column_by_name(name).ok_or_else(|| unmade(name))?;
            let Some(rows) = rows.as_struct_opt() else { return Err(unmade(name)) };
            // Whatever its maker says, a column may have holes where rows are of another table.
            let fields =
                rows.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
            let columns = RecordBatch::try_new(
                Schema::new(fields.collect::<Vec<_>>()).into(),
                rows.columns().to_vec(),
            )?;
            gathered.take(&filter_record_batch(&columns, &own)?)?;
        }
        let held = |gathered: &OneTable| gathered.rows.held_bytes();
        if self.tables.values().map(held).sum::<u64>() > self.most {
            self.tables.values_mut().try_for_each(|gathered| gathered.rows.spill())?;
        }
        Ok(())
    }

    /// The tables, once all rows are there, and where their rows were read.
    ///
    /// # Errors
    ///
    /// A disk that is full.
    pub fn end(self) -> Result<(Vec<(Table, MemoryTable)>, Origins)> {
        let (mut tables, mut origins) = (Vec::new(), BTreeMap::new());
        for (table, OneTable { rows, origins: of_table }) in self.tables {
            tables.push((table, rows.end()?));
            origins.insert(table, of_table);
        }
        Ok((tables, Origins(origins)))
    }
}

impl OneTable {
    fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        let (schema, own) = without_origin(&batch.schema());
        if own.len() < batch.num_columns() {
            let column = |name: &str, data_type: &DataType| -> Result<ArrayRef> {
                match batch.column_by_name(name) {
                    Some(column) => Ok(cast(column, data_type)?),
                    None => Err(Error::Broken(format!("rows have no column `{name}`"))),
                }
            };
            let files = column(FILE, &DataType::Utf8)?.as_string::<i32>().clone();
            let rows = column(FILE_ROW, &DataType::Int64)?;
            self.origins.push((files, rows.as_primitive::<Int64Type>().clone()));
        }
        let columns = own.iter().map(|at| ArrayRef::clone(batch.column(*at))).collect();
        self.rows.push(RecordBatch::try_new(schema, columns)?)
    }
}

/// A schema without where rows were read, and the positions of its columns.
fn without_origin(schema: &Schema) -> (SchemaRef, Vec<usize>) {
    let is_own = |field: &Field| field.name() != FILE && field.name() != FILE_ROW;
    let own: Vec<usize> =
        (0..schema.fields().len()).filter(|at| is_own(schema.field(*at))).collect();
    let fields: Vec<_> = own.iter().map(|at| schema.field(*at).clone()).collect();
    (Schema::new(fields).into(), own)
}

impl Origins {
    /// Where a row was read: its file, and its number there; `row` counts those of its table, from 1.
    pub fn of(&self, table: Table, row: u64) -> Option<(PathBuf, u64)> {
        let mut before = usize::try_from(row.checked_sub(1)?).ok()?;
        for (files, rows) in self.0.get(&table)? {
            if before < files.len() {
                let known = files.is_valid(before) && rows.is_valid(before);
                let row = known.then(|| u64::try_from(rows.value(before)).ok())??;
                return Some((PathBuf::from(files.value(before)), row));
            }
            before -= files.len();
        }
        None
    }
}
