//! Reads a table of paths from CSV or Parquet: every row is right, or the file is refused.
//!
//! Not for rejects: a table of totals with a row left out would be another table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, StringViewArray};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::{Paths, Step, Transform};
use crate::engine::PathSums;
use crate::error::{Error, MissingColumn, Result};
use crate::input::Guarded;
use crate::money::{Currency, Units, minor_from_decimal};
use crate::objects::{self, conceal, is_address};

/// The columns of a table of paths; the first two are required.
pub const COLUMNS: [&str; 5] =
    ["path", "total_conversions", "total_conversion_value", "total_null", "currency"];

/// How many of them are required.
const REQUIRED: usize = 2;

/// What the table is called in errors.
const TABLE: &str = "paths";

/// What Parquet files begin with.
const PARQUET: [u8; 4] = *b"PAR1";

/// How a table of paths is to be read.
#[derive(Debug, Clone)]
pub struct PathsReading {
    /// What stands between the steps of a path; not empty.
    pub separator: String,
    /// What the file calls each of the [`COLUMNS`].
    pub names: [String; 5],
    /// The currency of rows that name none.
    pub currency: Currency,
    /// What values are given in, where that is said.
    pub units: Option<Units>,
    /// What is done to every path, one after the other.
    pub transforms: Vec<Transform>,
}

/// The names of columns where some are said as `paths.NAME=OWN`; the table's name may be left out.
///
/// # Example
///
/// ```
/// use apportion::paths::column_names;
/// let names = column_names(&["paths.total_conversions=orders".into()])?;
/// assert_eq!(names[..2], ["path", "orders"]);
/// # Ok::<(), apportion::Error>(())
/// ```
pub fn column_names(mappings: &[String]) -> Result<[String; 5]> {
    let mut names = COLUMNS.map(str::to_owned);
    for text in mappings {
        let Some((column, own)) = text.split_once('=') else {
            let why = "write `paths.COLUMN=NAME`, such as `paths.total_conversions=orders`";
            return Err(Error::setting("--column", text, why));
        };
        let column = column.trim().trim_start_matches("paths.");
        let known = COLUMNS.iter().position(|name| *name == column);
        let at = known.ok_or_else(|| Error::Unknown {
            kind: "column of paths",
            name: column.to_owned(),
            known: COLUMNS.map(str::to_owned).into(),
        })?;
        own.trim().clone_into(&mut names[at]);
    }
    Ok(names)
}

/// Reads a table of paths. Rows of one path are added up.
///
/// # Errors
///
/// A file that cannot be read, a column that is not there, or a row that says something that cannot
/// be; see [`Error`].
pub fn read(path: &Path, reading: &PathsReading) -> Result<Paths> {
    let path = &conceal(path)?;
    let mut gathered = Gathered::new(path, reading);
    let mut start = Vec::with_capacity(PARQUET.len());
    let mut file = open(path)?;
    let limit = PARQUET.len() as u64;
    (&file).take(limit).read_to_end(&mut start).map_err(Error::io("read", path))?;
    file.rewind().map_err(Error::io("read", path))?;
    let named_so = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("parquet"));
    if start == PARQUET || named_so {
        parquet_rows(path, file, &reading.names, &mut |row| gathered.take(row))?;
    } else {
        csv_rows(path, file, &reading.names, &mut |row| gathered.take(row))?;
    }
    Ok(gathered.finish())
}

/// Opens a file; an object is fetched into one that is gone once it is closed.
fn open(path: &Path) -> Result<File> {
    let Some(address) = path.to_str().filter(|path| is_address(path)) else {
        return File::open(path).map_err(Error::io("read", path));
    };
    let found = objects::list(address, false, &|_| true)?;
    let [object] = &found.objects[..] else {
        let pattern = address.to_owned();
        return Err(Error::NoFiles { table: TABLE, pattern });
    };
    let mut file = tempfile::tempfile().map_err(Error::io("write", &std::env::temp_dir()))?;
    let copied = io::copy(&mut objects::Stream::new(object), &mut file);
    copied.and_then(|_| file.rewind()).map_err(Error::io("read", &object.path()))?;
    Ok(file)
}

/// One row as text, a cell for each of the [`COLUMNS`]; none where it is empty or not there.
struct Row<'a> {
    /// `line` of CSV, `row` of Parquet.
    unit: &'static str,
    /// Its number, from 1.
    number: u64,
    cells: [Option<&'a str>; 5],
    /// Whether its value is a whole number by its type: then it is in minor units.
    whole: bool,
}

/// What a row is handed to.
type Take<'a> = &'a mut dyn FnMut(&Row<'_>) -> Result<()>;

fn csv_rows(path: &Path, file: File, names: &[String; 5], take: Take<'_>) -> Result<()> {
    let mut reader = csv::Reader::from_reader(file);
    let header = reader.headers().map_err(|error| not_csv(path, &error))?;
    let titles = header.iter().map(|title| title.trim_start_matches('\u{feff}').trim().to_owned());
    let places = places(path, names, &titles.collect::<Vec<_>>())?;
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(|error| not_csv(path, &error))? {
        let cell = |place: Option<usize>| place.and_then(|at| record.get(at)).map(str::trim);
        take(&Row {
            unit: "line",
            number: record.position().map_or(0, csv::Position::line),
            cells: places.map(|place| cell(place).filter(|cell| !cell.is_empty())),
            whole: false,
        })?;
    }
    Ok(())
}

/// What is wrong with a file as CSV.
fn not_csv(path: &Path, error: &csv::Error) -> Error {
    let line = error.position().map_or(1, csv::Position::line);
    let why = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => format!(
            "it has {len} cells, and the header {expected_len}; put a cell that holds a comma in quotes"
        ),
        csv::ErrorKind::Utf8 { .. } => {
            "it is not UTF-8; write the file as CSV in UTF-8, or as Parquet".to_owned()
        }
        _ => error.to_string(),
    };
    Error::Paths { path: path.to_path_buf(), place: format!("line {line}"), why }
}

fn parquet_rows(path: &Path, file: File, names: &[String; 5], take: Take<'_>) -> Result<()> {
    let not_parquet = |why: &str, source| Error::NotParquet {
        table: TABLE,
        path: path.to_path_buf(),
        why: why.to_owned(),
        source,
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)
        .map_err(|source| not_parquet("it is something else, or was cut off", Some(source)))?;
    let schema = Arc::clone(builder.schema());
    let titles: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let places = places(path, names, &titles)?;
    for place in places.into_iter().flatten() {
        let field = schema.field(place);
        if !can_cast_types(field.data_type(), &DataType::Utf8View) {
            return Err(Error::WrongType {
                table: TABLE,
                path: path.to_path_buf(),
                column: field.name().clone(),
                found: field.data_type().to_string(),
                expected: "text or a number",
            });
        }
    }
    let mask = ProjectionMask::roots(builder.parquet_schema(), places.into_iter().flatten());
    let batches = builder
        .with_projection(mask)
        .build()
        .map_err(|source| not_parquet("its pages cannot be decoded", Some(source)))?;
    let mut number = 0;
    for batch in Guarded::new(batches) {
        let batch = batch.map_err(|error| not_parquet(&error.to_string(), None))?;
        let mut whole = false;
        let mut columns: [Option<StringViewArray>; 5] = Default::default();
        for (at, column) in columns.iter_mut().enumerate().filter(|(at, _)| places[*at].is_some()) {
            let Some(array) = batch.column_by_name(&names[at]) else { continue };
            whole |= at == VALUE && array.data_type().is_integer();
            *column = Some(cast(array, &DataType::Utf8View)?.as_string_view().clone());
        }
        for row in 0..batch.num_rows() {
            number += 1;
            let cell = |column: &'_ Option<StringViewArray>| -> Option<String> {
                let column = column.as_ref().filter(|column| column.is_valid(row))?;
                Some(column.value(row).trim().to_owned()).filter(|cell| !cell.is_empty())
            };
            let cells = columns.each_ref().map(cell);
            let cells = cells.each_ref().map(Option::as_deref);
            take(&Row { unit: "row", number, cells, whole })?;
        }
    }
    Ok(())
}

/// Where each of the [`COLUMNS`] is among those of a file.
fn places(path: &Path, names: &[String; 5], titles: &[String]) -> Result<[Option<usize>; 5]> {
    let mut places = [None; 5];
    for (at, name) in names.iter().enumerate() {
        let mut found = titles.iter().enumerate().filter(|(_, title)| *title == name);
        places[at] = found.next().map(|(place, _)| place);
        if found.next().is_some() {
            return Err(Error::Paths {
                path: path.to_path_buf(),
                place: "the header".to_owned(),
                why: format!("two columns are named `{name}`; keep one"),
            });
        }
        // One that is named must be there.
        let needed = at < REQUIRED || name != COLUMNS[at];
        if places[at].is_none() && needed {
            return Err(Error::MissingColumn(Box::new(MissingColumn {
                table: TABLE,
                path: path.to_path_buf(),
                column: name.clone(),
                canonical: COLUMNS[at].to_owned(),
                columns: titles.to_vec(),
                taken: titles.iter().filter(|title| names.contains(title)).cloned().collect(),
            })));
        }
    }
    Ok(places)
}

/// Where the value is among the [`COLUMNS`].
const VALUE: usize = 2;

/// Rows that were taken, with channels numbered as they were met.
struct Gathered<'r> {
    path: PathBuf,
    reading: &'r PathsReading,
    /// The number of each channel, and whether it is direct.
    channels: BTreeMap<String, (u32, bool)>,
    currencies: BTreeSet<Currency>,
    rows: Vec<Taken>,
    /// All journeys so far, so that no sum of them can leave 64 bits.
    journeys: u64,
}

struct Taken {
    path: Vec<u32>,
    currency: Currency,
    conversions: u64,
    amount: i64,
    lost: u64,
}

impl<'r> Gathered<'r> {
    fn new(path: &Path, reading: &'r PathsReading) -> Self {
        Self {
            path: path.to_path_buf(),
            reading,
            channels: BTreeMap::new(),
            currencies: BTreeSet::new(),
            rows: Vec::new(),
            journeys: 0,
        }
    }

    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        let place = || format!("{} {}", row.unit, row.number);
        let wrong = |why: String| Error::Paths { path: self.path.clone(), place: place(), why };
        let [path, conversions, value, lost, currency] = row.cells;
        let name = |at: usize| &self.reading.names[at];
        let count = |at: usize, cell: Option<&str>| {
            cell.map_or(Some(0), whole_number).ok_or_else(|| {
                let cell = cell.unwrap_or_default();
                wrong(format!("`{}` is `{cell}`; write a whole number from 0 up", name(at)))
            })
        };
        let path = path.ok_or_else(|| {
            wrong(format!("`{}` is empty; a path has at least one channel", name(0)))
        })?;
        if conversions.is_none() {
            let why = format!("`{}` is empty; write 0 where there were none", name(1));
            return Err(wrong(why));
        }
        let (conversions, lost) = (count(1, conversions)?, count(3, lost)?);
        let currency: Currency = match currency {
            Some(code) => code.parse().map_err(&wrong)?,
            None => self.reading.currency,
        };
        let amount = match value {
            Some(text) => self.amount(text, currency, row.whole).ok_or_else(|| {
                let why = "write an amount such as `49.99`";
                wrong(format!("`{}` is `{text}`; {why}", name(VALUE)))
            })?,
            None => 0,
        };
        if conversions == 0 && amount != 0 {
            let (value, count) = (name(VALUE), name(1));
            let why = "a value is that of conversions; say how many there were";
            return Err(wrong(format!("`{value}` is not 0, but `{count}` is; {why}")));
        }
        let mut steps: Vec<Step> = Vec::new();
        for channel in path.split(&self.reading.separator).map(str::trim) {
            if channel.is_empty() {
                let separator = &self.reading.separator;
                let why = format!("put one channel between two `{separator}`");
                return Err(wrong(format!("`{path}` has a step without a channel; {why}")));
            }
            steps.push(Step { channel: channel.to_owned(), direct: is_direct(channel) });
        }
        let journeys = conversions.checked_add(lost);
        let all = journeys.and_then(|journeys| self.journeys.checked_add(journeys));
        self.journeys =
            all.ok_or_else(|| wrong("all journeys together do not fit 64 bits".to_owned()))?;
        for transform in &self.reading.transforms {
            transform.apply(&mut steps);
        }
        let path = steps.into_iter().map(|step| self.number(step)).collect();
        self.currencies.insert(currency);
        self.rows.push(Taken { path, currency, conversions, amount, lost });
        Ok(())
    }

    /// A value in minor units; none where it is no amount, or leaves 64 bits.
    fn amount(&self, text: &str, currency: Currency, whole: bool) -> Option<i64> {
        let amount = decimal(text)?;
        match self.reading.units {
            Some(Units::Minor) => amount.is_integer().then(|| amount.to_i64())?,
            None if whole => amount.to_i64(),
            _ => minor_from_decimal(amount, currency.exponent()),
        }
    }

    fn number(&mut self, step: Step) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "memory ends before 2^32 names do")]
        let next = self.channels.len() as u32;
        let (number, direct) = self.channels.entry(step.channel).or_insert((next, false));
        *direct |= step.direct;
        *number
    }

    fn finish(self) -> Paths {
        // Numbered in the byte order of names: what is learnt does not depend on the order of rows.
        let mut numbers = vec![0; self.channels.len()];
        for (place, (met, _)) in (0..).zip(self.channels.values()) {
            numbers[*met as usize] = place;
        }
        let mut currencies: Vec<Currency> = self.currencies.into_iter().collect();
        if currencies.is_empty() {
            currencies.push(self.reading.currency);
        }
        let mut sums = PathSums::new(currencies.len());
        for mut row in self.rows {
            for channel in &mut row.path {
                *channel = numbers[*channel as usize];
            }
            let currency = currencies.binary_search(&row.currency).unwrap_or_default();
            sums.convert(&row.path, currency, (row.conversions, i128::from(row.amount)));
            sums.lose(&row.path, row.lost);
        }
        let direct = self.channels.values().map(|(_, direct)| *direct).collect();
        Paths { channels: self.channels.into_keys().collect(), direct, currencies, sums }
    }
}

/// Whether a channel is direct: `direct` in any case, or `(direct)`.
pub fn is_direct(channel: &str) -> bool {
    let bare = channel.strip_prefix('(').and_then(|channel| channel.strip_suffix(')'));
    bare.unwrap_or(channel).eq_ignore_ascii_case("direct")
}

/// A number as it is written, exactly.
fn decimal(text: &str) -> Option<Decimal> {
    let plain = Decimal::from_str_exact(text).ok();
    plain.or_else(|| Decimal::from_scientific(text).ok())
}

/// A whole number from 0 up; `3.0` is one.
fn whole_number(text: &str) -> Option<u64> {
    decimal(text).filter(|number| number.is_integer() && !number.is_sign_negative())?.to_u64()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn reading() -> PathsReading {
        PathsReading {
            separator: " > ".to_owned(),
            names: COLUMNS.map(str::to_owned),
            currency: "EUR".parse().unwrap(),
            units: None,
            transforms: Vec::new(),
        }
    }

    fn read_text(text: &str) -> Result<Paths> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("paths.csv");
        fs::write(&path, text).unwrap();
        read(&path, &reading())
    }

    #[test]
    fn rows_of_one_path_add_up_whatever_their_order() {
        let some = "b > a,2,10.005,1,\n";
        let others = "(Direct),0,,3,\na,1.0,1e1,,JPY\nb > a,1,-2.00,0,eur\n";
        let header = "\u{feff}path,total_conversions,total_conversion_value,total_null,currency\n";
        let paths = read_text(&format!("{header}{some}{others}")).unwrap();
        assert_eq!(paths, read_text(&format!("{header}{others}{some}")).unwrap());
        assert_eq!(paths.channels, ["(Direct)", "a", "b"]);
        assert_eq!(paths.direct, [true, false, false]);
        let all: Vec<_> = paths.sums.iter().collect();
        // Half to even: 10.005 is 10.00.
        assert_eq!(all[2].0, [2, 1]);
        assert_eq!((all[2].1.converted(), all[2].1.lost), (3, 1));
        assert_eq!((&all[2].1.amounts[..], &all[1].1.amounts[..]), (&[800, 0][..], &[0, 10][..]));
    }

    #[test]
    fn a_row_that_cannot_be_is_named_by_its_line() {
        let header = "path,total_conversions,total_conversion_value,total_null";
        for (row, why) in [
            (",1,1,0", "line 3: `path` is empty; a path has at least one channel"),
            (
                "a >  > b,1,1,0",
                "line 3: `a >  > b` has a step without a channel; put one channel between two ` > `",
            ),
            ("a,,1,0", "line 3: `total_conversions` is empty; write 0 where there were none"),
            ("a,1.5,1,0", "line 3: `total_conversions` is `1.5`; write a whole number from 0 up"),
            ("a,1,1,-1", "line 3: `total_null` is `-1`; write a whole number from 0 up"),
            (
                "a,1,NaN,0",
                "line 3: `total_conversion_value` is `NaN`; write an amount such as `49.99`",
            ),
            (
                "a,0,5,1",
                "line 3: `total_conversion_value` is not 0, but `total_conversions` is; a value is that of conversions; say how many there were",
            ),
            ("a,18446744073709551615,5,1", "line 3: all journeys together do not fit 64 bits"),
            (
                "a,1",
                "line 3: it has 2 cells, and the header 4; put a cell that holds a comma in quotes",
            ),
        ] {
            let error = read_text(&format!("{header}\na > b,1,2.00,0\n{row}\n")).unwrap_err();
            assert!(error.to_string().ends_with(why), "{error}");
        }
        let error = read_text("path,conversions\na,1\n").unwrap_err();
        let hint = error.hint().unwrap();
        assert!(hint.contains("--column paths.total_conversions="), "{hint}");
        assert!(read_text("path,path,total_conversions\na,a,1\n").is_err());
    }

    #[test]
    fn no_rows_are_no_paths() {
        let paths = read_text("path,total_conversions\n").unwrap();
        assert_eq!((paths.sums.iter().count(), paths.currencies.len()), (0, 1));
    }
}
