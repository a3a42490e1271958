//! Rows of one table in little space, while they travel: what a few rows have in common is said once.
//!
//! Whole numbers and times are distances from the least of them, in as few bytes as these need; texts that repeat are
//! numbers of those that there are. What has another type is a message of Arrow at the end. Not for which rows
//! travel together (`parcels`).

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions,
    StringArray, make_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::{ArrowNativeType, DataType, Schema, SchemaRef};
use arrow::ipc::MetadataVersion;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use hashbrown::HashMap;

use crate::error::{Error, Result};

/// What distances may be multiples of: of microseconds, a thousandth of a second and a second.
const UNITS: [u64; 3] = [1_000_000, 1000, 1];

/// So many rows tell whether the texts of a column repeat.
const TRIED: usize = 1024;

/// The way in which a column is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Eight bytes a row, whatever they stand for.
    Numbers,
    Texts,
    Flags,
    /// In the message at the end.
    Rest,
}

impl Way {
    fn of(data_type: &DataType) -> Self {
        match data_type {
            DataType::Utf8 => Self::Texts,
            DataType::Boolean => Self::Flags,
            _ if data_type.primitive_width() == Some(size_of::<i64>()) => Self::Numbers,
            _ => Self::Rest,
        }
    }
}

/// The columns of a table, and how each is packed.
#[derive(Debug, Clone)]
struct Columns {
    schema: SchemaRef,
    ways: Vec<Way>,
    /// Those of the message at the end, if there are any.
    rest: Option<SchemaRef>,
}

impl Columns {
    fn new(schema: &SchemaRef) -> Self {
        let ways: Vec<Way> =
            schema.fields().iter().map(|field| Way::of(field.data_type())).collect();
        let fields = schema.fields().iter().zip(&ways).filter(|(_, way)| **way == Way::Rest);
        let rest: Vec<_> = fields.map(|(field, _)| Arc::clone(field)).collect();
        let rest = (!rest.is_empty()).then(|| Arc::new(Schema::new(rest)));
        Self { schema: Arc::clone(schema), ways, rest }
    }
}

/// Packs rows of a table.
pub(super) struct Packer {
    columns: Columns,
    rest: Option<StreamWriter<Vec<u8>>>,
    /// The columns whose texts repeat.
    repeating: Vec<bool>,
    distances: Vec<u64>,
}

impl Packer {
    /// For rows with these columns.
    ///
    /// # Errors
    ///
    /// Columns that Arrow cannot send.
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let columns = Columns::new(schema);
        let mut rest = columns.rest.as_ref().map(writer).transpose()?;
        if let Some(rest) = &mut rest {
            // Both ends know the schema.
            rest.get_mut().clear();
        }
        let repeating = vec![false; columns.ways.len()];
        Ok(Self { columns, rest, repeating, distances: Vec::new() })
    }

    /// Looks at rows that are to be packed some at a time.
    pub(super) fn look_at(&mut self, rows: &RecordBatch) {
        let rows = rows.slice(0, rows.num_rows().min(TRIED));
        for (at, repeating) in self.repeating.iter_mut().enumerate() {
            if self.columns.ways[at] == Way::Texts {
                let texts = rows.column(at).as_string::<i32>();
                let mut seen = HashMap::new();
                seen.extend(texts.iter().flatten().map(|text| (text, ())));
                *repeating = seen.len() <= texts.len() / 4;
            }
        }
    }

    /// Packs rows at the end of `into`.
    ///
    /// # Errors
    ///
    /// Columns that are not of the table.
    pub(super) fn pack(&mut self, rows: &RecordBatch, into: &mut Vec<u8>) -> Result<()> {
        into.extend(u32::try_from(rows.num_rows()).map_err(|_| too_many())?.to_le_bytes());
        let mut rest = Vec::new();
        for (at, column) in rows.columns().iter().enumerate() {
            let way = self.columns.ways[at];
            if way == Way::Rest {
                rest.push(Arc::clone(column));
                continue;
            }
            let is_there = put_presence(column, into);
            if !is_there {
                continue;
            }
            match way {
                Way::Numbers => {
                    let data = column.to_data();
                    let numbers = &data.buffers()[0].typed_data::<i64>()[data.offset()..];
                    self.put_numbers(&numbers[..data.len()], column.nulls(), into);
                }
                Way::Texts if self.repeating[at] => self.put_repeating(column.as_string(), into),
                Way::Texts => {
                    into.push(0);
                    self.put_texts(column.as_string(), into);
                }
                Way::Flags => put_bits(column.as_boolean().values(), into),
                Way::Rest => {}
            }
        }
        if let (Some(writer), Some(schema)) = (&mut self.rest, &self.columns.rest) {
            writer.write(&RecordBatch::try_new(Arc::clone(schema), rest)?)?;
            into.append(writer.get_mut());
        }
        Ok(())
    }

    /// The least of some numbers, and how far each is from it; where there is none, nothing.
    fn put_numbers(&mut self, numbers: &[i64], nulls: Option<&NullBuffer>, into: &mut Vec<u8>) {
        let is_there = |at: usize| nulls.is_none_or(|nulls| nulls.is_valid(at));
        let there = numbers.iter().enumerate().filter(|(at, _)| is_there(*at));
        let least = there.map(|(_, number)| *number).min().unwrap_or_default();
        let far = |(at, number): (usize, &i64)| {
            if is_there(at) { number.wrapping_sub(least).cast_unsigned() } else { 0 }
        };
        self.distances.clear();
        self.distances.extend(numbers.iter().enumerate().map(far));
        into.extend(least.to_le_bytes());
        put_distances(&mut self.distances, into);
    }

    /// How long texts are, and all of them.
    fn put_texts(&mut self, texts: &StringArray, into: &mut Vec<u8>) {
        let offsets = texts.value_offsets();
        self.put_lengths(texts.offsets().lengths(), into);
        let [start, end] =
            [offsets.first(), offsets.last()].map(|at| at.map_or(0, |at| at.as_usize()));
        into.extend(&texts.values()[start..end]);
    }

    fn put_lengths(&mut self, lengths: impl Iterator<Item = usize>, into: &mut Vec<u8>) {
        self.distances.clear();
        self.distances.extend(lengths.map(|length| length as u64));
        // Ids are of one length, mostly.
        let least = self.distances.iter().copied().min().unwrap_or_default();
        self.distances.iter_mut().for_each(|length| *length -= least);
        into.extend(least.to_le_bytes());
        put_distances(&mut self.distances, into);
    }

    /// The distinct texts, and the number of each row's; of a row without the first.
    fn put_repeating(&mut self, texts: &StringArray, into: &mut Vec<u8>) {
        let (mut numbers, mut distinct) = (HashMap::new(), Vec::new());
        self.distances.clear();
        for text in texts {
            let number = text.map_or(0, |text| {
                *numbers.entry(text).or_insert_with(|| {
                    distinct.push(text);
                    distinct.len() as u64 - 1
                })
            });
            self.distances.push(number);
        }
        let Ok(count @ 1..) = u8::try_from(distinct.len()) else {
            into.push(0);
            return self.put_texts(texts, into);
        };
        into.push(count);
        put_distances(&mut self.distances, into);
        self.put_lengths(distinct.iter().map(|text| text.len()), into);
        for text in distinct {
            into.extend(text.as_bytes());
        }
    }
}

fn too_many() -> Error {
    Error::Broken("a parcel of rows of a bucket has more rows than 32 bits count".to_owned())
}

/// Which rows have something; says whether any has.
fn put_presence(column: &ArrayRef, into: &mut Vec<u8>) -> bool {
    let presence = match column.nulls() {
        Some(nulls) if nulls.null_count() == nulls.len() => Presence::None,
        Some(nulls) if nulls.null_count() > 0 => Presence::Some,
        _ => Presence::All,
    };
    into.push(presence as u8);
    if let (Presence::Some, Some(nulls)) = (presence, column.nulls()) {
        put_bits(nulls.inner(), into);
    }
    presence != Presence::None
}

/// Which rows of a column have something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    All,
    Some,
    None,
}

fn put_bits(bits: &BooleanBuffer, into: &mut Vec<u8>) {
    into.extend(&bits.sliced().as_slice()[..bits.len().div_ceil(8)]);
}

/// Distances: what they are multiples of, how many bytes each takes, and these.
fn put_distances(distances: &mut [u64], into: &mut Vec<u8>) {
    let divides = |unit: &u64| distances.iter().all(|distance| distance % unit == 0);
    let unit = match UNITS {
        [second, ..] if divides(&second) => 0,
        [_, thousandth, _] if divides(&thousandth) => 1,
        _ => 2,
    };
    match unit {
        0 => distances.iter_mut().for_each(|distance| *distance /= UNITS[0]),
        1 => distances.iter_mut().for_each(|distance| *distance /= UNITS[1]),
        _ => {}
    }
    let all = distances.iter().fold(0, |all, distance| all | distance);
    let width = (u64::BITS - all.leading_zeros()).div_ceil(8);
    into.extend([unit, width.to_le_bytes()[0]]);
    match width {
        0 => {}
        1 => put_each::<1>(distances, into),
        2 => put_each::<2>(distances, into),
        3 => put_each::<3>(distances, into),
        4 => put_each::<4>(distances, into),
        5 => put_each::<5>(distances, into),
        6 => put_each::<6>(distances, into),
        7 => put_each::<7>(distances, into),
        _ => put_each::<8>(distances, into),
    }
}

fn put_each<const WIDTH: usize>(distances: &[u64], into: &mut Vec<u8>) {
    let start = into.len();
    into.resize(start + WIDTH * distances.len(), 0);
    let (places, _) = into[start..].as_chunks_mut::<WIDTH>();
    for (place, distance) in places.iter_mut().zip(distances) {
        place.copy_from_slice(&distance.to_le_bytes()[..WIDTH]);
    }
}

/// Unpacks rows of a table.
pub(super) struct Unpacker {
    columns: Columns,
    rest: StreamDecoder,
}

impl Unpacker {
    /// For rows with these columns.
    ///
    /// # Errors
    ///
    /// Columns that Arrow cannot send.
    pub(super) fn new(schema: &SchemaRef) -> Result<Self> {
        let columns = Columns::new(schema);
        let mut rest = StreamDecoder::new();
        if let Some(schema) = &columns.rest {
            rest.decode(&mut Buffer::from(&writer(schema)?.get_ref()[..]))?;
        }
        Ok(Self { columns, rest })
    }

    /// Rows that were packed.
    ///
    /// # Errors
    ///
    /// What is no rows of the table.
    pub(super) fn unpack(&mut self, packed: Buffer) -> Result<RecordBatch> {
        let mut reading = Reading { packed, at: 0 };
        let count = usize::try_from(u32::from_le_bytes(reading.some()?)).map_err(|_| cut())?;
        let mut columns: Vec<Option<ArrayRef>> = Vec::with_capacity(self.columns.ways.len());
        for (way, field) in self.columns.ways.iter().zip(self.columns.schema.fields()) {
            columns.push(match way {
                Way::Rest => None,
                way => Some(reading.column(*way, field.data_type(), count)?),
            });
        }
        if self.columns.rest.is_some() {
            let rest = self.rest.decode(&mut reading.packed.slice(reading.at))?.ok_or_else(cut)?;
            let mut rest = rest.columns().iter().map(Arc::clone);
            for column in columns.iter_mut().filter(|column| column.is_none()) {
                *column = rest.next();
            }
        }
        let columns = columns.into_iter().collect::<Option<Vec<_>>>().ok_or_else(cut)?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.columns.schema), columns, &options)?)
    }
}

fn cut() -> Error {
    Error::Broken("a parcel of rows of a bucket does not hold what it says".to_owned())
}

/// Packed rows, and how far they are read.
struct Reading {
    packed: Buffer,
    at: usize,
}

impl Reading {
    fn bytes(&mut self, count: usize) -> Result<Buffer> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.packed.len());
        let end = end.ok_or_else(cut)?;
        let bytes = self.packed.slice_with_length(self.at, count);
        self.at = end;
        Ok(bytes)
    }

    fn some<const COUNT: usize>(&mut self) -> Result<[u8; COUNT]> {
        let (some, _) = self.packed[self.at..].split_first_chunk().ok_or_else(cut)?;
        self.at += COUNT;
        Ok(*some)
    }

    fn column(&mut self, way: Way, data_type: &DataType, count: usize) -> Result<ArrayRef> {
        let nulls = match self.some()? {
            [presence] if presence == Presence::All as u8 => None,
            [presence] if presence == Presence::Some as u8 => {
                Some(NullBuffer::new(self.bits(count)?))
            }
            _ => return Ok(make_array(ArrayData::new_null(data_type, count))),
        };
        Ok(match way {
            Way::Numbers | Way::Rest => {
                let least = i64::from_le_bytes(self.some()?);
                let number = |distance: u64| least.wrapping_add(distance.cast_signed());
                let numbers: Vec<i64> = self.distances(count)?.into_iter().map(number).collect();
                let data = ArrayData::builder(data_type.clone()).len(count).nulls(nulls);
                make_array(data.add_buffer(Buffer::from_vec(numbers)).build()?)
            }
            Way::Flags => Arc::new(BooleanArray::new(self.bits(count)?, nulls)),
            Way::Texts => {
                let [distinct] = self.some()?;
                if distinct == 0 {
                    let (offsets, texts) = self.texts(count)?;
                    return Ok(Arc::new(StringArray::try_new(offsets, texts, nulls)?));
                }
                let numbers = self.distances(count)?;
                let (offsets, texts) = self.texts(distinct.into())?;
                let distinct = StringArray::try_new(offsets, texts, None)?;
                let text = |number: u64| {
                    let number = usize::try_from(number).ok().filter(|at| *at < distinct.len());
                    number.map(|at| distinct.value(at)).ok_or_else(cut)
                };
                let mut of_rows = Vec::with_capacity(count);
                for (row, number) in numbers.into_iter().enumerate() {
                    let is_there = nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row));
                    of_rows.push(is_there.then(|| text(number)).transpose()?);
                }
                Arc::new(StringArray::from(of_rows))
            }
        })
    }

    fn bits(&mut self, count: usize) -> Result<BooleanBuffer> {
        Ok(BooleanBuffer::new(self.bytes(count.div_ceil(8))?, 0, count))
    }

    /// Where each of some texts begins and ends, and all of them.
    fn texts(&mut self, count: usize) -> Result<(OffsetBuffer<i32>, Buffer)> {
        let least = u64::from_le_bytes(self.some()?);
        let mut end: i32 = 0;
        let mut ends = vec![0];
        for more in self.distances(count)? {
            let length = least.checked_add(more).and_then(|length| i32::try_from(length).ok());
            end = length.and_then(|length| end.checked_add(length)).ok_or_else(cut)?;
            ends.push(end);
        }
        let texts = self.bytes(usize::try_from(end).map_err(|_| cut())?)?;
        Ok((OffsetBuffer::new(ends.into()), texts))
    }

    fn distances(&mut self, count: usize) -> Result<Vec<u64>> {
        let [unit, width] = self.some()?;
        let unit = *UNITS.get(usize::from(unit)).ok_or_else(cut)?;
        let bytes = self.bytes(count.checked_mul(width.into()).ok_or_else(cut)?)?;
        Ok(match width {
            0 => vec![0; count],
            1 => each::<1>(&bytes, unit),
            2 => each::<2>(&bytes, unit),
            3 => each::<3>(&bytes, unit),
            4 => each::<4>(&bytes, unit),
            5 => each::<5>(&bytes, unit),
            6 => each::<6>(&bytes, unit),
            7 => each::<7>(&bytes, unit),
            8 => each::<8>(&bytes, unit),
            _ => return Err(cut()),
        })
    }
}

fn each<const WIDTH: usize>(bytes: &[u8], unit: u64) -> Vec<u64> {
    let (places, _) = bytes.as_chunks::<WIDTH>();
    let distance = |place: &[u8; WIDTH]| {
        let mut bytes = [0; 8];
        bytes[..WIDTH].copy_from_slice(place);
        u64::from_le_bytes(bytes).wrapping_mul(unit)
    };
    places.iter().map(distance).collect()
}

/// A writer of rows, beginning with a schema.
fn writer(schema: &SchemaRef) -> Result<StreamWriter<Vec<u8>>> {
    // The least padding that Arrow allows: a parcel is small, and a column of it smaller.
    let options = IpcWriteOptions::try_new(8, false, MetadataVersion::V5)?;
    Ok(StreamWriter::try_new_with_options(Vec::new(), schema, options)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Float64Array, Int32Array, Int64Array, ListArray, StructArray, TimestampMicrosecondArray,
        UInt64Array,
    };
    use arrow::datatypes::{Field, Int64Type};
    use proptest::prelude::*;

    use super::*;

    fn table(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    fn packed(rows: &RecordBatch, step: usize) -> Vec<Vec<u8>> {
        let mut packer = Packer::new(&rows.schema()).unwrap();
        packer.look_at(rows);
        let starts = (0..rows.num_rows().max(1)).step_by(step);
        starts
            .map(|at| {
                let mut into = Vec::new();
                packer.pack(&rows.slice(at, step.min(rows.num_rows() - at)), &mut into).unwrap();
                into
            })
            .collect()
    }

    fn assert_arrives(rows: &RecordBatch) {
        let mut unpacker = Unpacker::new(&rows.schema()).unwrap();
        for step in [1, 3, rows.num_rows().max(1)] {
            let mut at = 0;
            for packed in packed(rows, step) {
                let some = unpacker.unpack(Buffer::from_vec(packed)).unwrap();
                assert_eq!(some, rows.slice(at, some.num_rows()), "from {at}, {step} together");
                at += some.num_rows();
            }
            assert_eq!(at, rows.num_rows());
        }
    }

    /// Rows with columns of every way, some of which lack some values.
    fn rows(
        numbers: &[Option<i64>],
        texts: &[Option<String>],
        flags: &[Option<bool>],
    ) -> RecordBatch {
        fn each<T>(numbers: &[Option<i64>], of: impl Fn(i64) -> T) -> Vec<Option<T>> {
            numbers.iter().map(|number| number.map(&of)).collect()
        }
        let times = TimestampMicrosecondArray::from(each(numbers, |n| n.wrapping_mul(1_000_000)));
        let kind = |number: i64| match number.rem_euclid(3) {
            0 => "a",
            1 => "b",
            _ => "",
        };
        let short = |number: i64| i32::try_from(number % 100_000).unwrap();
        let lists = each(numbers, |number| vec![Some(number), None]);
        let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
        let texts: StringArray = texts.iter().collect();
        let inner: ArrayRef = Arc::new(texts.clone());
        let within = vec![(Arc::new(Field::new("text", DataType::Utf8, true)), inner)];
        table(vec![
            ("number", Arc::new(Int64Array::from(numbers.to_vec()))),
            ("time", Arc::new(times.with_timezone("UTC"))),
            ("natural", Arc::new(UInt64Array::from(each(numbers, i64::cast_unsigned)))),
            ("share", Arc::new(Float64Array::from(each(numbers, |n| n as f64 / 3.0)))),
            ("list", Arc::new(lists)),
            ("text", Arc::new(texts)),
            ("kind", Arc::new(StringArray::from(each(numbers, kind)))),
            ("flag", Arc::new(BooleanArray::from(flags.to_vec()))),
            ("short", Arc::new(Int32Array::from(each(numbers, short)))),
            ("within", Arc::new(StructArray::from(within))),
        ])
    }

    proptest! {
        #[test]
        fn rows_arrive_as_they_were_packed(
            cells in prop::collection::vec(
                (prop::option::of(any::<i64>()), prop::option::of("[a-zé]{0,9}"), any::<Option<bool>>()),
                0..40,
            ),
            small in any::<bool>(),
        ) {
            let numbers: Vec<_> = cells
                .iter()
                .map(|(number, ..)| number.map(|number| if small { number % 300 } else { number }))
                .collect();
            let texts: Vec<_> = cells.iter().map(|(_, text, _)| text.clone()).collect();
            let flags: Vec<_> = cells.iter().map(|(.., flag)| *flag).collect();
            assert_arrives(&rows(&numbers, &texts, &flags));
        }
    }

    #[test]
    fn rows_of_every_length_arrive() {
        for count in [0, 1, 2, 7, 8, 9, 64, 5000] {
            let numbers: Vec<_> = (0..count).map(|at| (at % 4 != 0).then_some(at * at)).collect();
            let texts: Vec<_> =
                (0..count).map(|at| (at % 5 != 0).then(|| format!("t{at}"))).collect();
            let flags: Vec<_> = (0..count).map(|at| (at % 3 != 0).then_some(at % 2 == 0)).collect();
            assert_arrives(&rows(&numbers, &texts, &flags));
            let none = vec![None; numbers.len()];
            assert_arrives(&rows(&none, &vec![None; none.len()], &vec![None; none.len()]));
        }
        assert_arrives(&RecordBatch::new_empty(Arc::new(Schema::empty())));
    }

    #[test]
    fn the_ends_of_numbers_arrive() {
        let ends = Int64Array::from(vec![i64::MIN, i64::MAX, 0, -1]);
        assert_arrives(&table(vec![("number", Arc::new(ends))]));
    }

    #[test]
    fn what_repeats_takes_little() {
        let bytes = |column: ArrayRef| packed(&table(vec![("column", column)]), 1000)[0].len();
        // The number of rows, and what is said of a column, take less than thirty bytes.
        let seconds = (0..1000).map(|at| 1_700_000_000_000_000 + 1_000_000 * (at % 250));
        assert!(bytes(Arc::new(TimestampMicrosecondArray::from_iter_values(seconds))) < 1000 + 30);
        let thousandths = (0..1000).map(|at| 1000 * at);
        assert!(bytes(Arc::new(Int64Array::from_iter_values(thousandths))) < 2000 + 30);
        assert!(bytes(Arc::new(Int64Array::from_value(7, 1000))) < 30);
        assert!(bytes(Arc::new(Int64Array::new_null(1000))) < 30);
        let ids = (0..1000).map(|at| format!("{at:020}"));
        assert!(bytes(Arc::new(StringArray::from_iter_values(ids))) < 20 * 1000 + 30);
        let sources = (0..1000).map(|at| ["google", "newsletter", "bing"][at % 3]);
        assert!(bytes(Arc::new(StringArray::from_iter_values(sources))) < 1000 + 60);
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let texts: Vec<_> = (0..20).map(|at| Some(format!("text {at}"))).collect();
        let rows = rows(&[Some(5); 20], &texts, &[Some(true); 20]);
        let whole = packed(&rows, 20).remove(0);
        let mut unpacker = Unpacker::new(&rows.schema()).unwrap();
        assert!(unpacker.unpack(Buffer::from(&whole[..])).is_ok());
        for length in 0..whole.len() {
            let mut unpacker = Unpacker::new(&rows.schema()).unwrap();
            assert!(unpacker.unpack(Buffer::from(&whole[..length])).is_err(), "{length} bytes");
        }
    }
}
