//! Rows on disk while they wait to be merged: divided by their ids into buckets, each of which fits
//! the memory, so that a stream of any length does.
//!
//! The format is private to one ingest and gone with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use super::row::{Cell, Item, Name, Row, Value};
use crate::error::{Error, Result};
use crate::schema::Table;

/// How many buckets there are. Tables are written bucket by bucket, so that the number is part of
/// the order of their rows and never changes.
pub(super) const BUCKETS: usize = 256;

/// Bytes of a bucket that wait in memory.
const WAITING: usize = 64 << 10;

/// Rows divided by their ids.
pub(super) struct Buckets {
    folder: PathBuf,
    waiting: Vec<Vec<u8>>,
}

impl Buckets {
    /// Buckets in a folder of their own.
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), waiting: vec![Vec::new(); BUCKETS] }
    }

    /// Adds a row to the bucket of its id. An order's items are in the order's bucket.
    pub(super) fn push(&mut self, row: &Row) -> Result<()> {
        let bucket = usize::from(Md5::digest(row.key().0.as_bytes())[0]);
        encode(row, &mut self.waiting[bucket]);
        if self.waiting[bucket].len() > WAITING { self.write(bucket) } else { Ok(()) }
    }

    fn path(&self, bucket: usize) -> PathBuf {
        self.folder.join(format!("bucket-{bucket}"))
    }

    fn write(&mut self, bucket: usize) -> Result<()> {
        let path = self.path(bucket);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .and_then(|mut file| file.write_all(&self.waiting[bucket]))
            .map_err(Error::io("write", &path))?;
        self.waiting[bucket].clear();
        Ok(())
    }

    /// The rows of a bucket, which is empty afterwards.
    pub(super) fn take(&mut self, bucket: usize) -> Result<Vec<Row>> {
        let path = self.path(bucket);
        let mut rows = Vec::new();
        if path.exists() {
            self.write(bucket)?;
            let mut spilled = Spilled::open(&path)?;
            while let Some(row) = spilled.next()? {
                rows.push(row);
            }
            std::fs::remove_file(&path).map_err(Error::io("write", &path))?;
        } else {
            let mut names = BTreeSet::new();
            let waiting = std::mem::take(&mut self.waiting[bucket]);
            let mut rest = waiting.as_slice();
            while let Some(row) = decode(&mut rest, &mut names).map_err(Error::io("read", &path))? {
                rows.push(row);
            }
        }
        Ok(rows)
    }
}

/// Rows of one table, in the order in which they will be written.
pub(super) struct Spill {
    path: PathBuf,
    writer: BufWriter<File>,
    encoded: Vec<u8>,
    pub(super) rows: u64,
}

impl Spill {
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).map_err(Error::io("write", &path))?;
        Ok(Self { path, writer: BufWriter::new(file), encoded: Vec::new(), rows: 0 })
    }

    pub(super) fn push(&mut self, row: &Row) -> Result<()> {
        self.encoded.clear();
        encode(row, &mut self.encoded);
        self.rows += 1;
        self.writer.write_all(&self.encoded).map_err(Error::io("write", &self.path))
    }

    /// Reads the rows from the first.
    pub(super) fn read(mut self) -> Result<Spilled> {
        self.writer.flush().map_err(Error::io("write", &self.path))?;
        Spilled::open(&self.path)
    }
}

/// Spilled rows that are being read.
pub(super) struct Spilled {
    path: PathBuf,
    reader: BufReader<File>,
    names: BTreeSet<Name>,
}

impl Spilled {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io("read", path))?;
        let reader = BufReader::with_capacity(1 << 18, file);
        Ok(Self { path: path.to_path_buf(), reader, names: BTreeSet::new() })
    }

    /// The next row; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row>> {
        decode(&mut self.reader, &mut self.names).map_err(Error::io("read", &self.path))
    }
}

/// The tables that rows are spilled of, by their number.
const TABLES: [Table; 7] = super::TABLES;

fn encode(row: &Row, bytes: &mut Vec<u8>) {
    let table = TABLES.iter().position(|table| *table == row.table).unwrap_or_default();
    put_count(table, bytes);
    put_count(row.cells.len(), bytes);
    for (name, cell) in &row.cells {
        put_text(name, bytes);
        bytes.extend(cell.at.to_le_bytes());
        put_value(cell.value.as_ref(), bytes);
    }
}

fn put_count(count: usize, bytes: &mut Vec<u8>) {
    bytes.extend((count as u64).to_le_bytes());
}

fn put_text(text: &str, bytes: &mut Vec<u8>) {
    put_count(text.len(), bytes);
    bytes.extend(text.as_bytes());
}

fn put_value(value: Option<&Value>, bytes: &mut Vec<u8>) {
    match value {
        None => bytes.push(0),
        Some(Value::Flag(flag)) => bytes.extend([1, u8::from(*flag)]),
        Some(Value::Number(number)) => {
            bytes.push(2);
            bytes.extend(number.to_le_bytes());
        }
        Some(Value::Money(amount)) => {
            bytes.push(3);
            bytes.extend(amount.to_le_bytes());
        }
        Some(Value::Time(at)) => {
            bytes.push(4);
            bytes.extend(at.to_le_bytes());
        }
        Some(Value::Text(text)) => {
            bytes.push(5);
            put_text(text, bytes);
        }
        Some(Value::Items(items)) => {
            bytes.push(6);
            put_count(items.len(), bytes);
            for item in items {
                put_count(item.len(), bytes);
                for (name, value) in item {
                    put_text(name, bytes);
                    put_value(Some(value), bytes);
                }
            }
        }
    }
}

/// Reads a row; none where nothing is left. `names` are those met before, which are shared.
fn decode(from: &mut impl BufRead, names: &mut BTreeSet<Name>) -> io::Result<Option<Row>> {
    if from.fill_buf()?.is_empty() {
        return Ok(None);
    }
    let table = *TABLES.get(count(from)?).ok_or_else(damaged)?;
    let mut cells = BTreeMap::new();
    for _ in 0..count(from)? {
        let name = name(from, names)?;
        let at = i64::from_le_bytes(bytes(from)?);
        cells.insert(name, Cell { at, value: value(from, names)? });
    }
    Ok(Some(Row { table, cells }))
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the spilled rows are damaged")
}

fn bytes<const LENGTH: usize>(from: &mut impl Read) -> io::Result<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn count(from: &mut impl Read) -> io::Result<usize> {
    usize::try_from(u64::from_le_bytes(bytes(from)?)).map_err(|_| damaged())
}

fn text(from: &mut impl Read) -> io::Result<String> {
    let mut bytes = vec![0; count(from)?];
    from.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| damaged())
}

fn name(from: &mut impl Read, names: &mut BTreeSet<Name>) -> io::Result<Name> {
    let name = text(from)?;
    if let Some(known) = names.get(name.as_str()) {
        return Ok(Name::clone(known));
    }
    let name = Name::from(name);
    names.insert(Name::clone(&name));
    Ok(name)
}

fn value(from: &mut impl Read, names: &mut BTreeSet<Name>) -> io::Result<Option<Value>> {
    let [tag] = bytes(from)?;
    Ok(Some(match tag {
        0 => return Ok(None),
        1 => Value::Flag(bytes(from)? != [0]),
        2 => Value::Number(f64::from_le_bytes(bytes(from)?)),
        3 => Value::Money(i128::from_le_bytes(bytes(from)?)),
        4 => Value::Time(i64::from_le_bytes(bytes(from)?)),
        5 => Value::Text(text(from)?),
        6 => {
            let mut items = Vec::new();
            for _ in 0..count(from)? {
                let mut item = Item::new();
                for _ in 0..count(from)? {
                    let name = name(from, names)?;
                    item.insert(name, value(from, names)?.ok_or_else(damaged)?);
                }
                items.push(item);
            }
            Value::Items(items)
        }
        _ => return Err(damaged()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_went() {
        let item: Item = [(Name::from("price"), Value::Money(-5))].into();
        let values = [
            None,
            Some(Value::Flag(true)),
            Some(Value::Number(f64::MIN_POSITIVE)),
            Some(Value::Time(-1)),
            Some(Value::Text("é\n".to_owned())),
            Some(Value::Items(vec![item, Item::new()])),
        ];
        let cells = values.into_iter().enumerate();
        let cells =
            cells.map(|(at, value)| (Name::from(format!("column {at}")), Cell { at: -7, value }));
        let row = Row { table: Table::Orders, cells: cells.collect() };
        let mut encoded = Vec::new();
        encode(&row, &mut encoded);
        let mut rest = encoded.as_slice();
        assert_eq!(decode(&mut rest, &mut BTreeSet::new()).unwrap(), Some(row));
        assert_eq!(decode(&mut rest, &mut BTreeSet::new()).unwrap(), None);
    }
}
