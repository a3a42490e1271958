//! Rows on their way to buckets: parcels, each with some rows of one table for one bucket.
//!
//! Whoever moves rows between machines moves a few large values instead of many small ones, and never looks into
//! them. Not for who is in which bucket, nor for what rows mean, nor for what a parcel looks like inside
//! (`packing`).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, Int32Array, Int64Array, LargeBinaryArray, RecordBatch,
    StringArray, new_empty_array,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::{cast, concat, interleave_record_batch};
use arrow::datatypes::{ArrowNativeType, DataType, Int64Type, SchemaRef};

use super::keys::place_among;
use super::packing::{Packer, Unpacker};
use crate::error::{Error, Result};

/// The column with the number of the bucket that a parcel goes to.
const BUCKET: &str = "bucket";
/// The column that says of which table the rows of a parcel are.
const TABLE: &str = "table";
/// The column with how many rows a parcel has.
const COUNT: &str = "count";
/// The column with the rows of a parcel.
const ROWS: &str = "rows";

/// How many bytes a parcel has at most, about: where a thousand of them are handed on together, that is a
/// batch that no machine minds.
const PARCEL: usize = 16 << 10;

/// How many bytes of rows are put in order together, unless buckets are so many that their parcels would be
/// small: as much as lies in a processor's caches.
const TOGETHER: usize = 8 << 20;

/// So many full parcels of each bucket are put in order together at least.
const OF_A_BUCKET: usize = 4;

/// More bytes of rows do not wait, however many buckets there are: 32 bits say where a parcel ends.
const MOST: usize = 1 << 30;

/// Makes parcels of the rows of a table.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use apportion::pipeline::buckets::{Arrived, Opener, Parcels};
/// use arrow::array::{Int64Array, RecordBatch, StringArray};
/// use arrow::datatypes::{DataType, Field, Schema};
///
/// let rows = Arc::new(Schema::new(vec![Field::new("id", DataType::Utf8, true)]));
/// let mut parcels = Parcels::new("sessions", &rows, 3, 1 << 20)?;
/// let keys = Int64Array::from(vec![7, 8, 7]);
/// let ids = StringArray::from(vec!["a", "b", "c"]);
/// let batch = RecordBatch::try_from_iter([
///     ("key", Arc::new(keys) as _),
///     ("id", Arc::new(ids) as _),
/// ])?;
/// // Little enough waits for more.
/// assert!(parcels.take(&batch)?.is_none());
/// let made = parcels.end()?.unwrap();
/// let mut opener = Opener::new(&rows)?;
/// let mut rows = 0;
/// for (table, parcel) in Arrived::new(&made)?.parcels() {
///     assert_eq!(table, "sessions");
///     rows += opener.open(parcel)?.num_rows();
/// }
/// assert_eq!(rows, 3);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
pub struct Parcels {
    table: String,
    schema: SchemaRef,
    buckets: usize,
    most: usize,
    held: Vec<RecordBatch>,
    held_bytes: usize,
    keys: Vec<ArrayRef>,
    packer: Packer,
    /// What a row took when it was packed, about.
    row_bytes: usize,
}

impl Parcels {
    /// No rows yet of a table with these columns; once enough of them wait, or those that do take more than `most`
    /// bytes, they are sent off.
    ///
    /// # Errors
    ///
    /// Columns that Arrow cannot send.
    pub fn new(table: &str, schema: &SchemaRef, buckets: u32, most: usize) -> Result<Self> {
        let buckets = usize::try_from(buckets.max(1)).unwrap_or(usize::MAX);
        let enough = buckets.saturating_mul(OF_A_BUCKET * PARCEL).max(TOGETHER);
        Ok(Self {
            table: table.to_owned(),
            schema: Arc::clone(schema),
            buckets,
            most: most.min(enough).min(MOST),
            held: Vec::new(),
            held_bytes: 0,
            keys: Vec::new(),
            packer: Packer::new(schema)?,
            row_bytes: 0,
        })
    }

    /// Takes some rows: their first column is the key whose rows go to one bucket, the others are those of the
    /// table in their order, whatever they are called. Gives parcels when enough rows wait.
    ///
    /// # Errors
    ///
    /// Columns that are not of the table.
    pub fn take(&mut self, batch: &RecordBatch) -> Result<Option<RecordBatch>> {
        match batch.columns() {
            [key, columns @ ..] => self.take_keyed(key, columns),
            [] => self.take_keyed(&new_empty_array(&DataType::Int64), &[]),
        }
    }

    /// The same, where the keys of rows lie beside their columns.
    pub(super) fn take_keyed(
        &mut self,
        key: &ArrayRef,
        columns: &[ArrayRef],
    ) -> Result<Option<RecordBatch>> {
        let fields = self.schema.fields();
        if columns.len() != fields.len() {
            return Err(Error::Broken(format!(
                "rows of `{}` come with {} columns and not with {} beside their key",
                self.table,
                columns.len(),
                fields.len()
            )));
        }
        let fitted = columns.iter().zip(fields).map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast(column, field.data_type())
            }
        });
        let columns = fitted.collect::<Result<_, _>>()?;
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        self.held_bytes += rows.get_array_memory_size();
        self.held.push(rows);
        self.keys.push(cast(key, &DataType::Int64)?);
        if self.held_bytes > self.most { self.sent() } else { Ok(None) }
    }

    /// The parcels of the rows that still wait.
    ///
    /// # Errors
    ///
    /// As of [`take`](Self::take).
    pub fn end(mut self) -> Result<Option<RecordBatch>> {
        self.sent()
    }

    fn sent(&mut self) -> Result<Option<RecordBatch>> {
        let held = std::mem::take(&mut self.held);
        let keys = std::mem::take(&mut self.keys);
        let bytes = std::mem::take(&mut self.held_bytes);
        let count: usize = held.iter().map(RecordBatch::num_rows).sum();
        if count == 0 {
            return Ok(None);
        }
        let keys: Vec<&dyn Array> = keys.iter().map(AsRef::as_ref).collect();
        let keys = concat(&keys)?;
        let keys = keys.as_primitive::<Int64Type>();
        let (places, starts) = self.by_bucket(&held, keys);
        let held: Vec<&RecordBatch> = held.iter().collect();
        let rows = interleave_record_batch(&held, &places)?;
        // Rows of one table are of about one size, and none takes more than it took in memory.
        let row_bytes = if self.row_bytes > 0 { self.row_bytes } else { bytes / count };
        let most = (PARCEL / row_bytes.max(1)).max(1);
        self.packer.look_at(&rows);
        let (mut buckets, mut counts) = (Vec::new(), Vec::new());
        let mut ends = vec![0];
        let mut contents = Vec::with_capacity(count * row_bytes);
        for (bucket, bounds) in (0..).zip(starts.windows(2)) {
            let mut at = bounds[0];
            while at < bounds[1] {
                let length = most.min(bounds[1] - at);
                self.packer.pack(&rows.slice(at, length), &mut contents)?;
                ends.push(i32::try_from(contents.len()).map_err(|_| too_large())?);
                buckets.push(bucket);
                counts.push(i64::try_from(length).unwrap_or(i64::MAX));
                at += length;
            }
        }
        self.row_bytes = contents.len().div_ceil(count);
        let (ends, contents) = (OffsetBuffer::new(ends.into()), Buffer::from_vec(contents));
        let contents = BinaryArray::try_new(ends, contents, None)?;
        let tables = StringArray::from_iter_values(buckets.iter().map(|_| &self.table));
        let columns: [(&str, ArrayRef); 4] = [
            (BUCKET, Arc::new(Int32Array::from(buckets))),
            (TABLE, Arc::new(tables)),
            (COUNT, Arc::new(Int64Array::from(counts))),
            (ROWS, Arc::new(contents)),
        ];
        Ok(Some(RecordBatch::try_from_iter(columns)?))
    }

    /// Where rows are, those of the first bucket first, and where among them each bucket starts.
    fn by_bucket(
        &self,
        held: &[RecordBatch],
        keys: &Int64Array,
    ) -> (Vec<(usize, usize)>, Vec<usize>) {
        let buckets: Vec<usize> = keys.values().iter().map(|key| self.bucket(*key)).collect();
        let mut starts = vec![0; self.buckets + 1];
        for bucket in &buckets {
            starts[bucket + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut next = starts.clone();
        let mut places = vec![(0, 0); buckets.len()];
        let rows = held.iter().enumerate();
        let rows = rows.flat_map(|(batch, rows)| (0..rows.num_rows()).map(move |row| (batch, row)));
        for (place, bucket) in rows.zip(buckets) {
            places[next[bucket]] = place;
            next[bucket] += 1;
        }
        (places, starts)
    }

    /// The bucket of a key: keys may lie close together, or all be small.
    fn bucket(&self, key: i64) -> usize {
        place_among(key, self.buckets)
    }
}

fn too_large() -> Error {
    Error::Broken("rows that wait to be sent take more than two gigabytes".to_owned())
}

/// Parcels that have arrived.
pub struct Arrived {
    tables: StringArray,
    rows: LargeBinaryArray,
}

impl Arrived {
    /// A batch of parcels.
    ///
    /// # Errors
    ///
    /// What is none.
    pub fn new(batch: &RecordBatch) -> Result<Self> {
        let column = |name: &str, data_type: &DataType| match batch.column_by_name(name) {
            Some(column) => Ok(cast(column, data_type)?),
            None => Err(Error::Broken(format!("rows of a bucket have no column `{name}`"))),
        };
        let tables = column(TABLE, &DataType::Utf8)?.as_string().clone();
        let rows = column(ROWS, &DataType::LargeBinary)?.as_binary().clone();
        Ok(Self { tables, rows })
    }

    /// The table and the contents of each parcel.
    pub fn parcels(&self) -> impl Iterator<Item = (&str, Buffer)> {
        (0..self.rows.len()).map(|at| {
            let start = self.rows.offsets()[at].as_usize();
            let length = self.rows.value(at).len();
            (self.tables.value(at), self.rows.values().slice_with_length(start, length))
        })
    }
}

/// Opens parcels of a table.
pub struct Opener(Unpacker);

impl Opener {
    /// For rows of a table with these columns.
    ///
    /// # Errors
    ///
    /// Columns that Arrow cannot send.
    pub fn new(schema: &SchemaRef) -> Result<Self> {
        Ok(Self(Unpacker::new(schema)?))
    }

    /// The rows of a parcel.
    ///
    /// # Errors
    ///
    /// What is no parcel.
    pub fn open(&mut self, parcel: Buffer) -> Result<RecordBatch> {
        self.0.unpack(parcel)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use arrow::array::StructArray;
    use arrow::datatypes::{Field, Fields, Int32Type, Schema};

    use super::*;
    use crate::output::cell_text;

    /// Rows with an id, a number that may be missing, and a struct that may be too.
    fn rows(count: i64) -> (SchemaRef, RecordBatch) {
        let keys = Int64Array::from_iter_values((0..count).map(|row| row % 97));
        let ids = StringArray::from_iter_values((0..count).map(|row| format!("row {row}")));
        let numbers: Int64Array = (0..count).map(|row| (row % 3 != 0).then_some(row)).collect();
        let inner = Fields::from(vec![Field::new("id", DataType::Utf8, true)]);
        let users: StringArray =
            (0..count).map(|row| (row % 5 != 0).then(|| format!("user {}", row % 97))).collect();
        let users = StructArray::new(inner.clone(), vec![Arc::new(users)], None);
        let schema = Arc::new(Schema::new(vec![
            Field::new("id", DataType::Utf8, true),
            Field::new("number", DataType::Int32, true),
            Field::new("user", DataType::Struct(inner), true),
        ]));
        let columns: [(&str, ArrayRef); 4] = [
            ("key", Arc::new(keys)),
            ("c0", Arc::new(ids)),
            ("c1", Arc::new(numbers)),
            ("c2", Arc::new(users)),
        ];
        (schema, RecordBatch::try_from_iter(columns).expect("columns are of one length"))
    }

    /// Rows as texts by bucket, each bucket's in order.
    fn opened(schema: &SchemaRef, made: &[RecordBatch]) -> BTreeMap<i32, BTreeSet<String>> {
        let mut opener = Opener::new(schema).unwrap();
        let mut found: BTreeMap<i32, BTreeSet<String>> = BTreeMap::new();
        for batch in made {
            let buckets = batch.column_by_name(BUCKET).unwrap().as_primitive::<Int32Type>();
            let counts = batch.column_by_name(COUNT).unwrap().as_primitive::<Int64Type>();
            let arrived = Arrived::new(batch).unwrap();
            for (at, (table, parcel)) in arrived.parcels().enumerate() {
                let rows = opener.open(parcel).unwrap();
                assert_eq!(table, "sessions");
                assert_eq!(i64::try_from(rows.num_rows()).unwrap(), counts.value(at));
                assert_eq!(rows.schema(), *schema);
                for row in 0..rows.num_rows() {
                    let of_row = |column| cell_text(&rows, column, row);
                    let text = format!(
                        "{:?} {:?} {:?}",
                        of_row(0),
                        of_row(1),
                        rows.column(2).slice(row, 1)
                    );
                    assert!(
                        found.entry(buckets.value(at)).or_default().insert(text),
                        "a row is there twice"
                    );
                }
            }
        }
        found
    }

    fn made(
        schema: &SchemaRef,
        rows: &RecordBatch,
        buckets: u32,
        most: usize,
        step: usize,
    ) -> Vec<RecordBatch> {
        let mut parcels = Parcels::new("sessions", schema, buckets, most).unwrap();
        let mut made = Vec::new();
        for at in (0..rows.num_rows()).step_by(step) {
            let length = step.min(rows.num_rows() - at);
            made.extend(parcels.take(&rows.slice(at, length)).unwrap());
        }
        made.extend(parcels.end().unwrap());
        made
    }

    #[test]
    fn every_row_arrives_once_in_the_bucket_of_its_key_however_it_was_sent() {
        let (schema, rows) = rows(3000);
        for buckets in [1, 2, 7, 1000] {
            let whole = opened(&schema, &made(&schema, &rows, buckets, usize::MAX, 3000));
            assert_eq!(whole.values().map(BTreeSet::len).sum::<usize>(), 3000);
            assert!(
                whole.keys().all(|bucket| (0..i64::from(buckets)).contains(&i64::from(*bucket)))
            );
            // 97 keys of some 31 rows each: a bucket has all rows of a key.
            for rows in whole.values() {
                assert!(rows.len() >= 30);
            }
            for (most, step) in [(0, 1), (0, 100), (1 << 16, 100), (usize::MAX, 999)] {
                assert_eq!(opened(&schema, &made(&schema, &rows, buckets, most, step)), whole);
            }
        }
    }

    #[test]
    fn parcels_are_small_and_keys_are_spread() {
        let (schema, rows) = rows(20_000);
        let made = made(&schema, &rows, 4, usize::MAX, 20_000);
        let contents = made[0].column_by_name(ROWS).unwrap().as_binary::<i32>();
        assert!(contents.iter().flatten().all(|parcel| parcel.len() < 2 * PARCEL));
        let parcels = Parcels::new("sessions", &schema, 200, 0).unwrap();
        // Keys beside each other, and keys that are all small, as the least of several numbers is.
        for keys in [0..100_000, i64::MIN..i64::MIN + 100_000] {
            let mut counts = vec![0; 200];
            keys.for_each(|key| counts[parcels.bucket(key)] += 1);
            assert!(counts.iter().all(|count| (380..620).contains(count)), "{counts:?}");
        }
    }

    #[test]
    fn columns_that_are_not_of_the_table_are_refused() {
        let (schema, rows) = rows(3);
        let mut parcels = Parcels::new("sessions", &schema, 2, 0).unwrap();
        let error = parcels.take(&rows.project(&[0, 1]).unwrap()).unwrap_err().to_string();
        assert!(error.contains("come with 1 columns and not with 3 beside their key"), "{error}");
    }
}
