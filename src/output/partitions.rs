//! A table as a folder of Hive partitions: `credits/order_month=2026-11/credits.parquet`.
//!
//! Each partition that a run covers is replaced whole, or taken away where nothing is left of it, so
//! that the same run again changes nothing. Not for which runs may do so: that is `config`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use chrono_tz::Tz;
use tempfile::TempDir;

use crate::calendar::{Span, day_of, parse_day, start_of_day};
use crate::error::{Error, Result};
use crate::objects::{self, Sent, Upload, is_address};
use crate::output::{TableWriter, UNFINISHED, clear_left, failed, parquet_file};
use crate::stop;

/// Rows that wait in memory at most, of all partitions together; beyond it they wait on disk.
const MOST_WAITING: usize = 1 << 21;

/// Rows that are handed on together.
const TOGETHER: usize = 1 << 16;

/// What says which partition a row belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dated {
    /// The day of an instant in a column, which is written.
    At(&'static str),
    /// The label in a column, which the folder's name takes the place of.
    Label(&'static str),
}

/// How a table is divided into partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partitioning {
    /// What the names of folders begin with: `order_month`.
    pub key: String,
    /// What the file of each partition is called, without its ending.
    pub name: &'static str,
    /// What says where a row belongs.
    pub dated: Dated,
    /// How long a partition is.
    pub span: Span,
    /// The zone that days are counted in.
    pub zone: Tz,
    /// The instants that the run is about: partitions within are replaced.
    pub period: (i64, i64),
}

impl Partitioning {
    fn file(&self) -> String {
        format!("{}.parquet", self.name)
    }

    /// Where a partition's file is, from the folder on.
    fn place(&self, label: &str) -> String {
        format!("{}={}/{}", self.key, escaped(label), self.file())
    }

    /// Whether the run is about a partition.
    fn covers(&self, label: &str) -> bool {
        let day = match self.span {
            Span::Month => parse_day(&format!("{label}-01")),
            Span::Day | Span::Week => parse_day(label),
        };
        // What has no day is of every run.
        day.is_none_or(|day| {
            let start = start_of_day(day, self.zone);
            self.period.0 <= start && start < self.period.1
        })
    }

    /// The label of each row.
    fn labels(&self, rows: &RecordBatch) -> Result<Vec<String>> {
        let missing = |name: &str| Error::Broken(format!("rows have no `{name}`"));
        match self.dated {
            Dated::At(name) => {
                let column = rows.column_by_name(name).ok_or_else(|| missing(name))?;
                let times = column.as_primitive_opt::<TimestampMicrosecondType>();
                let times = times.ok_or_else(|| missing(name))?;
                let label = |at: &i64| self.span.label(day_of(*at, self.zone));
                Ok(times.values().iter().map(label).collect())
            }
            Dated::Label(name) => {
                let column = rows.column_by_name(name).ok_or_else(|| missing(name))?;
                let texts = cast(column, &DataType::Utf8View)?;
                let texts = texts.as_string_view().iter();
                Ok(texts.map(|text| text.unwrap_or(NO_VALUE).to_owned()).collect())
            }
        }
    }

    /// The rows as they are written.
    fn written(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let Dated::Label(name) = self.dated else { return Ok(rows.clone()) };
        let mut rows = rows.clone();
        rows.remove_column(rows.schema().index_of(name)?);
        Ok(rows)
    }
}

/// What a folder is called whose key has no value.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// A value as a folder's name can hold it.
fn escaped(value: &str) -> String {
    let mut name = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'(' | b')' => {
                name.push(char::from(byte));
            }
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name
}

/// A folder of partitions that is being written; dropped uncommitted, it leaves what was there.
#[derive(Debug)]
pub(super) struct Partitions {
    place: PathBuf,
    shared: Arc<Shared>,
    /// The partitions there are that the run is about.
    there: BTreeSet<String>,
}

/// What the writer of the rows and the folder have in common.
#[derive(Debug)]
struct Shared {
    partitioning: Partitioning,
    beside: TempDir,
    /// The partitions that were written.
    written: Mutex<BTreeSet<String>>,
}

impl Partitions {
    /// Begins a folder, or a prefix of a store.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to, or that holds something else than such partitions.
    pub(super) fn new(place: &Path, partitioning: Partitioning) -> Result<Self> {
        let is_away = is_address(&place.to_string_lossy());
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED);
        let (beside, files) = if is_away {
            let beside = builder.tempdir().map_err(Error::io("write", &std::env::temp_dir()))?;
            Upload::begin(&address(place, &partitioning.file()))?;
            let found = objects::list(&address(place, ""), false, &|_| true)?;
            let start = address(place, "").len();
            let of = |path: PathBuf| path.to_string_lossy().get(start..).map(str::to_owned);
            let files = found.objects.iter().filter_map(|object| of(object.path()));
            (beside, files.collect())
        } else {
            if place.exists() && !place.is_dir() {
                let why = "it is a file; partitions need a folder";
                return Err(Error::setting("output", place.display().to_string(), why));
            }
            let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
            let above = parent.unwrap_or_else(|| Path::new("."));
            let within = if place.is_dir() { place } else { above };
            let beside = builder.tempdir_in(within).map_err(Error::io("write", place))?;
            clear_left(beside.path());
            let mut files = Vec::new();
            if place.is_dir() {
                files_below(place, "", &mut files)?;
            }
            (beside, files)
        };
        stop::temporary(beside.path());
        let mut there = BTreeSet::new();
        for file in files {
            let Some(label) = label_of(&partitioning, &file) else {
                let place = place.display();
                return Err(Error::Contradiction(format!(
                    "`{place}` holds `{file}`, which is no `{}={}/{}`; partitions need a folder of their own",
                    partitioning.key,
                    if partitioning.span == Span::Month { "YYYY-MM" } else { "YYYY-MM-DD" },
                    partitioning.file()
                )));
            };
            if partitioning.covers(&label) {
                there.insert(label);
            }
        }
        let shared = Arc::new(Shared { partitioning, beside, written: Mutex::default() });
        Ok(Self { place: place.to_path_buf(), shared, there })
    }

    /// What takes the rows.
    pub(super) fn writer(&self) -> Box<dyn TableWriter> {
        Box::new(Writer {
            shared: Arc::clone(&self.shared),
            waiting: BTreeMap::new(),
            rows: 0,
            spilled: BTreeSet::new(),
        })
    }

    /// Does all that can fail before anything is seen.
    pub(super) fn ready(self) -> Result<Ready> {
        let Self { place, shared, there } = self;
        let written = shared.written.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let stale: Vec<String> = there.difference(&written).cloned().collect();
        if !is_address(&place.to_string_lossy()) {
            return Ok(Ready { place, shared, written, stale, sent: Vec::new() });
        }
        let upload = |label: &String| {
            let at = shared.partitioning.place(label);
            Upload::to(&address(&place, &at))?.send(&shared.beside.path().join(&at))
        };
        let sent = written.iter().map(upload).collect::<Result<_>>()?;
        Ok(Ready { place, shared, written, stale, sent })
    }
}

/// Partitions of which nothing is left to do but to let them be seen.
#[derive(Debug)]
pub(super) struct Ready {
    place: PathBuf,
    shared: Arc<Shared>,
    written: BTreeSet<String>,
    /// The partitions of which nothing is left.
    stale: Vec<String>,
    sent: Vec<Sent>,
}

impl Ready {
    /// Whether they go to a store.
    pub(super) fn is_sent(&self) -> bool {
        is_address(&self.place.to_string_lossy())
    }

    /// Puts each partition in its place, and takes away those of which nothing is left.
    pub(super) fn appear(self) -> Result<()> {
        let Self { place, shared, written, stale, sent } = self;
        let at = |label: &String| shared.partitioning.place(label);
        if is_address(&place.to_string_lossy()) {
            sent.into_iter().try_for_each(Sent::appear)?;
            return stale
                .iter()
                .try_for_each(|label| Upload::to(&address(&place, &at(label)))?.remove());
        }
        for label in &written {
            let (from, to) = (shared.beside.path().join(at(label)), place.join(at(label)));
            let folder = to.parent().unwrap_or(&place);
            let moved = fs::create_dir_all(folder).and_then(|()| fs::rename(&from, &to));
            moved.map_err(Error::io("write", &to))?;
        }
        for label in &stale {
            let path = place.join(at(label));
            fs::remove_file(&path).map_err(Error::io("write", &path))?;
            // Somebody may have put something hidden there.
            drop(path.parent().map(fs::remove_dir));
        }
        if written.is_empty() {
            fs::create_dir_all(&place).map_err(Error::io("write", &place))?;
        }
        Ok(())
    }
}

/// The address of something below a prefix.
fn address(prefix: &Path, below: &str) -> String {
    format!("{}/{below}", prefix.to_string_lossy().trim_end_matches('/'))
}

/// The files below a folder that are not hidden, by their path from it on.
fn files_below(folder: &Path, before: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
        let path = entry.map_err(Error::io("read", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            files_below(&path, &format!("{before}{name}/"), files)?;
        } else {
            files.push(format!("{before}{name}"));
        }
    }
    Ok(())
}

/// The partition whose file is at this place, if it is one's.
fn label_of(partitioning: &Partitioning, file: &str) -> Option<String> {
    let (folder, name) = file.split_once('/')?;
    let (key, value) = folder.split_once('=')?;
    let label = crate::input::percent_decoded(value);
    (name == partitioning.file() && key == partitioning.key).then_some(label)
}

/// Divides rows into partitions.
struct Writer {
    shared: Arc<Shared>,
    /// The rows of each partition that wait in memory, after those on disk.
    waiting: BTreeMap<String, Vec<RecordBatch>>,
    rows: usize,
    /// The partitions of which rows wait on disk.
    spilled: BTreeSet<String>,
}

impl Writer {
    fn spill(&self, label: &str) -> PathBuf {
        self.shared.beside.path().join(format!("{}.arrow", escaped(label)))
    }

    /// Lets all that waits in memory wait on disk.
    fn spill_all(&mut self) -> Result<()> {
        for (label, batches) in std::mem::take(&mut self.waiting) {
            let path = self.spill(&label);
            let file = OpenOptions::new().create(true).append(true).open(&path);
            let file = BufWriter::new(file.map_err(Error::io("write", &path))?);
            let rows = concat_batches(&batches[0].schema(), &batches)?;
            let mut writer = StreamWriter::try_new(file, &rows.schema())?;
            writer.write(&rows)?;
            writer.finish()?;
            self.spilled.insert(label);
        }
        self.rows = 0;
        Ok(())
    }

    /// Writes a partition: what waits on disk, then what waits in memory.
    fn write_partition(&self, label: &str, waiting: &[RecordBatch]) -> Result<()> {
        let at = self.shared.partitioning.place(label);
        let path = self.shared.beside.path().join(at);
        let io = || Error::io("write", &path);
        fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(io())?;
        let file = File::create(&path).map_err(io())?;
        let sink = BufWriter::with_capacity(1 << 18, file.try_clone().map_err(io())?);
        let mut together = Together { sink: Some(sink), writer: None, rows: Vec::new(), count: 0 };
        if self.spilled.contains(label) {
            let path = self.spill(label);
            let spilled = File::open(&path).map_err(Error::io("read", &path))?;
            let mut spilled = BufReader::new(spilled);
            while !std::io::BufRead::fill_buf(&mut spilled)
                .map_err(Error::io("read", &path))?
                .is_empty()
            {
                for rows in StreamReader::try_new(&mut spilled, None)? {
                    together.write(&rows?)?;
                }
            }
            fs::remove_file(&path).map_err(Error::io("write", &path))?;
        }
        waiting.iter().try_for_each(|rows| together.write(rows))?;
        together.finish()?;
        file.sync_all().map_err(io())?;
        let mut written = self.shared.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(label.to_owned());
        Ok(())
    }
}

impl TableWriter for Writer {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let labels = self.shared.partitioning.labels(rows)?;
        let rows = self.shared.partitioning.written(rows)?;
        let mut places: BTreeMap<&str, Vec<u32>> = BTreeMap::new();
        for (label, row) in labels.iter().zip(0..) {
            places.entry(label).or_default().push(row);
        }
        for (label, places) in places {
            let own = take_record_batch(&rows, &UInt32Array::from(places))?;
            self.waiting.entry(label.to_owned()).or_default().push(own);
        }
        self.rows += rows.num_rows();
        if self.rows > MOST_WAITING { self.spill_all() } else { Ok(()) }
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let labels: BTreeSet<String> = waiting.keys().chain(&self.spilled).cloned().collect();
        for label in labels {
            let rows = waiting.remove(&label).unwrap_or_default();
            self.write_partition(&label, &rows)?;
        }
        Ok(())
    }
}

/// Hands rows on together: what comes may be a few rows at a time.
struct Together {
    sink: Option<BufWriter<File>>,
    writer: Option<Box<dyn TableWriter>>,
    rows: Vec<RecordBatch>,
    count: usize,
}

impl Together {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows.push(rows.clone());
        self.count += rows.num_rows();
        if self.count >= TOGETHER { self.pass() } else { Ok(()) }
    }

    fn pass(&mut self) -> Result<()> {
        let Some(first) = self.rows.first() else { return Ok(()) };
        let schema: SchemaRef = first.schema();
        let rows = concat_batches(&schema, &self.rows)?;
        self.rows.clear();
        self.count = 0;
        if let Some(sink) = self.sink.take() {
            self.writer = Some((parquet_file::FORMAT.begin)(Box::new(sink), &schema)?);
        }
        match &mut self.writer {
            Some(writer) => writer.write(&rows),
            None => Err(failed("parquet")(&"it has ended")),
        }
    }

    fn finish(mut self) -> Result<()> {
        self.pass()?;
        self.writer.map_or(Ok(()), TableWriter::finish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::parse_instant;
    use arrow::array::{ArrayRef, Int64Array, TimestampMicrosecondArray};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReader;

    fn partitioning(period: (i64, i64)) -> Partitioning {
        Partitioning {
            key: "order_month".to_owned(),
            name: "credits",
            dated: Dated::At("order_at"),
            span: Span::Month,
            zone: Tz::Europe__Paris,
            period,
        }
    }

    fn rows(days: &[&str]) -> RecordBatch {
        let at = days.iter().map(|day| parse_instant(day).unwrap());
        let at = TimestampMicrosecondArray::from_iter_values(at).with_timezone("UTC");
        let number = (0..).take(days.len()).map(Some).collect::<Int64Array>();
        RecordBatch::try_from_iter([
            ("number", Arc::new(number) as ArrayRef),
            ("order_at", Arc::new(at) as ArrayRef),
        ])
        .unwrap()
    }

    fn write(place: &Path, period: (i64, i64), days: &[&str]) -> Result<()> {
        let partitions = Partitions::new(place, partitioning(period))?;
        let mut writer = partitions.writer();
        writer.write(&rows(days))?;
        writer.finish()?;
        partitions.ready()?.appear()
    }

    fn files(place: &Path) -> Vec<String> {
        let mut files = Vec::new();
        files_below(place, "", &mut files).unwrap();
        files.sort();
        files
    }

    #[test]
    fn partitions_of_the_period_are_replaced_whole_and_no_others() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("credits");
        let ever = (i64::MIN, i64::MAX);
        // By the clock of the zone the last is of another month.
        write(&place, ever, &["2024-01-31", "2024-02-05", "2024-02-29T23:30:00Z"]).unwrap();
        let file = |month: &str| format!("order_month={month}/credits.parquet");
        assert_eq!(files(&place), [file("2024-01"), file("2024-02"), file("2024-03")]);
        let before = fs::read(place.join(file("2024-01"))).unwrap();
        let zone = Tz::Europe__Paris;
        let start = |day: &str| start_of_day(parse_day(day).unwrap(), zone);
        let period = (start("2024-02-01"), start("2024-04-01"));
        write(&place, period, &["2024-02-06", "2024-02-07"]).unwrap();
        assert_eq!(files(&place), [file("2024-01"), file("2024-02")]);
        assert_eq!(fs::read(place.join(file("2024-01"))).unwrap(), before);
        let replaced = File::open(place.join(file("2024-02"))).unwrap();
        let reader = ParquetRecordBatchReader::try_new(replaced, 10).unwrap();
        assert_eq!(reader.map(|rows| rows.unwrap().num_rows()).sum::<usize>(), 2);
        drop(Partitions::new(&place, partitioning(ever)).unwrap());
        assert_eq!(fs::read_dir(&place).unwrap().count(), 2, "nothing is left behind");
    }

    #[test]
    fn what_waits_on_disk_comes_first_and_in_order() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("credits");
        let partitions = Partitions::new(&place, partitioning((i64::MIN, i64::MAX))).unwrap();
        let mut writer = Writer {
            shared: Arc::clone(&partitions.shared),
            waiting: BTreeMap::new(),
            rows: 0,
            spilled: BTreeSet::new(),
        };
        for _ in 0..2 {
            writer.write(&rows(&["2024-01-31", "2024-02-05", "2024-01-02"])).unwrap();
            writer.spill_all().unwrap();
        }
        writer.write(&rows(&["2024-01-03"])).unwrap();
        Box::new(writer).finish().unwrap();
        partitions.ready().unwrap().appear().unwrap();
        let file = File::open(place.join("order_month=2024-01/credits.parquet")).unwrap();
        let rows = ParquetRecordBatchReader::try_new(file, 10).unwrap().next().unwrap().unwrap();
        let numbers = rows.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        assert_eq!(numbers.values()[..], [0, 2, 0, 2, 0]);
    }

    #[test]
    fn a_folder_with_something_else_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        let ever = (i64::MIN, i64::MAX);
        for other in [
            "a.parquet",
            "order_day=2024-01-01/credits.parquet",
            "order_month=2024-01/part-0.parquet",
        ] {
            let place = home.path().join(other.replace('/', "-"));
            let path = place.join(other);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "theirs").unwrap();
            let error = write(&place, ever, &["2024-01-31"]).unwrap_err().to_string();
            assert!(error.contains("a folder of their own") && error.contains(other), "{error}");
            assert_eq!(files(&place), [other]);
        }
    }
}
