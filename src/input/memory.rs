//! Tables that are handed over as Arrow record batches, of whatever types their maker gives them.
//!
//! Batches are kept as they are, and nothing of them is copied: some that follow each other stand for a
//! row group, so that what reads files reads these as well. A stream that is larger than its limit waits
//! in a temporary Parquet file, since a run reads its tables more than once.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tempfile::{NamedTempFile, TempPath};

use crate::error::{Error, IN_MEMORY, Result};
use crate::schema::Table;
use crate::stop;

/// Rows that make a group.
const GROUP_ROWS: usize = 128 * 1024;

/// A table in memory; copies of it share what it holds.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
///
/// use apportion::input::MemoryTable;
/// use apportion::schema::Table;
/// use arrow::array::{ArrayRef, RecordBatch, StringArray};
///
/// let ids: ArrayRef = Arc::new(StringArray::from(vec!["d1", "d2"]));
/// let batch = RecordBatch::try_from_iter([("external_id", ids)])?;
/// let devices = MemoryTable::gather(Table::Devices, 1, batch.schema(), [Ok(batch)], None)?;
/// assert_eq!(devices.path().to_str(), Some("devices (a table in memory)"));
/// # Ok::<(), apportion::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryTable {
    path: PathBuf,
    held: Held,
}

/// Where the rows are.
#[derive(Debug, Clone)]
pub(super) enum Held {
    /// In memory.
    Batches(Arc<Batches>),
    /// In a temporary file.
    Spilled(Arc<Spilled>),
}

/// Batches by the row groups that they stand for.
#[derive(Debug)]
pub(super) struct Batches {
    pub(super) schema: SchemaRef,
    pub(super) groups: Vec<Vec<RecordBatch>>,
    bytes: u64,
}

/// A temporary file of Parquet.
#[derive(Debug)]
pub(super) struct Spilled {
    pub(super) file: TempPath,
    bytes: u64,
}

impl PartialEq for MemoryTable {
    fn eq(&self, other: &Self) -> bool {
        match (&self.held, &other.held) {
            (Held::Batches(left), Held::Batches(right)) => Arc::ptr_eq(left, right),
            (Held::Spilled(left), Held::Spilled(right)) => Arc::ptr_eq(left, right),
            (Held::Batches(_), Held::Spilled(_)) | (Held::Spilled(_), Held::Batches(_)) => false,
        }
    }
}

impl Eq for MemoryTable {}

impl MemoryTable {
    /// Takes every batch of a table; it is the `number`th that is given for it, from 1. Batches that
    /// take more than `most` bytes together wait on disk; `None` is for those that are in memory anyway.
    ///
    /// # Errors
    ///
    /// A stream that breaks off, a disk that is full, a stop that was asked for.
    pub fn gather(
        table: Table,
        number: usize,
        schema: SchemaRef,
        batches: impl IntoIterator<Item = Result<RecordBatch, ArrowError>>,
        most: Option<u64>,
    ) -> Result<Self> {
        let mut gathering = GatheringTable::new(table, number, schema);
        for batch in batches {
            stop::check()?;
            let broken = |source| Error::Stream { path: gathering.path.clone(), source };
            let batch = batch.map_err(broken)?;
            gathering.push(batch)?;
            if most.is_some_and(|most| gathering.held_bytes() > most) {
                gathering.spill()?;
            }
        }
        gathering.end()
    }

    /// What stands for its path in messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The columns that its rows have.
    ///
    /// # Errors
    ///
    /// A temporary file that cannot be read any more.
    pub fn schema(&self) -> Result<SchemaRef> {
        match &self.held {
            Held::Batches(batches) => Ok(Arc::clone(&batches.schema)),
            Held::Spilled(spilled) => {
                let file = File::open(&spilled.file).map_err(Error::io("read", &self.path))?;
                let reader = ArrowReaderMetadata::load(&file, ArrowReaderOptions::default());
                let unreadable = |error: ParquetError| Error::Stream {
                    path: self.path.clone(),
                    source: ArrowError::ExternalError(Box::new(error)),
                };
                Ok(Arc::clone(reader.map_err(unreadable)?.schema()))
            }
        }
    }

    /// What its rows take, in memory or on disk.
    pub fn bytes(&self) -> u64 {
        match &self.held {
            Held::Batches(batches) => batches.bytes,
            Held::Spilled(spilled) => spilled.bytes,
        }
    }

    /// Where its rows are.
    pub(super) const fn held(&self) -> &Held {
        &self.held
    }
}

/// Some columns of a row group in batches of at most `most` rows; of these rows only, where they are
/// named.
pub(super) fn of_group(
    group: &[RecordBatch],
    columns: &[usize],
    rows: Option<&[usize]>,
    most: usize,
) -> Vec<Result<RecordBatch, ArrowError>> {
    let mut found = Vec::new();
    let mut before = 0;
    for batch in group {
        let piece = batch.project(columns);
        let after = before + batch.num_rows();
        match (piece, rows) {
            (Err(error), _) => found.push(Err(error)),
            (Ok(piece), None) => {
                let starts = (0..piece.num_rows()).step_by(most);
                let length = |start: usize| most.min(piece.num_rows() - start);
                found.extend(starts.map(|start| Ok(piece.slice(start, length(start)))));
            }
            (Ok(piece), Some(rows)) => {
                let own = rows.partition_point(|row| *row < before)
                    ..rows.partition_point(|row| *row < after);
                let places = rows[own].iter().filter_map(|row| u32::try_from(row - before).ok());
                let places: UInt32Array = places.collect();
                if !places.is_empty() {
                    found.push(take_record_batch(&piece, &places));
                }
            }
        }
        before = after;
    }
    found
}

/// Batches that follow each other, some together: those of many rows are divided, without copying.
fn groups(batches: Vec<RecordBatch>) -> Vec<Vec<RecordBatch>> {
    let mut groups: Vec<Vec<RecordBatch>> = Vec::new();
    let mut room = 0;
    for batch in batches {
        let mut start = 0;
        while start < batch.num_rows() {
            if room == 0 {
                groups.push(Vec::new());
                room = GROUP_ROWS;
            }
            let rows = room.min(batch.num_rows() - start);
            if let Some(group) = groups.last_mut() {
                group.push(batch.slice(start, rows));
            }
            (start, room) = (start + rows, room - rows);
        }
    }
    groups
}

/// Bytes of the rows of a batch, which may be a part of larger buffers.
fn size(batch: &RecordBatch) -> u64 {
    let of_column = |column: &dyn Array| {
        let own = column.to_data().get_slice_memory_size();
        own.unwrap_or_else(|_| column.get_array_memory_size()) as u64
    };
    batch.columns().iter().map(|column| of_column(column)).sum()
}

/// A table that is being taken over, batch by batch.
pub struct GatheringTable {
    path: PathBuf,
    schema: SchemaRef,
    held: Vec<RecordBatch>,
    bytes: u64,
    spilling: Option<Spilling>,
}

/// A temporary file that is being written.
struct Spilling {
    file: NamedTempFile,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
}

impl GatheringTable {
    /// No rows yet; it is the `number`th table that is given for `table`, from 1.
    pub fn new(table: Table, number: usize, schema: SchemaRef) -> Self {
        let path = PathBuf::from(match number {
            0 | 1 => format!("{table} (a table{IN_MEMORY}"),
            _ => format!("{table} (table {number}{IN_MEMORY}"),
        });
        Self { path, schema, held: Vec::new(), bytes: 0, spilling: None }
    }

    /// Takes some more rows.
    ///
    /// # Errors
    ///
    /// A disk that is full.
    pub fn push(&mut self, batch: RecordBatch) -> Result<()> {
        if let Some(spilling) = &mut self.spilling {
            return spilling.write(&self.path, &batch);
        }
        self.bytes += size(&batch);
        self.held.push(batch);
        Ok(())
    }

    /// What its rows take in memory.
    pub fn held_bytes(&self) -> u64 {
        self.bytes
    }

    /// Moves its rows, and all that are still to come, to a temporary file.
    ///
    /// # Errors
    ///
    /// A disk that is full.
    pub fn spill(&mut self) -> Result<()> {
        let spilling = match self.spilling.take() {
            Some(spilling) => spilling,
            None => Spilling::begin(&self.path, &self.schema)?,
        };
        let spilling = self.spilling.insert(spilling);
        for batch in self.held.drain(..) {
            stop::check()?;
            spilling.write(&self.path, &batch)?;
        }
        self.bytes = 0;
        Ok(())
    }

    /// The table, once all rows are there.
    ///
    /// # Errors
    ///
    /// A disk that is full.
    pub fn end(self) -> Result<MemoryTable> {
        let Self { path, schema, held, bytes, spilling } = self;
        let held = match spilling {
            Some(spilling) => Held::Spilled(Arc::new(spilling.end(&path)?)),
            None => Held::Batches(Arc::new(Batches { schema, groups: groups(held), bytes })),
        };
        Ok(MemoryTable { path, held })
    }
}

impl Spilling {
    fn begin(path: &Path, schema: &SchemaRef) -> Result<Self> {
        let folder = std::env::temp_dir();
        let failed = || Error::io("write", &folder);
        let file = tempfile::Builder::new().prefix("apportion-").suffix(".parquet").tempfile();
        let file: NamedTempFile = file.map_err(failed())?;
        stop::temporary(file.path());
        let sink: File = file.reopen().map_err(failed())?;
        let schema = plain(schema);
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties));
        let writer = writer.map_err(unwritable(path))?;
        Ok(Self { file, schema, writer })
    }

    fn write(&mut self, path: &Path, batch: &RecordBatch) -> Result<()> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns = columns.map(|(column, field)| cast(column, field.data_type()));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.writer.write(&batch).map_err(unwritable(path))
    }

    fn end(self, path: &Path) -> Result<Spilled> {
        let Self { file, writer, .. } = self;
        writer.close().map_err(unwritable(path))?;
        let metadata = file.as_file().metadata();
        let bytes = metadata.map_err(Error::io("write", &std::env::temp_dir()))?.len();
        Ok(Spilled { file: file.into_temp_path(), bytes })
    }
}

/// An error for what cannot be written to a temporary file.
fn unwritable(path: &Path) -> impl FnOnce(ParquetError) -> Error {
    let path = path.to_path_buf();
    |error| Error::Stream { path, source: ArrowError::ExternalError(Box::new(error)) }
}

/// The columns in types that can be written: a dictionary of texts is as good as the texts, which the
/// file keeps as a dictionary anyway.
fn plain(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Dictionary(_, values) => {
            let plain = Field::new(field.name(), DataType::clone(values), field.is_nullable());
            Arc::new(plain.with_metadata(field.metadata().clone()))
        }
        _ => Arc::clone(field),
    });
    let fields: Vec<Arc<Field>> = fields.collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, AsArray, DictionaryArray, Int64Array};
    use arrow::datatypes::{Int8Type, Int64Type};

    use super::*;

    fn numbers(rows: std::ops::Range<i64>) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(rows));
        RecordBatch::try_from_iter([("number", numbers)]).unwrap()
    }

    fn values(batches: Vec<Result<RecordBatch, ArrowError>>) -> Vec<i64> {
        let batches = batches.into_iter().map(Result::unwrap);
        batches
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    #[test]
    fn groups_hold_every_row_once_and_in_order_whatever_the_batches() {
        let group = i64::try_from(GROUP_ROWS).unwrap();
        let cuts = [0, 1, 1, 5, group - 2, group + 3, 3 * group + 1];
        let batches: Vec<RecordBatch> =
            cuts.windows(2).map(|cut| numbers(cut[0]..cut[1])).collect();
        let groups = groups(batches);
        let rows = |group: &Vec<RecordBatch>| group.iter().map(RecordBatch::num_rows).sum();
        let sizes: Vec<usize> = groups.iter().map(rows).collect();
        assert_eq!(sizes, [GROUP_ROWS, GROUP_ROWS, GROUP_ROWS, 1]);
        let all = groups.iter().flat_map(|group| values(of_group(group, &[0], None, 1000)));
        assert!(all.eq(0..=3 * group));
        let picked = of_group(&groups[0], &[0], Some(&[0, 4, 5, GROUP_ROWS - 1]), 1000);
        assert_eq!(values(picked), [0, 4, 5, group - 1]);
    }

    #[test]
    fn what_is_larger_than_its_limit_waits_in_a_file_that_is_gone_with_it() {
        let texts: DictionaryArray<Int8Type> = vec!["a", "b", "a"].into_iter().collect();
        let texts: ArrayRef = Arc::new(texts);
        let batch = RecordBatch::try_from_iter([("text", texts)]).unwrap();
        let gather = |most| {
            let batches = [Ok(batch.clone()), Ok(batch.clone())];
            MemoryTable::gather(Table::Users, 2, batch.schema(), batches, most).unwrap()
        };
        assert!(matches!(gather(Some(1 << 20)).held(), Held::Batches(_)));
        assert!(matches!(gather(None).held(), Held::Batches(_)));
        let table = gather(Some(1));
        assert_eq!(table.path(), Path::new("users (table 2 in memory)"));
        let Held::Spilled(spilled) = table.held() else { panic!("{table:?}") };
        let file = spilled.file.to_path_buf();
        assert!(file.exists() && table.bytes() > 0);
        drop(table);
        assert!(!file.exists());
    }

    #[test]
    fn a_stream_that_breaks_off_is_named() {
        let broken = ArrowError::ComputeError("the server is gone".to_owned());
        let schema = numbers(0..1).schema();
        let gathered = MemoryTable::gather(Table::Orders, 1, schema, [Err(broken)], None);
        let said = gathered.unwrap_err().to_string();
        assert_eq!(said, "orders (a table in memory) cannot be read to its end");
    }
}
