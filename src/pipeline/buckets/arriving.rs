//! The rows of a bucket as they arrive: parcels with rows of any table, in whatever order, and with pairs of
//! things and users.
//!
//! Not for how they got here (`parcels`), nor for what rows mean: they are tables in memory next.

use std::collections::BTreeMap;
use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{BatchCoalescer, cast};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};

use super::parcels::{Arrived, Opener};
use super::sending::{PAIRS, Paired};
use crate::error::{Error, Result};
use crate::input::{GatheringTable, MemoryTable};
use crate::schema::Table;

/// How many rows lie together, of however many parcels they came.
const TOGETHER: usize = 8192;

/// The file that a row was read from, among the columns of its table, where that is known.
pub const FILE: &str = "_file";

/// The number of the row in its file, from 1.
pub const FILE_ROW: &str = "_file_row";

/// The rows of a bucket, as far as they have arrived.
pub struct Arriving {
    tables: BTreeMap<Table, OneTable>,
    paired: Paired,
    most: u64,
}

/// A bucket whose rows are all there.
pub struct ArrivedBucket {
    /// Its tables.
    pub tables: Vec<(Table, MemoryTable)>,
    /// Where their rows were read.
    pub origins: Origins,
    /// Things that several users have with each of those, where that was watched: of other buckets, mostly.
    pub shared: Vec<(i64, i64)>,
}

struct OneTable {
    opener: Opener,
    arrived: BatchCoalescer,
    rows: GatheringTable,
    /// Where rows were read, batch by batch, where that is known.
    origins: Vec<(StringArray, Int64Array)>,
}

/// Where the rows of tables were read.
pub struct Origins(BTreeMap<Table, Vec<(StringArray, Int64Array)>>);

impl Arriving {
    /// No rows yet of these tables, whose columns are known; rows that take more than `most` bytes
    /// together wait on disk.
    ///
    /// # Errors
    ///
    /// Columns that Arrow cannot send.
    pub fn new(tables: impl IntoIterator<Item = (Table, SchemaRef)>, most: u64) -> Result<Self> {
        let one = |(table, schema): (Table, SchemaRef)| {
            let (own, _) = without_origin(&schema);
            let one = OneTable {
                opener: Opener::new(&schema)?,
                arrived: BatchCoalescer::new(schema, TOGETHER),
                rows: GatheringTable::new(table, 1, own),
                origins: Vec::new(),
            };
            Ok((table, one))
        };
        let tables = tables.into_iter().map(one).collect::<Result<_>>()?;
        Ok(Self { tables, paired: Paired::new()?, most })
    }

    /// Takes a batch of parcels of any tables.
    ///
    /// # Errors
    ///
    /// A batch that is not made so, a disk that is full.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<()> {
        for (name, parcel) in Arrived::new(batch)?.parcels() {
            if name == PAIRS {
                self.paired.take(parcel)?;
                continue;
            }
            let unknown = || Error::Broken(format!("no bucket has rows of `{name}`"));
            let gathered = self.tables.get_mut(&Table::from_name(name)?).ok_or_else(unknown)?;
            gathered.arrived.push_batch(gathered.opener.open(parcel)?)?;
            gathered.gather()?;
        }
        let held = |gathered: &OneTable| gathered.rows.held_bytes();
        if self.tables.values().map(held).sum::<u64>() > self.most {
            self.tables.values_mut().try_for_each(|gathered| gathered.rows.spill())?;
        }
        Ok(())
    }

    /// The bucket, once all rows are there.
    ///
    /// # Errors
    ///
    /// A disk that is full.
    pub fn end(self) -> Result<ArrivedBucket> {
        let (mut tables, mut origins) = (Vec::new(), BTreeMap::new());
        for (table, mut one) in self.tables {
            one.arrived.finish_buffered_batch()?;
            one.gather()?;
            tables.push((table, one.rows.end()?));
            origins.insert(table, one.origins);
        }
        let (origins, shared) = (Origins(origins), self.paired.end());
        Ok(ArrivedBucket { tables, origins, shared })
    }
}

impl OneTable {
    /// Takes rows of which enough have arrived.
    fn gather(&mut self) -> Result<()> {
        while let Some(rows) = self.arrived.next_completed_batch() {
            self.take(&rows)?;
        }
        Ok(())
    }

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
