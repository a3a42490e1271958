//! Writes tables in every format, to a stream or to a file that appears whole or not at all.
//!
//! A new format is one file here and one line in [`FORMATS`]. Not for what is in a table, nor for
//! how a report reads on a terminal beyond its alignment: that is `report`.

mod arrow_ipc;
mod cell;
mod coded;
mod compact;
mod csv_text;
mod html;
mod json;
mod markdown;
mod parquet_file;
mod partitions;
mod placed;
mod plain;
mod staged;
mod staged_folder;
pub(crate) mod table;
mod unfinished;

use std::io::Write;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

pub(crate) use cell::shortened;
pub use cell::{Align, cell_text, counted, thousands};
pub(crate) use compact::compact;
pub(crate) use markdown::markdown_table;
pub(crate) use parquet_file::SmallGroups;
pub use partitions::{Dated, Partitioning};
pub(crate) use plain::{plain, plain_schema};
pub use staged::Staged;
pub use staged_folder::StagedFolder;
pub(crate) use unfinished::{UNFINISHED, clear_left};

use crate::error::{Error, Result};
use crate::objects::public;

/// A table that is being written, batch by batch.
pub trait TableWriter: Send {
    /// Writes some more rows.
    fn write(&mut self, rows: &RecordBatch) -> Result<()>;
    /// Writes some more rows, of whose columns some have their values listed once (dictionary arrays).
    ///
    /// What is written is the same as with a value in each row.
    fn write_listed(&mut self, rows: &RecordBatch) -> Result<()> {
        self.write(&plain(rows)?)
    }
    /// Writes what belongs at the end.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A boxed stream that a table is written to.
pub type Sink = Box<dyn Write + Send>;

/// An output format as the registry knows it.
#[derive(Debug, Clone, Copy)]
pub struct Format {
    /// Its name.
    pub name: &'static str,
    /// The endings of files that are written in it.
    pub extensions: &'static [&'static str],
    /// What it is good for, in one line.
    pub about: &'static str,
    /// Begins a table.
    pub begin: fn(Sink, &SchemaRef) -> Result<Box<dyn TableWriter>>,
}

/// Every output format, in the order in which they are listed.
pub const FORMATS: &[Format] = &[
    table::FORMAT,
    csv_text::FORMAT,
    csv_text::SPREADSHEET,
    json::FORMAT,
    json::LINES,
    parquet_file::FORMAT,
    arrow_ipc::FORMAT,
    markdown::FORMAT,
    html::FORMAT,
];

/// The format of this name.
pub fn format(name: &str) -> Result<&'static Format> {
    FORMATS.iter().find(|format| format.name == name.trim()).ok_or_else(|| Error::Unknown {
        kind: "format",
        name: name.to_owned(),
        known: FORMATS.iter().map(|format| format.name.to_owned()).collect(),
    })
}

/// The format that a file's name asks for.
pub fn by_extension(path: &Path) -> Result<&'static Format> {
    let path = PathBuf::from(public(&path.to_string_lossy()));
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    FORMATS.iter().find(|format| format.extensions.contains(&extension.as_str())).ok_or_else(|| {
        let extensions: Vec<&str> =
            FORMATS.iter().flat_map(|format| format.extensions).copied().collect();
        let why = format!("its ending names no format; choose one of: .{}", extensions.join(", ."));
        Error::setting("output", path.display().to_string(), why)
    })
}

/// The format that a result is written in: the one that is named, else the one that its file's name
/// asks for, else text for a terminal.
///
/// # Errors
///
/// A name or an ending that is none of a format.
pub fn chosen(name: Option<&str>, path: Option<&Path>) -> Result<&'static Format> {
    match (name, path) {
        (Some(name), _) => format(name),
        (None, Some(path)) => by_extension(path),
        (None, None) => format("table"),
    }
}

/// Writes a result as `text` where people are to read it, else as the one `table` that it is.
///
/// # Errors
///
/// A sink that cannot be written to; a table that cannot be made.
pub fn write_result(
    format: &Format,
    sink: Sink,
    text: impl FnOnce() -> String,
    table: impl FnOnce() -> Result<RecordBatch>,
) -> Result<()> {
    if format.name != "table" {
        return write(format, sink, &table()?);
    }
    write_text(format, sink, &text())
}

/// Writes text as it is.
///
/// # Errors
///
/// A sink that cannot be written to.
pub fn write_text(format: &Format, mut sink: Sink, text: &str) -> Result<()> {
    let written = sink.write_all(text.as_bytes()).and_then(|()| sink.flush());
    written.map_err(|error| failed(format.name)(&error))
}

/// Writes a whole table.
pub fn write(format: &Format, sink: Sink, rows: &RecordBatch) -> Result<()> {
    let mut writer = (format.begin)(sink, &rows.schema())?;
    writer.write(rows)?;
    writer.finish()
}

/// An error of a format's writer.
pub(crate) fn failed(format: &'static str) -> impl Fn(&dyn std::fmt::Display) -> Error {
    move |why| Error::Output { format, why: why.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_found_by_name_and_by_ending() {
        assert_eq!(format("csv").unwrap().name, "csv");
        assert_eq!(by_extension(Path::new("a/b.JSONL")).unwrap().name, "ndjson");
        let error = by_extension(Path::new("report.xls")).err().unwrap();
        assert!(error.to_string().contains("choose one of: .txt, .csv"));
        assert!(format("xml").err().unwrap().hint().unwrap().contains("parquet"));
        let mut endings: Vec<_> = FORMATS.iter().flat_map(|format| format.extensions).collect();
        endings.sort_unstable();
        let count = endings.len();
        endings.dedup();
        assert_eq!(endings.len(), count);
    }
}
