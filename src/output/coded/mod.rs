//! Columns of values that repeat, as Parquet's dictionary codes: a row group's column at a time.
//!
//! The general encoder looks every value up by what it says, and compares it with the least and the greatest. Here
//! values that rows are said to have by number are looked up once each (a dictionary array), others are known by where
//! they lie, those met lately without any search; what is counted and compared are the distinct ones. What is written
//! is what any encoder may write (Apache Parquet format 2.11, "Dictionary Encoding"). `dictionary` finds the codes,
//! `hybrid` packs them. Not for values that are mostly distinct, which are left to the general encoder.

mod dictionary;
mod hybrid;

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array};
use arrow::datatypes::{
    DataType, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt32Type, UInt64Type,
};
use bytes::Bytes;
use parquet::basic::{Compression, Encoding, PageType, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

use dictionary::{Dictionary, NONE, Value, Values, code_of};
use hybrid::Hybrid;

/// Rows of a page at most.
const PAGE_ROWS: usize = 20_000;
/// Bytes of a decimal that is written by its code.
const DECIMAL: i32 = 16;

/// A column of a row group, ready to be appended.
pub(super) struct Chunk {
    /// Its pages.
    pub(super) bytes: Bytes,
    /// What the file says of it.
    pub(super) close: ColumnCloseResult,
}

/// The column of a row group as codes; none where its values are mostly distinct, there are none, or they are of a
/// type that is left to the general encoder.
///
/// Its parts are arrays of the column's type, or dictionary arrays of it.
///
/// # Errors
///
/// Pages that Parquet refuses.
pub(super) fn encode(
    parts: &[&ArrayRef],
    column: &ColumnDescPtr,
) -> Result<Option<Chunk>, ParquetError> {
    let parts: Vec<_> = parts.iter().map(|part| listed(part)).collect();
    let Some((_, first)) = parts.first() else { return Ok(None) };
    match first.data_type() {
        DataType::Utf8View => encode_as(&parts, column, |values| values.as_string_view()),
        DataType::Int64 => encode_as(&parts, column, |values| values.as_primitive::<Int64Type>()),
        DataType::UInt64 => encode_as(&parts, column, |values| values.as_primitive::<UInt64Type>()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            encode_as(&parts, column, |values| values.as_primitive::<TimestampMicrosecondType>())
        }
        DataType::Decimal128(..) if column.type_length() == DECIMAL => {
            encode_as(&parts, column, |values| values.as_primitive::<Decimal128Type>())
        }
        _ => Ok(None),
    }
}

/// A part of a column: the numbers of its rows' values, where these are listed once, and the values.
type Part<'p> = (Option<&'p UInt32Array>, &'p ArrayRef);

fn listed(part: &ArrayRef) -> Part<'_> {
    match part.as_dictionary_opt::<UInt32Type>() {
        Some(listed) => (Some(listed.keys()), listed.values()),
        None => (None, part),
    }
}

fn encode_as<'p, A: Values>(
    parts: &[Part<'p>],
    column: &ColumnDescPtr,
    typed: impl Fn(&'p ArrayRef) -> A,
) -> Result<Option<Chunk>, ParquetError> {
    if parts.iter().all(|(_, values)| values.null_count() == values.len()) {
        return Ok(None);
    }
    let parts = parts.iter().map(|(numbers, values)| (*numbers, typed(values)));
    let Some((dictionary, codes)) = Dictionary::of(parts) else { return Ok(None) };
    Writing::new(&dictionary, column)?.write(&codes).map(Some)
}

/// The codes of a page's rows.
struct Rows<'c> {
    /// Of every row.
    codes: &'c [u32],
    /// Of those that have a value.
    present: Cow<'c, [u32]>,
    /// The distinct ones among them, as they are met.
    distinct: Vec<u32>,
}

/// A column of a row group while it is written.
struct Writing<'d, V> {
    dictionary: &'d Dictionary<V>,
    column: &'d ColumnDescPtr,
    compressor: Compressor<'static>,
    uncompressed: usize,
    /// The page in which each value was seen last, from one.
    seen: Vec<u32>,
}

impl<'d, V: Value> Writing<'d, V> {
    fn new(dictionary: &'d Dictionary<V>, column: &'d ColumnDescPtr) -> Result<Self, ParquetError> {
        let seen = vec![0; dictionary.len()];
        let compressor = Compressor::new(ZstdLevel::default().compression_level())?;
        Ok(Self { dictionary, column, compressor, uncompressed: 0, seen })
    }

    fn write(mut self, codes: &[u32]) -> Result<Chunk, ParquetError> {
        let mut sink = TrackedWrite::new(Vec::new());
        let mut offsets = OffsetIndexBuilder::new();
        let mut index = ColumnIndexBuilder::new(self.column.physical_type());
        let distinct = code_of(self.dictionary.len());
        let page = Page::DictionaryPage {
            buf: Bytes::copy_from_slice(self.dictionary.page()),
            num_values: distinct,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let mut writer = SerializedPageWriter::new(&mut sink);
        let of_dictionary = self.put(&mut writer, page)?;
        let (mut first, mut nulls) = (None, 0);
        let pages = codes.chunks(PAGE_ROWS);
        let pages_written = i32::try_from(pages.len()).map_err(too_large)?;
        for (page, number_of_page) in pages.zip(1..) {
            let rows = self.rows(page, number_of_page);
            nulls += rows.codes.len() - rows.present.len();
            let written = self.put(&mut writer, self.data_page(&rows))?;
            first.get_or_insert(written.offset);
            let size = i32::try_from(written.compressed_size).map_err(too_large)?;
            offsets.append_row_count(number(page.len())?);
            offsets.append_offset_and_size(i64::try_from(written.offset).map_err(too_large)?, size);
            self.told(&rows, &mut index)?;
        }
        writer.close()?;
        let bytes = Bytes::from(sink.into_inner()?);
        let bounds = self.dictionary.bounds(0..distinct);
        let is_short = |value: V| value.bound().is_some();
        let said = bounds.filter(|(least, greatest)| is_short(*least) && is_short(*greatest));
        let stats = |page_type, encoding, count| PageEncodingStats { page_type, encoding, count };
        let metadata = ColumnChunkMetaData::builder(ColumnDescPtr::clone(self.column))
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE, Encoding::RLE_DICTIONARY])
            .set_page_encoding_stats(vec![
                stats(PageType::DICTIONARY_PAGE, Encoding::PLAIN, 1),
                stats(PageType::DATA_PAGE, Encoding::RLE_DICTIONARY, pages_written),
            ])
            .set_total_compressed_size(number(bytes.len())?)
            .set_total_uncompressed_size(number(self.uncompressed)?)
            .set_num_values(number(codes.len())?)
            .set_dictionary_page_offset(Some(
                i64::try_from(of_dictionary.offset).map_err(too_large)?,
            ))
            .set_data_page_offset(i64::try_from(first.unwrap_or_default()).map_err(too_large)?)
            .set_statistics(V::statistics(said, nulls as u64))
            .build()?;
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: codes.len() as u64,
            metadata,
            bloom_filter: None,
            column_index: index.valid().then(|| index.build()).transpose()?,
            offset_index: Some(offsets.build()),
        };
        Ok(Chunk { bytes, close })
    }

    /// Compresses a page and writes it.
    fn put(
        &mut self,
        writer: &mut SerializedPageWriter<'_, Vec<u8>>,
        page: Page,
    ) -> Result<PageWriteSpec, ParquetError> {
        let size = page.buffer().len();
        let compressed = self.compressor.compress(page.buffer())?;
        let page = match page {
            Page::DataPage {
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics,
                ..
            } => Page::DataPage {
                buf: compressed.into(),
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics,
            },
            Page::DictionaryPage { num_values, encoding, is_sorted, .. } => {
                Page::DictionaryPage { buf: compressed.into(), num_values, encoding, is_sorted }
            }
            Page::DataPageV2 { .. } => unreachable!("none is made here"),
        };
        let written = writer.write_page(CompressedPage::new(page, size))?;
        self.uncompressed += written.uncompressed_size;
        Ok(written)
    }

    /// The rows of a page, by its number.
    fn rows<'c>(&mut self, codes: &'c [u32], page: u32) -> Rows<'c> {
        let present = if codes.contains(&NONE) {
            codes.iter().copied().filter(|code| *code != NONE).collect()
        } else {
            Cow::Borrowed(codes)
        };
        let mut distinct = Vec::new();
        for code in present.iter() {
            let seen = &mut self.seen[*code as usize];
            if *seen != page {
                *seen = page;
                distinct.push(*code);
            }
        }
        Rows { codes, present, distinct }
    }

    fn data_page(&self, rows: &Rows<'_>) -> Page {
        let Rows { codes, present, distinct } = rows;
        let mut buf = Vec::new();
        if self.column.max_def_level() > 0 {
            let levels: Vec<u32> = codes.iter().map(|code| u32::from(*code != NONE)).collect();
            let levels = Hybrid::of(&levels, 1);
            buf.extend(code_of(levels.len()).to_le_bytes());
            buf.extend(levels);
        }
        // Codes are given as values are met: those of a page before are shorter.
        let width = distinct.iter().max().map_or(0, |most| u32::BITS - most.leading_zeros());
        buf.push(u8::try_from(width).expect("at most 32 bits"));
        buf.extend(Hybrid::of(present, width));
        Page::DataPage {
            buf: buf.into(),
            num_values: code_of(codes.len()),
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    }

    /// Says what values a page holds.
    fn told(&self, rows: &Rows<'_>, index: &mut ColumnIndexBuilder) -> Result<(), ParquetError> {
        let nulls = number(rows.codes.len() - rows.present.len())?;
        match self.dictionary.bounds(rows.distinct.iter().copied()) {
            None => index.append(true, Vec::new(), Vec::new(), nulls, None),
            Some((least, greatest)) => match least.bound().zip(greatest.bound()) {
                Some((least, greatest)) => index.append(false, least, greatest, nulls, None),
                None => index.to_invalid(),
            },
        }
        Ok(())
    }
}

fn number(size: usize) -> Result<i64, ParquetError> {
    i64::try_from(size).map_err(too_large)
}

fn too_large(error: std::num::TryFromIntError) -> ParquetError {
    ParquetError::External(Box::new(error))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Decimal128Array, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringViewArray,
        StringViewBuilder, TimestampMicrosecondArray, UInt64Array,
    };
    use arrow::compute::concat_batches;
    use arrow::datatypes::ArrowPrimitiveType;
    use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
    use parquet::arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    };
    use parquet::file::metadata::PageIndexPolicy;

    use super::*;
    use crate::output::{Format, TableWriter, plain, plain_schema};

    /// A file of these batches, as it is written and read again.
    fn file(batches: &[RecordBatch]) -> (Bytes, RecordBatch) {
        file_by(batches, |writer, batch| writer.write(batch))
    }

    fn file_by(
        batches: &[RecordBatch],
        write: impl Fn(&mut dyn TableWriter, &RecordBatch) -> crate::error::Result<()>,
    ) -> (Bytes, RecordBatch) {
        let path = tempfile::NamedTempFile::new().unwrap();
        let format: &Format = crate::output::format("parquet").unwrap();
        let sink = Box::new(path.reopen().unwrap());
        let mut writer = (format.begin)(sink, &plain_schema(&batches[0].schema())).unwrap();
        for batch in batches {
            write(&mut *writer, batch).unwrap();
        }
        writer.finish().unwrap();
        let bytes = Bytes::from(std::fs::read(path.path()).unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).unwrap();
        let schema = Arc::clone(reader.schema());
        let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
        (bytes, concat_batches(&schema, &read).unwrap())
    }

    /// Texts by their rows: runs, texts that change with every row, and rows without any.
    fn texts(rows: std::ops::Range<usize>) -> RecordBatch {
        let column = |text: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
            let mut texts = StringViewBuilder::new().with_deduplicate_strings();
            rows.clone().for_each(|row| texts.append_option(text(row)));
            Arc::new(texts.finish())
        };
        // Touches of orders under three models each; one has no text, and one an empty one.
        let touch = |row: usize| match 4 * (row / 60) + row % 20 {
            touch if touch % 7 == 0 => None,
            touch if touch % 7 == 1 => Some(String::new()),
            touch => Some(format!("a touch with a long name: {touch}")),
        };
        let columns = [
            ("one", column(&|_| Some("the only text there is, and not a short one".to_owned()))),
            ("runs", column(&|row| Some(format!("r{}", row / 700)))),
            (
                "few",
                column(&|row| (row % 11 != 0).then(|| format!("text number {}", row * row % 37))),
            ),
            ("blocks", column(&|row| Some(format!("{:?}", row % 4000 / (1 + row / 9000))))),
            ("stretches", column(&touch)),
            ("rare", column(&|row| (row % 25_000 == 3).then(|| "x".repeat(row / 1000)))),
            ("none", column(&|_| None)),
            ("distinct", column(&|row| Some(format!("a row's own text: {row}")))),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true)))
            .unwrap()
    }

    #[test]
    fn texts_are_read_as_they_were_however_they_repeat() {
        for (rows, step) in [(1, 1), (7, 3), (70_000, 9_999), (300_000, 65_536)] {
            let whole = texts(0..rows);
            let parts: Vec<RecordBatch> =
                (0..rows).step_by(step).map(|at| texts(at..rows.min(at + step))).collect();
            let (bytes, read) = file(&parts);
            assert_eq!(read, whole, "{rows} rows");
            let (again, _) = file(&parts);
            assert_eq!(bytes, again);
        }
    }

    #[test]
    fn what_a_file_says_of_texts_is_so() {
        let rows = 50_000;
        let (bytes, read) = file(&[texts(0..rows)]);
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let loaded = ArrowReaderMetadata::load(&bytes, options).unwrap();
        let metadata = loaded.metadata();
        let (group, index) = (metadata.row_group(0), metadata.page_index().unwrap().as_ref());
        for (field, column) in read.schema().fields().iter().zip(read.columns()) {
            let said = StatisticsConverter::try_new(
                field.name(),
                loaded.schema(),
                loaded.parquet_schema(),
            );
            let said = said.unwrap();
            let texts = column.as_string_view();
            let counted = said.row_group_null_counts([group]).unwrap().value(0);
            assert_eq!(counted, texts.null_count() as u64);
            let bounds = |texts: &StringViewArray| {
                let (least, greatest) =
                    (texts.iter().flatten().min(), texts.iter().flatten().max());
                (least.map(str::to_owned), greatest.map(str::to_owned))
            };
            let of = |array: &ArrayRef, at: usize| {
                let texts = array.as_string_view();
                texts.is_valid(at).then(|| texts.value(at).to_owned())
            };
            let of_group =
                (said.row_group_mins([group]).unwrap(), said.row_group_maxes([group]).unwrap());
            assert_eq!((of(&of_group.0, 0), of(&of_group.1, 0)), bounds(texts), "{field}");
            if field.name() == "distinct" {
                continue;
            }
            let of_pages = (
                said.data_page_mins(index, [&0]).unwrap(),
                said.data_page_maxes(index, [&0]).unwrap(),
            );
            let nulls = said.data_page_null_counts(index, [&0]).unwrap();
            for (page, at) in (0..rows).step_by(PAGE_ROWS).enumerate() {
                let texts = texts.slice(at, PAGE_ROWS.min(rows - at));
                let told = (of(&of_pages.0, page), of(&of_pages.1, page));
                assert_eq!(told, bounds(&texts), "{field}");
                assert_eq!(nulls.value(page), texts.null_count() as u64, "{field}");
            }
        }
        let is_coded = |at: usize| group.column(at).dictionary_page_offset().is_some();
        assert!((0..5).all(is_coded));
        // A reader that wants some rows of the third page reads that page.
        let wanted = RowSelection::from_consecutive_ranges(std::iter::once(45_000..45_007), rows);
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(bytes, loaded.clone());
        let found = reader.with_row_selection(wanted).build().unwrap().next().unwrap().unwrap();
        assert_eq!(found, read.slice(45_000, 7));
    }

    /// Numbers and texts of some rows, each value listed once: with values that no row has, rows without a value by
    /// their number and by the value, and values that are listed twice.
    fn listed_rows(rows: std::ops::Range<usize>) -> RecordBatch {
        let most = 50_u32;
        let number = |row: usize| u32::try_from(row * row % 89 * (row / 64) % 50).unwrap();
        let keys = |none: usize| -> UInt32Array {
            rows.clone().map(|row| (row % none != 1).then(|| number(row))).collect()
        };
        let each = || (0..most).map(|value| (value % 7 != 3).then_some(value / 2));
        let long = |value| format!("the text of number {value}, which lies elsewhere");
        let amounts = |digits| -> ArrayRef {
            let amounts = each().map(|value| Some(1000 - 77 * i128::from(value?)));
            let amounts: Decimal128Array = amounts.collect();
            Arc::new(amounts.with_precision_and_scale(digits, 2).unwrap())
        };
        let (few, none) = (keys(usize::MAX), keys(5));
        let values: Vec<(&str, &UInt32Array, ArrayRef)> = vec![
            (
                "texts",
                &few,
                Arc::new(each().map(|value| value.map(long)).collect::<StringViewArray>()),
            ),
            (
                "signed",
                &few,
                Arc::new(each().map(|value| Some(11 - i64::from(value?))).collect::<Int64Array>()),
            ),
            (
                "unsigned",
                &none,
                Arc::new(
                    each().map(|value| Some(u64::MAX - u64::from(value?))).collect::<UInt64Array>(),
                ),
            ),
            (
                "times",
                &none,
                Arc::new(
                    each()
                        .map(|value| Some(i64::from(value?) * 86_400_000_000))
                        .collect::<TimestampMicrosecondArray>()
                        .with_timezone("UTC"),
                ),
            ),
            ("amounts", &few, amounts(38)),
            ("few digits", &few, amounts(12)),
            (
                "shares",
                &none,
                Arc::new(
                    each().map(|value| Some(f64::from(value?) / 3.0)).collect::<Float64Array>(),
                ),
            ),
            ("nothing", &none, Arc::new(StringViewArray::new_null(most as usize))),
        ];
        let columns = values.into_iter().map(|(name, keys, values)| {
            let listed = DictionaryArray::try_new(keys.clone(), values).unwrap();
            (name, Arc::new(listed) as ArrayRef, true)
        });
        RecordBatch::try_from_iter_with_nullable(columns).unwrap()
    }

    #[test]
    fn values_that_are_listed_are_written_as_those_of_each_row() {
        for (rows, step) in [(1, 1), (70_000, 9_999), (300_000, 65_536)] {
            let parts: Vec<RecordBatch> =
                (0..rows).step_by(step).map(|at| listed_rows(at..rows.min(at + step))).collect();
            let all: Vec<RecordBatch> = parts.iter().map(|part| plain(part).unwrap()).collect();
            let whole = concat_batches(&all[0].schema(), &all).unwrap();
            let (bytes, read) = file_by(&parts, |writer, part| writer.write_listed(part));
            assert_eq!(read, whole, "{rows} rows");
            assert!(bytes == file(&all).0, "{rows} rows");
        }
    }

    #[test]
    fn what_a_file_says_of_numbers_is_so() {
        fn check<T: ArrowPrimitiveType>(loaded: &ArrowReaderMetadata, name: &str, column: &ArrayRef)
        where
            T::Native: Ord,
        {
            let numbers = column.as_primitive::<T>();
            let metadata = loaded.metadata();
            let (group, index) = (metadata.row_group(0), metadata.page_index().unwrap().as_ref());
            let said = StatisticsConverter::try_new(name, loaded.schema(), loaded.parquet_schema())
                .unwrap();
            let first =
                |array: ArrayRef, at: usize| array.as_primitive::<T>().iter().nth(at).unwrap();
            assert_eq!(
                first(said.row_group_mins([group]).unwrap(), 0),
                numbers.iter().flatten().min()
            );
            assert_eq!(
                first(said.row_group_maxes([group]).unwrap(), 0),
                numbers.iter().flatten().max()
            );
            let counted = said.row_group_null_counts([group]).unwrap().value(0);
            assert_eq!(counted, numbers.null_count() as u64);
            for (page, at) in (0..numbers.len()).step_by(PAGE_ROWS).enumerate() {
                let of_page = numbers.slice(at, PAGE_ROWS.min(numbers.len() - at));
                let least = first(said.data_page_mins(index, [&0]).unwrap(), page);
                let greatest = first(said.data_page_maxes(index, [&0]).unwrap(), page);
                assert_eq!(least, of_page.iter().flatten().min(), "{name}");
                assert_eq!(greatest, of_page.iter().flatten().max(), "{name}");
                let nulls = said.data_page_null_counts(index, [&0]).unwrap().value(page);
                assert_eq!(nulls, of_page.null_count() as u64, "{name}");
            }
        }
        let (bytes, read) =
            file_by(&[listed_rows(0..50_000)], |writer, rows| writer.write_listed(rows));
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
        let loaded = ArrowReaderMetadata::load(&bytes, options).unwrap();
        let column = |name: &str| read.column_by_name(name).unwrap();
        check::<Int64Type>(&loaded, "signed", column("signed"));
        check::<UInt64Type>(&loaded, "unsigned", column("unsigned"));
        check::<TimestampMicrosecondType>(&loaded, "times", column("times"));
        check::<Decimal128Type>(&loaded, "amounts", column("amounts"));
    }
}
