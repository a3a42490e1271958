//! Reads the row groups of a table's files in parallel, in order, and judges every row; batches in memory
//! stand for row groups too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringViewArray, new_empty_array,
    new_null_array,
};
use arrow::compute::{can_cast_types, concat_batches, filter_record_batch, is_null, nullif};
use arrow::datatypes::{
    DataType, Field, FieldRef, Metadata, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use bytesize::ByteSize;
use hashbrown::HashMap;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
    RowFilter, RowSelection,
};
use parquet::basic::Type;
use parquet::errors::ParquetError;
use parquet::file::reader::ChunkReader;
use parquet::schema::types::{Type as ParquetType, TypePtr};
use rayon::prelude::*;

use super::ahead::Ahead;
use super::decode::{Amounts, Decoded, canonical_type, decode, decode_repetitive, repeated};
use super::files::Source;
use super::guarded::Guarded;
use super::memory::{Batches, Held, MemoryTable, of_group};
use super::opened::{self, Failing, told};
use super::seen::Seen;
use crate::error::{Error, Result};
use crate::ids::{Pseudonyms, text_hash};
use crate::money::{Currency, Units};
use crate::objects::{Fetched, Object};
use crate::schema::{
    FIELD_TIMES, Found, Kind, MAJOR, Mapping, Origin, Table, resolve, resolve_all,
};
use crate::stop;
use crate::validate::{self, BadValue, Judge, Reject, names_a_user};

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 64 * 1024;

/// Which columns of a table are wanted beyond those that are required or judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// Every column of the files.
    All,
    /// These, where the files have them.
    Named(BTreeSet<String>),
}

/// How a table is to be read.
#[derive(Debug, Clone)]
pub struct Reading<'a> {
    /// The table.
    pub table: Table,
    /// The columns wanted.
    pub needs: Needs,
    /// How the workspace names its columns.
    pub mapping: &'a Mapping,
    /// A column that is an amount although apportion does not know it.
    pub money: Option<&'a str>,
    /// The currency of rows that name none.
    pub currency: Currency,
    /// What amount columns hold, where the workspace says so.
    pub units: Option<Units>,
    /// Whether utm fields are folded to lower case.
    pub lower: bool,
    /// The run's clock: later rows are rejected.
    pub as_of: i64,
    /// Whose rows there are to be, of a table about users, where it is not everybody's; all others are as
    /// if the files did not have them, and places in files are not known.
    pub only: Option<&'a Users>,
    /// What user ids become once they are judged, where nobody is to be named.
    pub pseudonyms: Option<&'a Pseudonyms>,
}

/// Some users, by the hashes of their ids, each with the instant since when its touches matter.
#[derive(Debug, Clone, Default)]
pub struct Users(Arc<HashMap<u64, i64>>);

impl Users {
    /// These users, and since when the touches of each matter.
    pub fn new<'n>(users: impl Iterator<Item = (&'n str, i64)>) -> Self {
        Self(Arc::new(users.map(|(name, since)| (text_hash(name), since)).collect()))
    }

    fn since(&self, name: &str) -> Option<i64> {
        self.0.get(&text_hash(name)).copied()
    }
}

/// A file that was read.
#[derive(Debug, Clone)]
pub struct FileRead {
    /// The file.
    pub path: PathBuf,
    /// Its rows.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// Its columns, as understood.
    pub columns: Vec<Found>,
}

/// A table as accepted.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The accepted rows, in the order of the files, with canonical names and types.
    pub rows: RecordBatch,
    /// The rows that were rejected, in the order of the files.
    pub rejects: Vec<Reject>,
    /// How many accepted rows were repaired.
    pub repaired: u64,
    /// How many rows the files hold.
    pub read: u64,
    /// The files.
    pub files: Vec<FileRead>,
}

impl Loaded {
    /// A table that is not given: its required columns, and no rows.
    pub fn none(table: Table) -> Self {
        let required = table.columns().iter().filter(|column| column.required);
        let fields: Vec<Field> = required
            .map(|column| Field::new(column.name, canonical_type(column.kind), true))
            .collect();
        Self {
            rows: RecordBatch::new_empty(Arc::new(Schema::new(fields))),
            rejects: Vec::new(),
            repaired: 0,
            read: 0,
            files: Vec::new(),
        }
    }
}

struct Opened {
    path: Arc<Path>,
    bytes: u64,
    content: Content,
    columns: Vec<Found>,
}

/// Where a Parquet file is.
enum Place {
    /// On this machine, and what was seen of it.
    Here(PathBuf, Seen),
    /// In a store of objects.
    Away(Object),
}

/// What holds the rows.
enum Content {
    /// A Parquet file, of which its footer is known.
    Parquet { metadata: ArrowReaderMetadata, place: Place },
    /// Batches in memory.
    Memory(Arc<Batches>),
}

impl Content {
    fn schema(&self) -> &SchemaRef {
        match self {
            Self::Parquet { metadata, .. } => metadata.schema(),
            Self::Memory(batches) => &batches.schema,
        }
    }

    /// How many rows each row group has.
    fn groups(&self) -> Vec<usize> {
        match self {
            Self::Parquet { metadata, .. } => {
                let groups = metadata.metadata().row_groups().iter();
                groups.map(|group| usize::try_from(group.num_rows()).unwrap_or_default()).collect()
            }
            Self::Memory(batches) => {
                let rows = |group: &Vec<RecordBatch>| group.iter().map(RecordBatch::num_rows).sum();
                batches.groups.iter().map(rows).collect()
            }
        }
    }
}

/// A file's columns as understood, and its number of rows; nothing else is read.
pub fn describe(table: Table, source: &Source, mapping: &Mapping) -> Result<FileRead> {
    let opened = open(table, source, mapping)?;
    Ok(opened.read())
}

/// Reads every row of a table.
///
/// `progress` is told how many rows have been read since it was last told, from any thread.
///
/// # Errors
///
/// An unreadable file, a missing required column, a column of a wrong type: the run cannot go on.
pub fn read(
    reading: &Reading<'_>,
    sources: &[Source],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Loaded> {
    Ok(read_numbered(reading, sources, &[], &|_| Vec::new(), progress)?.0)
}

/// Decodes and judges every row of a table, and hands over the accepted ones batch by batch, from any
/// thread; the table that is returned has no rows.
///
/// # Errors
///
/// As of [`read`], and what `take` answers.
pub(crate) fn each(
    reading: &Reading<'_>,
    sources: &[Source],
    progress: &(dyn Fn(u64) + Sync),
    take: &(dyn Fn(RecordBatch) -> Result<()> + Sync),
) -> Result<Loaded> {
    let plan = Plan::new(reading, sources, &BTreeSet::new())?;
    plan.run(progress, &|_, rows| take(rows))
}

/// Reads every row of a table as [`read`] does; of some text columns only the numbers are kept that
/// `number` gives to them, batch by batch, and returned in their order.
pub fn read_numbered(
    reading: &Reading<'_>,
    sources: &[Source],
    columns: &[&str],
    number: &(dyn Fn(&StringViewArray) -> Vec<u32> + Sync),
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(Loaded, Vec<Vec<u32>>)> {
    let plan = Plan::new(reading, sources, &BTreeSet::new())?;
    let fields = plan.schema.fields().iter().enumerate();
    let others: Vec<usize> = fields
        .filter(|(_, field)| !columns.contains(&field.name().as_str()))
        .map(|(at, _)| at)
        .collect();
    let mut batches: Vec<Mutex<Vec<Numbered>>> = Vec::new();
    batches.resize_with(plan.groups().len(), Mutex::default);
    let mut loaded = plan.run(progress, &|group, rows| {
        let numbered = columns.iter().map(|column| {
            let texts = rows.column_by_name(column).map(|texts| texts.as_string_view());
            texts.map(number).unwrap_or_default()
        });
        let batch = (rows.project(&others)?, numbered.collect());
        batches[group].lock().unwrap_or_else(PoisonError::into_inner).push(batch);
        Ok(())
    })?;
    let batches = batches
        .into_iter()
        .flat_map(|batches| batches.into_inner().unwrap_or_else(PoisonError::into_inner));
    let mut numbers: Vec<Vec<u32>> = columns.iter().map(|_| Vec::new()).collect();
    let mut rows = Vec::new();
    for (batch, numbered) in batches {
        rows.push(batch);
        for (all, some) in numbers.iter_mut().zip(numbered) {
            all.extend(some);
        }
    }
    loaded.rows = concat_batches(&Arc::new(plan.schema.project(&others)?), &rows)?;
    Ok((loaded, numbers))
}

/// Rows of a table, and the numbers of columns that were taken out of them.
type Numbered = (RecordBatch, Vec<Vec<u32>>);

/// The files of a table, opened, and the row groups to read of them.
pub(super) struct Plan<'a> {
    reading: &'a Reading<'a>,
    files: Vec<Opened>,
    /// The columns of the whole table.
    pub(super) schema: SchemaRef,
    groups: Vec<Group>,
}

/// A row group.
#[derive(Clone, Copy)]
struct Group {
    file: usize,
    /// Its number in the file.
    of_file: usize,
    /// How many rows of the file come before it.
    first: u64,
    rows: usize,
}

impl<'a> Plan<'a> {
    /// Opens every file; `repetitive` names the columns that are read as dictionaries.
    pub(super) fn new(
        reading: &'a Reading<'a>,
        sources: &[Source],
        repetitive: &BTreeSet<&str>,
    ) -> Result<Self> {
        let files: Vec<Opened> = sources
            .par_iter()
            .map(|source| {
                let mut opened = open(reading.table, source, reading.mapping)?;
                for column in &mut opened.columns {
                    if reading.money == Some(column.name.as_str()) {
                        column.kind = Kind::Money;
                    }
                }
                let handy = with_handy_texts(&opened, repetitive).map_err(|source| {
                    let why = "its schema is damaged";
                    not_parquet(reading.table, &opened.path, why, Some(source))
                })?;
                if let (Content::Parquet { metadata, .. }, Some(handy)) =
                    (&mut opened.content, handy)
                {
                    *metadata = handy;
                }
                Ok(opened)
            })
            .collect::<Result<_>>()?;
        let mut groups = Vec::new();
        for (at, file) in files.iter().enumerate() {
            let mut first = 0;
            for (group, rows) in file.content.groups().into_iter().enumerate() {
                groups.push(Group { file: at, of_file: group, first, rows });
                first += rows as u64;
            }
        }
        let schema = canonical_schema(reading, &files, repetitive);
        Ok(Self { reading, files, schema, groups })
    }

    /// How many rows each row group has.
    pub(super) fn groups(&self) -> Vec<usize> {
        self.groups.iter().map(|group| group.rows).collect()
    }

    /// Decodes and judges every row, and hands over each batch of accepted ones with the number of
    /// its row group: groups from any thread, the batches of one in their order. The table that is
    /// returned has no rows.
    pub(super) fn run(
        &self,
        progress: &(dyn Fn(u64) + Sync),
        take: &(dyn Fn(usize, RecordBatch) -> Result<()> + Sync),
    ) -> Result<Loaded> {
        let parts = |group: usize| {
            let Group { file, of_file, .. } = self.groups[group];
            let file = &self.files[file];
            let Content::Parquet { metadata, place: Place::Away(object) } = &file.content else {
                return None;
            };
            Some((object, chunks(metadata, of_file, &mask(metadata, &self.columns(file)))))
        };
        let ahead = Ahead::new(self.groups.len(), &parts);
        let judged: Vec<(Vec<Reject>, u64)> = (0..self.groups.len())
            .into_par_iter()
            .map(|group| {
                let judged = self.run_group(group, &ahead, progress, take);
                // What is wrong with what a file holds may be that it is two, or cannot be read.
                judged.or_else(|error| self.check_unchanged(group).and(Err(error)))
            })
            .collect::<Result<_>>()?;
        self.files.iter().try_for_each(Opened::check_unchanged)?;
        let mut loaded = Loaded {
            rows: RecordBatch::new_empty(Arc::clone(&self.schema)),
            rejects: Vec::new(),
            repaired: 0,
            read: self.files.iter().map(|file| file.read().rows).sum(),
            files: self.files.iter().map(Opened::read).collect(),
        };
        for (rejects, repaired) in judged {
            loaded.rejects.extend(rejects);
            loaded.repaired += repaired;
        }
        Ok(loaded)
    }

    /// The values of a column in some of the accepted rows, in their order.
    ///
    /// `rows` are numbered over all files and ascend; `rejects` are those of the table. Nothing but
    /// the column is decoded.
    pub(super) fn pick(
        &self,
        column: &str,
        rows: &[u32],
        rejects: &[Reject],
    ) -> Result<Vec<ArrayRef>> {
        let mut tasks = Vec::with_capacity(self.groups.len());
        let (mut rest, mut before) = (rows, 0);
        for (group, size) in self.groups().into_iter().enumerate() {
            let rejected = self.rejected(group, size, rejects);
            let accepted = before + size - rejected.len();
            let (own, others) =
                rest.split_at(rest.partition_point(|row| (*row as usize) < accepted));
            tasks.push((group, in_group(own, before, &rejected)));
            (rest, before) = (others, accepted);
        }
        let picked: Vec<Vec<ArrayRef>> = tasks
            .into_par_iter()
            .map(|(group, rows)| {
                let picked = self.pick_of_group(group, column, &rows);
                picked.or_else(|error| self.check_unchanged(group).and(Err(error)))
            })
            .collect::<Result<_>>()?;
        self.files.iter().try_for_each(Opened::check_unchanged)?;
        Ok(picked.into_iter().flatten().collect())
    }

    /// An error if the file of a group is not what it was, or could not be read.
    fn check_unchanged(&self, group: usize) -> Result<()> {
        self.files[self.groups[group].file].check_unchanged()
    }

    /// The rows of a group that were rejected, by their number in it.
    fn rejected(&self, group: usize, size: usize, rejects: &[Reject]) -> Vec<usize> {
        let Group { file, first, .. } = self.groups[group];
        let of_group = |reject: &Reject| {
            let (path, row) = reject.place.as_ref()?;
            let row = usize::try_from(row.checked_sub(first + 1)?).ok()?;
            (**path == *self.files[file].path && row < size).then_some(row)
        };
        let mut rejected: Vec<usize> = rejects.iter().filter_map(of_group).collect();
        rejected.sort_unstable();
        rejected
    }

    fn pick_of_group(&self, group: usize, column: &str, rows: &[usize]) -> Result<Vec<ArrayRef>> {
        let (reading, file) = (self.reading, &self.files[self.groups[group].file]);
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let Some(column) = file.columns.iter().find(|found| found.name == column) else {
            return Ok(Vec::new());
        };
        let mut picked = Vec::new();
        for batch in self.open_group(group, None, &[column], Some(rows))? {
            let batch = batch.map_err(|source| undecodable(reading.table, &file.path, source))?;
            let amounts = Amounts { currency: None, default: reading.currency, units: None };
            let decoded = physical(column, &batch, batch.num_rows())
                .and_then(|(array, text)| decode(&array, column.kind, false, text, &amounts));
            let names_users = names_a_user(reading.table, &column.name);
            let pseudonyms = reading.pseudonyms.filter(|_| names_users);
            picked.extend(decoded.map(|decoded| {
                match (decoded.array.as_string_view_opt(), pseudonyms) {
                    (Some(_), Some(pseudonyms)) => pseudonyms.of_column(&decoded.array),
                    // A few texts must not keep the pages that all of them lie in.
                    (Some(texts), None) => Arc::new(texts.gc()),
                    (None, _) => decoded.array,
                }
            }));
        }
        Ok(picked)
    }

    /// The columns of a file that are read.
    fn columns<'f>(&self, file: &'f Opened) -> Vec<&'f Found> {
        let columns = file.columns.iter();
        columns.filter(|column| self.schema.field_with_name(&column.name).is_ok()).collect()
    }

    /// A reader of some columns of a row group, and of some of its rows where not all are wanted; of
    /// an object, what was fetched of it.
    fn open_group(
        &self,
        group: usize,
        fetched: Option<Fetched>,
        columns: &[&Found],
        rows: Option<&[usize]>,
    ) -> Result<Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>> {
        let Group { file, of_file, rows: total, .. } = self.groups[group];
        let file = &self.files[file];
        let (metadata, place) = match &file.content {
            Content::Parquet { metadata, place } => (metadata, place),
            Content::Memory(batches) => {
                let roots = roots(&batches.schema, columns);
                let found = of_group(&batches.groups[of_file], &roots, rows, BATCH_ROWS);
                return Ok(Box::new(found.into_iter()));
            }
        };
        let input = match (fetched, place) {
            (Some(fetched), _) => opened::Opened::Object(fetched),
            (None, Place::Here(place, seen)) => {
                let failing = Failing { path: place.clone(), seen: seen.clone() };
                opened::Opened::File(seen.open(place)?, failing)
            }
            (None, Place::Away(object)) => {
                let parts = chunks(metadata, of_file, &mask(metadata, columns));
                opened::Opened::Object(object.fetch(parts)?)
            }
        };
        let mut builder =
            ParquetRecordBatchReaderBuilder::new_with_metadata(input, metadata.clone())
                .with_row_groups(vec![of_file])
                .with_projection(mask(metadata, columns))
                .with_batch_size(BATCH_ROWS);
        if let Some(rows) = rows {
            let ranges = rows.iter().map(|row| *row..row + 1);
            let selection = RowSelection::from_consecutive_ranges(ranges, total);
            builder = builder.with_row_selection(selection);
        }
        // A store, which reads so, has tables in files only.
        let only = self.reading.only;
        let filter = only.and_then(|users| of_users(self.reading, file, metadata, users));
        if let Some(filter) = filter {
            builder = builder.with_row_filter(filter);
        }
        let reader = builder.build().map_err(|source| {
            let why = "its pages cannot be decoded";
            not_parquet(self.reading.table, &file.path, why, Some(source))
        })?;
        Ok(Box::new(Guarded::new(reader)))
    }

    fn run_group(
        &self,
        group: usize,
        ahead: &Ahead<'_>,
        progress: &(dyn Fn(u64) + Sync),
        take: &(dyn Fn(usize, RecordBatch) -> Result<()> + Sync),
    ) -> Result<(Vec<Reject>, u64)> {
        let Group { file, first: mut row, .. } = self.groups[group];
        let (reading, file, schema) = (self.reading, &self.files[file], &self.schema);
        let columns = self.columns(file);
        let (mut rejects, mut repaired) = (Vec::new(), 0);
        let fetched = ahead.take(group)?;
        for batch in self.open_group(group, fetched, &columns, None)? {
            stop::check()?;
            let batch = batch.map_err(|source| undecodable(reading.table, &file.path, source))?;
            let part = judge_batch(reading, file, &columns, &batch, row, schema)?;
            take(group, part.accepted)?;
            rejects.extend(part.rejects);
            repaired += part.repaired;
            row += batch.num_rows() as u64;
            progress(batch.num_rows() as u64);
        }
        Ok((rejects, repaired))
    }
}

/// What chooses the rows of some users, of a table that is about users, before other columns are decoded:
/// of touches those that are late enough.
fn of_users(
    reading: &Reading<'_>,
    file: &Opened,
    metadata: &ArrowReaderMetadata,
    users: &Users,
) -> Option<RowFilter> {
    let column = |name: &str| file.columns.iter().find(|found| found.name == name);
    let user = column(reading.table.user_column()?)?.clone();
    let is_touch = matches!(reading.table, Table::Sessions | Table::Postviews);
    let at = column("created_at").filter(|_| is_touch).cloned();
    let mask = mask(metadata, &[&user].into_iter().chain(&at).collect::<Vec<_>>());
    let (users, pseudonyms) = (users.clone(), reading.pseudonyms.cloned());
    let currency = reading.currency;
    let choose = move |batch: RecordBatch| -> Result<BooleanArray, ArrowError> {
        let decoded = |column: &Found| {
            let amounts = Amounts { currency: None, default: currency, units: None };
            let (array, text) = physical(column, &batch, batch.num_rows())?;
            Some(decode(&array, column.kind, false, text, &amounts)?.array)
        };
        // A column of a wrong type is told of where rows are judged: all of them are wanted for that.
        let all = || BooleanArray::from(vec![true; batch.num_rows()]);
        let Some(names) = decoded(&user) else { return Ok(all()) };
        let names = match &pseudonyms {
            Some(pseudonyms) => pseudonyms.of_column(&names),
            None => names,
        };
        let times = at.as_ref().and_then(decoded);
        let times = times.as_ref().map(|times| times.as_primitive::<TimestampMicrosecondType>());
        let is_wanted = |(row, name): (usize, Option<&str>)| {
            let since = name.and_then(|name| users.since(name));
            let is_late = |since: i64| {
                times.is_none_or(|times| times.is_null(row) || times.value(row) >= since)
            };
            Some(since.is_some_and(is_late))
        };
        Ok(names.as_string_view().iter().enumerate().map(is_wanted).collect())
    };
    Some(RowFilter::new(vec![Box::new(ArrowPredicateFn::new(mask, choose))]))
}

impl Opened {
    /// An error if it is a file that is not what it was when it was first opened, or could not be read.
    fn check_unchanged(&self) -> Result<()> {
        match &self.content {
            Content::Parquet { place: Place::Here(place, seen), .. } => seen.check_file(place),
            Content::Parquet { place: Place::Away(_), .. } | Content::Memory(_) => Ok(()),
        }
    }

    fn read(&self) -> FileRead {
        FileRead {
            path: self.path.to_path_buf(),
            // What a damaged footer says of all rows is not what its row groups hold.
            rows: self.content.groups().into_iter().map(|rows| rows as u64).sum(),
            bytes: self.bytes,
            columns: self.columns.clone(),
        }
    }
}

fn open(table: Table, source: &Source, mapping: &Mapping) -> Result<Opened> {
    let content = open_content(table, source)?;
    let path = &source.path;
    let columns = resolve(table, path, content.schema(), &source.hive, mapping)?;
    Ok(Opened { path: Arc::from(path.as_path()), bytes: source.bytes()?, content, columns })
}

/// The positions of columns among those of a file, each once and in its order: a name may hold a dot,
/// which a reader would take for a path.
fn roots(schema: &Schema, columns: &[&Found]) -> Vec<usize> {
    let position = |column: &&Found| match &column.origin {
        Origin::File(path) => schema.index_of(path.first()?).ok(),
        Origin::Folder(_) | Origin::Constant(_) => None,
    };
    let roots: BTreeSet<usize> = columns.iter().filter_map(position).collect();
    roots.into_iter().collect()
}

/// The columns of a file as its pages have them.
fn mask(metadata: &ArrowReaderMetadata, columns: &[&Found]) -> ProjectionMask {
    ProjectionMask::roots(metadata.parquet_schema(), roots(metadata.schema(), columns))
}

/// Where the columns of a row group lie that a mask takes.
fn chunks(metadata: &ArrowReaderMetadata, group: usize, mask: &ProjectionMask) -> Vec<Range<u64>> {
    let group = metadata.metadata().row_group(group);
    let wanted = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
    let range = |(start, length): (u64, u64)| start..start + length;
    wanted.map(|(_, chunk)| range(chunk.byte_range())).collect()
}

/// Everything that makes a file unreadable as its footer tells, without reading its rows: it is
/// none, lacks required columns, has columns of a wrong type.
pub fn examine(reading: &Reading<'_>, source: &Source) -> Vec<Error> {
    let (table, path) = (reading.table, &source.path);
    let content = match open_content(table, source) {
        Ok(content) => content,
        Err(error) => return vec![error],
    };
    let (columns, mut wrong) =
        resolve_all(table, path, content.schema(), &source.hive, reading.mapping);
    let amounts = Amounts { currency: None, default: reading.currency, units: reading.units };
    for column in columns.iter().filter(|column| column.kind != Kind::Any) {
        let of_file = matches!(column.origin, Origin::File(_));
        let none = new_empty_array(&column.data_type);
        if of_file && decode(&none, column.kind, false, false, &amounts).is_none() {
            wrong.push(wrong_type(table, path, column));
        }
    }
    wrong
}

fn open_content(table: Table, source: &Source) -> Result<Content> {
    let path = &source.path;
    if let Some(object) = &source.object {
        // A run asks for a footer several times.
        let metadata = object.footer(|fetched: Fetched| {
            let length = fetched.whole();
            read_footer(table, path, &opened::Opened::Object(fetched), length)
        })?;
        return Ok(Content::Parquet { metadata, place: Place::Away(object.clone()) });
    }
    let place = match source.memory.as_ref().map(MemoryTable::held) {
        Some(Held::Batches(batches)) => return Ok(Content::Memory(Arc::clone(batches))),
        Some(Held::Spilled(spilled)) => spilled.file.to_path_buf(),
        None => path.clone(),
    };
    let seen = source.seen.clone();
    let file = seen.open(&place)?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let metadata = read_footer(table, path, &file, length);
    // A footer that is being written is damaged too.
    let metadata = metadata.or_else(|error| seen.check_file(&place).and(Err(error)))?;
    Ok(Content::Parquet { metadata, place: Place::Here(place, seen) })
}

fn read_footer(
    table: Table,
    path: &Path,
    file: &impl ChunkReader,
    length: u64,
) -> Result<ArrowReaderMetadata> {
    if length == 0 {
        return Err(not_parquet(table, path, "it is empty", None));
    }
    let metadata =
        ArrowReaderMetadata::load(file, ArrowReaderOptions::new()).map_err(|source| {
            not_parquet(table, path, "it is something else, or was cut off", Some(source))
        })?;
    let wrong = |why: &str| not_parquet(table, path, why, None);
    check_footer(&metadata, length)
        .map_err(|why| wrong(&format!("its footer is damaged: {why}")))?;
    check_groups(&metadata).map_err(|why| wrong(&why))?;
    with_wide_times(metadata)
        .map_err(|source| not_parquet(table, path, "its schema is damaged", Some(source)))
}

fn wrong_type(table: Table, path: &Path, column: &Found) -> Error {
    Error::WrongType {
        table: table.name(),
        path: path.to_path_buf(),
        column: column.origin.to_string(),
        found: column.data_type.to_string(),
        expected: column.kind.expected(),
    }
}

/// What a damaged footer can claim, and the reader would stumble over.
fn check_footer(metadata: &ArrowReaderMetadata, length: u64) -> Result<(), String> {
    for group in metadata.metadata().row_groups() {
        if group.num_rows() < 0 {
            return Err("a row group has fewer than no rows".to_owned());
        }
        for chunk in group.columns() {
            let start = chunk.dictionary_page_offset().unwrap_or_else(|| chunk.data_page_offset());
            let end = u64::try_from(start).ok().zip(u64::try_from(chunk.compressed_size()).ok());
            let end = end.and_then(|(start, size)| start.checked_add(size));
            if end.is_none_or(|end| end > length) || chunk.data_page_offset() < 0 {
                let name = chunk.column_path().string();
                return Err(format!("column `{name}` lies outside the file"));
            }
        }
    }
    Ok(())
}

/// Rows of a row group: what a page can say that it has, and half of what rows are numbered by.
const MOST_GROUP_ROWS: u64 = 1 << 31;

/// Bytes of one column of a row group once they are decompressed. Writers begin a row group anew long before;
/// a few kilobytes that say that they become more are made to fill a memory.
const MOST_COLUMN_BYTES: u64 = 8 << 30;

/// A row group that is larger than any writer's, or says that it is.
fn check_groups(metadata: &ArrowReaderMetadata) -> Result<(), String> {
    let rewrite = "write the file again with smaller row groups";
    for (at, group) in (1..).zip(metadata.metadata().row_groups()) {
        let at: u64 = at;
        let rows = u64::try_from(group.num_rows()).unwrap_or_default();
        if rows > MOST_GROUP_ROWS {
            return Err(format!(
                "its row group {at} says that it has {rows} rows, more than {MOST_GROUP_ROWS}; {rewrite}"
            ));
        }
        for chunk in group.columns() {
            let bytes = u64::try_from(chunk.uncompressed_size()).unwrap_or_default();
            if bytes > MOST_COLUMN_BYTES {
                return Err(format!(
                    "its row group {at} says that column `{}` takes {} decompressed, more than {}; {rewrite}",
                    chunk.column_path().string(),
                    ByteSize(bytes),
                    ByteSize(MOST_COLUMN_BYTES)
                ));
            }
        }
    }
    Ok(())
}

/// Reads the old 96-bit times as microseconds: as nanoseconds they would wrap after the year 2262.
fn with_wide_times(metadata: ArrowReaderMetadata) -> Result<ArrowReaderMetadata, ParquetError> {
    let written = metadata.metadata().file_metadata().schema().get_fields();
    let schema = metadata.schema();
    let fields: Vec<FieldRef> = schema.fields().iter().map(Arc::clone).collect();
    let asked = with_all_years(&fields, written);
    if asked == fields {
        return Ok(metadata);
    }
    let schema = Arc::new(Schema::new_with_metadata(asked, schema.metadata().clone()));
    let options = ArrowReaderOptions::new().with_schema(schema);
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options)
}

/// The fields with times of 96 bits as microseconds, alone or in structs.
fn with_all_years(fields: &[FieldRef], written: &[TypePtr]) -> Vec<FieldRef> {
    let asked = |field: &FieldRef| -> Option<DataType> {
        let column = written.iter().find(|column| column.name() == field.name())?;
        match (field.data_type(), column.as_ref()) {
            (DataType::Timestamp(_, zone), ParquetType::PrimitiveType { physical_type, .. }) => {
                let micros = || DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
                (*physical_type == Type::INT96).then(micros)
            }
            (DataType::Struct(inner), ParquetType::GroupType { fields: written, .. }) => {
                Some(DataType::Struct(with_all_years(inner, written).into()))
            }
            _ => None,
        }
    };
    let with = |field: &FieldRef| match asked(field) {
        Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
        None => Arc::clone(field),
    };
    fields.iter().map(with).collect()
}

/// Where rows stand in their group: `rows` are numbered among all accepted ones, of which `before`
/// come before the group; `rejected` are the group's rows that are not among them.
fn in_group(rows: &[u32], before: usize, rejected: &[usize]) -> Vec<usize> {
    let mut passed = 0;
    let place = |row: &u32| {
        let mut row = *row as usize - before + passed;
        while rejected.get(passed).is_some_and(|rejected| *rejected <= row) {
            passed += 1;
            row += 1;
        }
        row
    };
    rows.iter().map(place).collect()
}

fn undecodable(table: Table, path: &Path, source: ArrowError) -> Error {
    not_parquet(table, path, "its pages cannot be decoded", Some(source.into()))
}

/// Asks for text as views of its pages, and for `repetitive` columns as the dictionaries that they
/// mostly are written as: neither copies what many rows share. Nothing is asked of a table in memory.
fn with_handy_texts(
    opened: &Opened,
    repetitive: &BTreeSet<&str>,
) -> Result<Option<ArrowReaderMetadata>, ParquetError> {
    let Content::Parquet { metadata, .. } = &opened.content else { return Ok(None) };
    let schema = metadata.schema();
    let wanted = |name: &str, data_type: &DataType| -> Option<DataType> {
        // A column of the file may serve as several of the table.
        let of_file = |column: &&Found| match &column.origin {
            Origin::File(path) => path.len() == 1 && path[0] == name,
            Origin::Folder(_) | Origin::Constant(_) => false,
        };
        let text = match data_type {
            DataType::Dictionary(_, values) => values,
            other => other,
        };
        if !matches!(text, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            return None;
        }
        let mut columns = opened.columns.iter().filter(of_file).peekable();
        let repeats = columns.peek().is_some()
            && columns.all(|column| repetitive.contains(column.name.as_str()));
        if repeats {
            let texts = Box::new(DataType::Utf8);
            return Some(DataType::Dictionary(Box::new(DataType::Int32), texts));
        }
        matches!(data_type, DataType::Utf8 | DataType::LargeUtf8).then_some(DataType::Utf8View)
    };
    let fields =
        schema.fields().iter().map(|field| match wanted(field.name(), field.data_type()) {
            Some(data_type) => Arc::new(field.as_ref().clone().with_data_type(data_type)),
            None => Arc::clone(field),
        });
    let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone());
    let options = ArrowReaderOptions::new().with_schema(Arc::new(schema));
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).map(Some)
}

fn not_parquet(table: Table, path: &Path, why: &str, source: Option<ParquetError>) -> Error {
    let source = match source.map(|source| told(path, source)) {
        // Not the file is at fault, but what it was asked of.
        Some(Ok(error)) => return error,
        Some(Err(source)) => Some(source),
        None => None,
    };
    Error::NotParquet { table: table.name(), path: path.to_path_buf(), why: why.to_owned(), source }
}

/// The columns of the whole table: what any file has of what is needed, canonical ones first.
fn canonical_schema(
    reading: &Reading<'_>,
    files: &[Opened],
    repetitive: &BTreeSet<&str>,
) -> SchemaRef {
    let table = reading.table;
    let columns = || files.iter().flat_map(|file| &file.columns);
    let found: BTreeMap<&str, Kind> =
        columns().map(|column| (column.name.as_str(), column.kind)).collect();
    // What passes through unasked must be something that a cell can hold.
    let nested: BTreeSet<&str> = columns()
        .filter(|column| {
            let shown =
                !column.data_type.is_nested() && can_cast_types(&column.data_type, &DataType::Utf8);
            column.kind == Kind::Any && !shown
        })
        .map(|column| column.name.as_str())
        .collect();
    let wanted = |name: &str| match &reading.needs {
        Needs::All => !nested.contains(name),
        Needs::Named(names) => names.contains(name),
    };
    let canonical = table.columns().iter().filter(|column| {
        // Who is authenticated signed up, known or not.
        let signed_up = column
            .name
            .strip_suffix("signed_up_at")
            .is_some_and(|prefix| found.contains_key(format!("{prefix}is_authenticated").as_str()));
        (found.contains_key(column.name) || signed_up)
            && (column.required || column.is_judged() || wanted(column.name))
    });
    // The times of fields are read with the fields.
    let known = |name: &str| {
        table.column(name).is_some_and(|column| column.required || column.is_judged())
            || wanted(name)
    };
    let others = found.iter().filter(|(name, _)| {
        let of_times = name.strip_prefix(FIELD_TIMES).and_then(|name| name.strip_prefix('.'));
        table.column(name).is_none() && of_times.map_or_else(|| wanted(name), known)
    });
    let fields = canonical
        .map(|column| (column.name, column.kind))
        .chain(others.map(|(name, kind)| (*name, *kind)))
        .map(|(name, kind)| {
            let data_type = canonical_type(kind);
            let data_type = if repetitive.contains(name) { repeated(data_type) } else { data_type };
            let field = Field::new(name, data_type, true);
            let of_name = |column: &&Found| column.name == name;
            // They were scaled by the currency that the row names, or by the workspace's.
            let major = |column: &Found| match units(reading, column) {
                Some(units) => units == Units::Major,
                None => !column.data_type.is_integer(),
            };
            if kind == Kind::Money && columns().filter(of_name).any(major) {
                let major = [(MAJOR.to_owned(), "true".to_owned())];
                field.with_metadata(major.into_iter().collect::<Metadata>())
            } else {
                field
            }
        });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// What a column's amounts hold: the file knows it better than the workspace.
fn units(reading: &Reading<'_>, column: &Found) -> Option<Units> {
    if column.is_major { Some(Units::Major) } else { reading.units }
}

struct Part {
    accepted: RecordBatch,
    rejects: Vec<Reject>,
    repaired: u64,
}

fn judge_batch(
    reading: &Reading<'_>,
    file: &Opened,
    columns: &[&Found],
    batch: &RecordBatch,
    first_row: u64,
    schema: &SchemaRef,
) -> Result<Part> {
    let rows = batch.num_rows();
    let mut arrays: BTreeMap<&str, ArrayRef> = BTreeMap::new();
    let mut bad: Vec<BadValue> = Vec::new();
    // Amounts are read in the row's currency, so money comes last.
    let (money, others): (Vec<&Found>, Vec<&Found>) =
        columns.iter().partition(|column| column.kind == Kind::Money);
    for column in others.into_iter().chain(money) {
        let Some((array, text_is_fine)) = physical(column, batch, rows) else {
            let why = format!("its pages do not hold the column `{}`", column.origin);
            return Err(not_parquet(reading.table, &file.path, &why, None));
        };
        let currency: Option<StringViewArray> = (column.kind == Kind::Money)
            .then(|| arrays.get("currency").map(|codes| codes.as_string_view().clone()))
            .flatten();
        let amounts = Amounts {
            currency: currency.as_ref(),
            default: reading.currency,
            units: units(reading, column),
        };
        let lower = reading.lower
            && (column.name.starts_with("utm_") || column.name.starts_with("via_utm_"));
        let is_repetitive = schema
            .field_with_name(&column.name)
            .is_ok_and(|field| matches!(field.data_type(), DataType::Dictionary(..)));
        let decode = if is_repetitive { decode_repetitive } else { decode };
        let Some(Decoded { array, bad: wrong }) =
            decode(&array, column.kind, lower, text_is_fine, &amounts)
        else {
            return Err(wrong_type(reading.table, &file.path, column));
        };
        bad.extend(wrong.into_iter().map(|(row, rule, message)| BadValue {
            row,
            column: column.name.clone(),
            rule,
            message,
        }));
        arrays.insert(&column.name, array);
    }
    let full: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| {
            arrays
                .get(field.name().as_str())
                .map_or_else(|| new_null_array(field.data_type(), rows), Arc::clone)
        })
        .collect();
    let decoded = RecordBatch::try_new(Arc::clone(schema), full)?;
    let judge = Judge { table: reading.table, file: &file.path, first_row, as_of: reading.as_of };
    let verdict = validate::judge(&judge, decoded, bad)?;
    let accepted = match &verdict.keep {
        Some(keep) => filter_record_batch(&verdict.rows, keep)?,
        None => verdict.rows,
    };
    let (mut accepted, mut rejects) = (accepted, verdict.rejects);
    if let Some(pseudonyms) = reading.pseudonyms {
        accepted = hashed(reading.table, &accepted, pseudonyms)?;
        rejects = rejects.into_iter().map(|reject| reject.hashed(pseudonyms)).collect();
    }
    Ok(Part { accepted, rejects, repaired: verdict.repaired })
}

/// Rows in which pseudonyms stand for user ids.
fn hashed(table: Table, rows: &RecordBatch, pseudonyms: &Pseudonyms) -> Result<RecordBatch> {
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, column)| {
        if names_a_user(table, field.name()) {
            pseudonyms.of_column(column)
        } else {
            ArrayRef::clone(column)
        }
    });
    Ok(RecordBatch::try_new(SchemaRef::clone(&schema), columns.collect())?)
}

/// A column's values as the file, its folder or the workspace gives them.
///
/// With it comes whether it is text for want of a type; `None` where the file does not hold it.
fn physical(column: &Found, batch: &RecordBatch, rows: usize) -> Option<(ArrayRef, bool)> {
    match &column.origin {
        Origin::Constant(value) | Origin::Folder(value) => {
            let repeated: StringViewArray =
                std::iter::repeat_n(Some(value.as_str()), rows).collect();
            Some((Arc::new(repeated), true))
        }
        Origin::File(path) => {
            let mut parts = path.iter();
            let root = parts.next().and_then(|root| batch.column_by_name(root));
            let mut array = Arc::clone(root?);
            for part in parts {
                let parent = array.as_struct_opt()?;
                let child = parent.column_by_name(part)?;
                // A child of nothing is nothing, also where the file says that children never are.
                array = nullif(child, &is_null(parent).ok()?).ok()?;
            }
            Some((array, false))
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn rows_are_found_behind_the_rejected_ones() {
        // Of ten rows the first, fourth and fifth are rejected: accepted ones stand at 1 2 5 6 7 8 9.
        let rows: Vec<u32> = (100..107).collect();
        assert_eq!(in_group(&rows, 100, &[0, 3, 4]), [1, 2, 5, 6, 7, 8, 9]);
        assert_eq!(in_group(&[101, 102, 106], 100, &[0, 3, 4]), [2, 5, 9]);
        assert_eq!(in_group(&[3], 0, &[]), [3]);
    }

    use std::fs::File;

    use arrow::array::{Int64Array, StringArray, StructArray};
    use parquet::arrow::ArrowWriter;
    use parquet::file::properties::WriterProperties;

    use super::*;
    use crate::input::find;
    use crate::validate::Rule;

    #[test]
    fn nested_users_and_row_numbers_across_row_groups_are_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sessions.parquet");
        let ids: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "null", "d"]));
        let user = StructArray::from(vec![(
            Arc::new(Field::new("external_id", DataType::Utf8, true)),
            ids,
        )]);
        let batch = RecordBatch::try_from_iter([
            ("user", Arc::new(user) as ArrayRef),
            ("external_id", Arc::new(Int64Array::from(vec![1, 2, 3, 4])) as ArrayRef),
            ("created_at", Arc::new(StringArray::from(vec!["2024-01-01"; 4])) as ArrayRef),
        ])
        .unwrap();
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1)).build();
        let file = File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let mapping = Mapping::default();
        let reading = Reading {
            table: Table::Sessions,
            needs: Needs::All,
            mapping: &mapping,
            money: None,
            currency: Currency::NONE,
            units: None,
            lower: false,
            as_of: i64::MAX,
            only: None,
            pseudonyms: None,
        };
        let sources = find(Table::Sessions, &[path.to_str().unwrap().into()]).unwrap();
        let loaded = read(&reading, &sources, &|_| ()).unwrap();
        assert_eq!((loaded.read, loaded.rows.num_rows()), (4, 3));
        let reject = &loaded.rejects[0];
        assert_eq!(reject.rule, Rule::PlaceholderUser);
        assert_eq!(reject.place.as_ref().unwrap().1, 3);
        let users = loaded.rows.column_by_name("user_external_id").unwrap().as_string_view();
        assert_eq!(users.iter().flatten().collect::<Vec<_>>(), ["a", "b", "d"]);
    }
}
