//! Columns of texts that repeat, as Parquet's dictionary codes: a row group's column at a time.
//!
//! The general encoder looks every text up by its letters, and compares it with the least and the greatest. Here a
//! text that was met is known by where it lies, one that was met lately without any search, and what is counted and
//! compared are the distinct ones. What is written is what any encoder may write (Apache
//! Parquet format 2.11, "Dictionary Encoding" and "Run Length Encoding / Bit-Packing Hybrid"). Not for texts that
//! are mostly distinct, which are left to the general encoder.

use arrow::array::{Array, StringViewArray};
use bytes::Bytes;
use hashbrown::HashMap;
use parquet::basic::{Compression, Encoding, PageType, Type, ZstdLevel};
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats,
};
use parquet::file::statistics::{Statistics, ValueStatistics};
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;

/// Rows of a page at most.
const PAGE_ROWS: usize = 20_000;
/// Bytes of a dictionary at most: what is more is not worth it.
const DICTIONARY: usize = 4 << 20;
/// After so many rows it is known whether texts repeat.
const TRIED: usize = 1 << 14;
/// The longest text that a page or a column is said to begin or end with.
const LONGEST_BOUND: usize = 64;

/// A column of a row group, ready to be appended.
pub(super) struct Chunk {
    /// Its pages.
    pub(super) bytes: Bytes,
    /// What the file says of it.
    pub(super) close: ColumnCloseResult,
}

/// The column of a row group as codes; none where its texts are mostly distinct, or there are none.
///
/// # Errors
///
/// Pages that Parquet refuses.
pub(super) fn encode(
    parts: &[&StringViewArray],
    column: &ColumnDescPtr,
) -> Result<Option<Chunk>, ParquetError> {
    if parts.iter().all(|part| part.null_count() == part.len()) {
        return Ok(None);
    }
    let mut dictionary = Dictionary::default();
    let mut codes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
    for part in parts {
        dictionary.encode(part, &mut codes);
        let distinct = dictionary.texts.len();
        if dictionary.bytes > DICTIONARY || (codes.len() >= TRIED && distinct > codes.len() / 2) {
            return Ok(None);
        }
    }
    Writing::new(&dictionary, column)?.write(&codes).map(Some)
}

/// The code of a row that has no text.
const NONE: u32 = u32::MAX;

/// So many texts that were met lately are looked for before all that were met: what rows say repeats soon, as the
/// touches of an order do under each model.
const RECENT: usize = 1 << 10;

/// Where among those a text is looked for, by where it lies.
fn recent_of(view: u128) -> usize {
    // Fibonacci hashing (Knuth, The Art of Computer Programming, 6.4).
    let mixed = (view ^ (view >> 96)).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    usize::try_from(mixed >> (u128::BITS - RECENT.ilog2())).expect("less than their number")
}

/// The distinct texts of a column, in the order in which they are met.
#[derive(Default)]
struct Dictionary<'t> {
    texts: Vec<&'t str>,
    codes: HashMap<&'t str, u32>,
    /// The codes of texts of the array at hand, by where they lie in it.
    met: HashMap<u128, u32>,
    /// What a page of it takes.
    bytes: usize,
}

impl<'t> Dictionary<'t> {
    /// The codes of the texts of an array.
    fn encode(&mut self, part: &'t StringViewArray, codes: &mut Vec<u32>) {
        let Self { texts, codes: known, met, bytes } = self;
        let mut code_of_text = |text: &'t str| {
            *known.entry(text).or_insert_with(|| {
                *bytes += size_of::<u32>() + text.len();
                texts.push(text);
                code_of(texts.len() - 1)
            })
        };
        // Where a text lies says something within its array alone.
        met.clear();
        let mut recent = vec![(0, NONE); RECENT];
        let nulls = part.nulls();
        for (row, view) in part.views().iter().enumerate() {
            if nulls.is_some_and(|nulls| nulls.is_null(row)) {
                codes.push(NONE);
                continue;
            }
            let recent = &mut recent[recent_of(*view)];
            if recent.0 != *view || recent.1 == NONE {
                let code = met.entry(*view).or_insert_with(|| code_of_text(part.value(row)));
                *recent = (*view, *code);
            }
            codes.push(recent.1);
        }
    }

    /// Its page, uncompressed: each text with its length before it.
    fn page(&self) -> Vec<u8> {
        let mut page = Vec::with_capacity(self.bytes);
        for text in &self.texts {
            page.extend(code_of(text.len()).to_le_bytes());
            page.extend(text.as_bytes());
        }
        page
    }

    /// The least and the greatest of some texts, where they are short enough to be said.
    fn bounds(&self, codes: impl Iterator<Item = u32> + Clone) -> Option<(&'t str, &'t str)> {
        let texts = codes.map(|code| self.texts[code as usize]);
        let bounds = texts.clone().min().zip(texts.max());
        bounds.filter(|(least, greatest)| least.len().max(greatest.len()) <= LONGEST_BOUND)
    }

    /// How many bits a code takes.
    fn width(&self) -> u32 {
        code_of(self.texts.len().saturating_sub(1)).checked_ilog2().map_or(0, |bits| bits + 1)
    }
}

/// A number that Parquet holds in 32 bits: of rows of a group, or bytes of a text.
fn code_of(number: usize) -> u32 {
    u32::try_from(number).expect("a row group has fewer rows, and a text fewer bytes")
}

/// What follows one another and is alike: what it is, and how often.
fn runs(values: impl Iterator<Item = u32>) -> impl Iterator<Item = (u32, usize)> {
    let mut values = values.peekable();
    std::iter::from_fn(move || {
        let value = values.next()?;
        let mut length = 1;
        while values.next_if_eq(&value).is_some() {
            length += 1;
        }
        Some((value, length))
    })
}

/// The codes of rows that have a text.
fn present(page: &[u32]) -> impl Iterator<Item = u32> {
    page.iter().copied().filter(|code| *code != NONE)
}

/// A column of a row group while it is written.
struct Writing<'d> {
    dictionary: &'d Dictionary<'d>,
    column: &'d ColumnDescPtr,
    compressor: Compressor<'static>,
    uncompressed: usize,
    /// The page in which each text was seen last.
    seen: Vec<usize>,
}

impl<'d> Writing<'d> {
    fn new(
        dictionary: &'d Dictionary<'d>,
        column: &'d ColumnDescPtr,
    ) -> Result<Self, ParquetError> {
        let seen = vec![usize::MAX; dictionary.texts.len()];
        let compressor = Compressor::new(ZstdLevel::default().compression_level())?;
        Ok(Self { dictionary, column, compressor, uncompressed: 0, seen })
    }

    fn write(mut self, codes: &[u32]) -> Result<Chunk, ParquetError> {
        let mut sink = TrackedWrite::new(Vec::new());
        let mut offsets = OffsetIndexBuilder::new();
        let mut index = ColumnIndexBuilder::new(Type::BYTE_ARRAY);
        let texts = code_of(self.dictionary.texts.len());
        let page = Page::DictionaryPage {
            buf: Bytes::from(self.dictionary.page()),
            num_values: texts,
            encoding: Encoding::PLAIN,
            is_sorted: false,
        };
        let mut writer = SerializedPageWriter::new(&mut sink);
        let of_dictionary = self.put(&mut writer, page)?;
        let mut first = None;
        let pages = codes.chunks(PAGE_ROWS);
        let pages_written = i32::try_from(pages.len()).map_err(too_large)?;
        for (at, page) in pages.enumerate() {
            let data = self.data_page(page);
            let written = self.put(&mut writer, data)?;
            first.get_or_insert(written.offset);
            let size = i32::try_from(written.compressed_size).map_err(too_large)?;
            offsets.append_row_count(number(page.len())?);
            offsets.append_offset_and_size(i64::try_from(written.offset).map_err(too_large)?, size);
            self.told(at, page, &mut index)?;
        }
        writer.close()?;
        let bytes = Bytes::from(sink.into_inner()?);
        let nulls = codes.len() - present(codes).count();
        let bounds = self.dictionary.bounds(0..texts);
        let (least, greatest) =
            bounds.map(|(least, greatest)| (least.into(), greatest.into())).unzip();
        let statistics =
            ValueStatistics::new(least, greatest, None, u64::try_from(nulls).ok(), false);
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
            .set_statistics(Statistics::ByteArray(statistics))
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

    fn data_page(&self, page: &[u32]) -> Page {
        let mut buf = Vec::new();
        if self.column.max_def_level() > 0 {
            let levels = page.iter().map(|code| u32::from(*code != NONE));
            let levels = Hybrid::of(levels, 1);
            buf.extend(code_of(levels.len()).to_le_bytes());
            buf.extend(levels);
        }
        let width = self.dictionary.width();
        buf.push(u8::try_from(width).expect("at most 32 bits"));
        buf.extend(Hybrid::of(present(page), width));
        Page::DataPage {
            buf: buf.into(),
            num_values: code_of(page.len()),
            encoding: Encoding::RLE_DICTIONARY,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        }
    }

    /// Says what texts a page holds.
    fn told(
        &mut self,
        at: usize,
        page: &[u32],
        index: &mut ColumnIndexBuilder,
    ) -> Result<(), ParquetError> {
        let mut distinct = Vec::new();
        for code in present(page) {
            let seen = &mut self.seen[code as usize];
            if *seen != at {
                *seen = at;
                distinct.push(code);
            }
        }
        let nulls = number(page.len() - present(page).count())?;
        match self.dictionary.bounds(distinct.iter().copied()) {
            Some((least, greatest)) => {
                index.append(false, least.into(), greatest.into(), nulls, None);
            }
            None if distinct.is_empty() => index.append(true, Vec::new(), Vec::new(), nulls, None),
            None => index.to_invalid(),
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

/// Numbers of some bits each, as runs of one and groups of eight.
struct Hybrid {
    width: u32,
    bytes: Vec<u8>,
    /// Numbers of groups that are not written yet.
    grouped: Vec<u32>,
}

impl Hybrid {
    /// A sequence of numbers.
    fn of(numbers: impl Iterator<Item = u32>, width: u32) -> Vec<u8> {
        let mut hybrid = Self { width, bytes: Vec::new(), grouped: Vec::new() };
        for (value, length) in runs(numbers) {
            hybrid.put(value, length);
        }
        hybrid.end_groups();
        hybrid.bytes
    }

    fn put(&mut self, value: u32, mut length: usize) {
        // A group that was begun has to be full.
        let missing = self.grouped.len().next_multiple_of(8) - self.grouped.len();
        let taken = if length < missing + 8 { length } else { missing };
        self.grouped.extend(std::iter::repeat_n(value, taken));
        length -= taken;
        if length > 0 {
            self.end_groups();
            self.number(length << 1);
            let bytes = self.width.div_ceil(8) as usize;
            self.bytes.extend(&value.to_le_bytes()[..bytes]);
        }
    }

    /// Writes the groups that wait; the last is filled up.
    fn end_groups(&mut self) {
        if self.grouped.is_empty() {
            return;
        }
        let groups = self.grouped.len().div_ceil(8);
        self.number(groups << 1 | 1);
        self.grouped.resize(8 * groups, 0);
        let (mut bits, mut held) = (0_u64, 0);
        for value in self.grouped.drain(..) {
            bits |= u64::from(value) << held;
            held += self.width;
            while held >= 8 {
                self.bytes.push(bits.to_le_bytes()[0]);
                (bits, held) = (bits >> 8, held - 8);
            }
        }
    }

    /// A number in as few bytes as it needs, seven bits in each.
    fn number(&mut self, mut number: usize) {
        while number >= 1 << 7 {
            self.bytes.push(number.to_le_bytes()[0] | 1 << 7);
            number >>= 7;
        }
        self.bytes.push(number.to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, RecordBatch, StringViewBuilder};
    use arrow::compute::concat_batches;
    use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
    use parquet::arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    };
    use parquet::file::metadata::PageIndexPolicy;

    use super::*;
    use crate::output::Format;

    /// A file of these batches, as it is written and read again.
    fn file(batches: &[RecordBatch]) -> (Bytes, RecordBatch) {
        let path = tempfile::NamedTempFile::new().unwrap();
        let format: &Format = crate::output::format("parquet").unwrap();
        let sink = Box::new(path.reopen().unwrap());
        let mut writer = (format.begin)(sink, &batches[0].schema()).unwrap();
        for batch in batches {
            writer.write(batch).unwrap();
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

    #[test]
    fn numbers_are_packed_as_the_format_says() {
        // The example of the format's description: 0 to 7 in three bits each.
        assert_eq!(Hybrid::of(0..8, 3), [3, 0b1000_1000, 0b1100_0110, 0b1111_1010]);
        // Eight alike and more are a run: twice its length, and the number.
        assert_eq!(Hybrid::of([4; 200].into_iter(), 3), [0b1001_0000, 0b11, 4]);
        // A group that was begun is filled up from the run after it.
        let ones_and = |zeros| [1; 3].into_iter().chain(std::iter::repeat_n(0, zeros));
        assert_eq!(Hybrid::of(ones_and(13), 1), [3, 0b0000_0111, 16, 0]);
        assert_eq!(Hybrid::of(ones_and(12), 1), [5, 0b0000_0111, 0]);
    }
}
