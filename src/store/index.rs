//! The rows of input files, each in four numbers: enough to tell which of them came and went between
//! two runs, and whose they are, without reading again what has not changed.
//!
//! Not for what a row says: whoever needs that reads the file.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};

use crate::error::{Error, Result};
use crate::ids::{bytes_hash, text_hash};
use crate::schema::Table;

/// An accepted row of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// The user whose it is, as [`text_hash`] of its id; zero of a table that is not about users.
    pub(crate) user: u64,
    /// What it is a row of: a touch, an order (also of its items), a device; zero of other tables.
    pub(crate) thing: u64,
    /// When it was, in microseconds; the least there is where the table does not say.
    pub(crate) at: i64,
    /// All that it says.
    pub(crate) digest: u64,
}

/// Bytes of an entry in a file.
const ENTRY_BYTES: usize = 32;

/// The tables whose rows are indexed: those that credits and journeys follow from, once it is known who is
/// who.
pub(crate) const INDEXED: [Table; 6] = [
    Table::Sessions,
    Table::Postviews,
    Table::Orders,
    Table::OrderItems,
    Table::Devices,
    Table::ExchangeRates,
];

/// The column that names what a row is of.
fn thing_column(table: Table) -> Option<&'static str> {
    match table {
        Table::Sessions | Table::Postviews | Table::Orders | Table::Devices => Some("external_id"),
        Table::OrderItems => Some("order_external_id"),
        _ => None,
    }
}

/// The column that says when a row was.
fn time_column(table: Table) -> Option<&'static str> {
    match table {
        Table::Sessions | Table::Postviews | Table::Orders => Some("created_at"),
        Table::ExchangeRates => Some("date"),
        _ => None,
    }
}

/// The entries of accepted rows, with canonical names and types.
///
/// # Errors
///
/// Rows with a column of a type that cannot be compared.
pub(crate) fn entries(table: Table, rows: &RecordBatch) -> Result<Vec<Entry>> {
    let fields = rows.schema_ref().fields().iter();
    let fields = fields.map(|field| SortField::new(field.data_type().clone())).collect();
    let said = RowConverter::new(fields)?.convert_columns(rows.columns())?;
    let texts = |column: Option<&str>| -> Option<StringViewArray> {
        rows.column_by_name(column?)?.as_string_view_opt().cloned()
    };
    let (users, things) = (texts(user_column(table)), texts(thing_column(table)));
    let times = time_column(table).and_then(|column| rows.column_by_name(column));
    let times = times.map(|times| cast(times, &DataType::Timestamp(TimeUnit::Microsecond, None)));
    let times = times.transpose()?;
    let times = times.as_ref().map(|times| times.as_primitive::<TimestampMicrosecondType>());
    let hashed = |texts: &Option<StringViewArray>, row: usize| {
        let texts = texts.as_ref().filter(|texts| texts.is_valid(row));
        texts.map_or(0, |texts| text_hash(texts.value(row)))
    };
    let entry = |(row, said): (usize, arrow::row::Row<'_>)| Entry {
        user: hashed(&users, row),
        thing: hashed(&things, row),
        at: times.filter(|times| times.is_valid(row)).map_or(i64::MIN, |times| times.value(row)),
        digest: bytes_hash(said.as_ref()),
    };
    Ok(said.iter().enumerate().map(entry).collect())
}

/// The column of the user whose a row is, of the tables that are indexed.
fn user_column(table: Table) -> Option<&'static str> {
    match table {
        Table::Sessions | Table::Postviews | Table::Orders => table.user_column(),
        _ => None,
    }
}

/// Writes entries, in their order.
pub(crate) fn write(path: &Path, entries: &[Entry]) -> Result<()> {
    let failed = || Error::io("write", path);
    let mut file = BufWriter::with_capacity(1 << 18, File::create(path).map_err(failed())?);
    for entry in entries {
        let words = [entry.user, entry.thing, entry.at.cast_unsigned(), entry.digest];
        for word in words {
            file.write_all(&word.to_le_bytes()).map_err(failed())?;
        }
    }
    let file = file.into_inner().map_err(|error| failed()(error.into_error()))?;
    file.sync_all().map_err(failed())
}

/// Reads the entries of a file that [`write()`] wrote.
///
/// # Errors
///
/// A file that cannot be read, or is none of entries.
pub(crate) fn read(path: &Path) -> Result<Vec<Entry>> {
    let bytes = fs::read(path).map_err(Error::io("read", path))?;
    let (whole, rest) = bytes.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return Err(Error::Broken(format!("the index `{}` is cut off", path.display())));
    }
    let entry = |bytes: &[u8; ENTRY_BYTES]| {
        let word = |at: usize| bytes.as_chunks::<8>().0[at];
        Entry {
            user: u64::from_le_bytes(word(0)),
            thing: u64::from_le_bytes(word(1)),
            at: i64::from_le_bytes(word(2)),
            digest: u64::from_le_bytes(word(3)),
        }
    };
    Ok(whole.iter().map(entry).collect())
}

/// What `left` has and `right` does not have as often; both ascend.
pub(crate) fn missing<T: Ord + Clone>(left: &[T], right: &[T]) -> Vec<T> {
    let mut others = right.iter().peekable();
    let mut missing = Vec::new();
    for one in left {
        while others.next_if(|other| *other < one).is_some() {}
        if others.next_if_eq(&one).is_none() {
            missing.push(one.clone());
        }
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(user: u64, digest: u64) -> Entry {
        Entry { user, thing: 7, at: -1, digest }
    }

    #[test]
    fn what_is_missing_is_counted() {
        let left = [entry(1, 1), entry(1, 1), entry(2, 5), entry(9, 0)];
        let right = [entry(0, 3), entry(1, 1), entry(2, 6), entry(9, 0)];
        assert_eq!(missing(&left, &right), [entry(1, 1), entry(2, 5)]);
        assert_eq!(missing(&right, &left), [entry(0, 3), entry(2, 6)]);
        assert!(missing(&left, &left).is_empty());
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        let entries = [entry(u64::MAX, 1), Entry { at: i64::MIN, ..entry(0, 2) }];
        write(&path, &entries).unwrap();
        assert_eq!(read(&path).unwrap(), entries);
        fs::write(&path, [0; 33]).unwrap();
        assert!(read(&path).is_err());
    }
}
