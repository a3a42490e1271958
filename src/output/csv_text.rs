//! Comma-separated values, RFC 4180: a header, quotes where they are needed, empty for null.
//!
//! For scripts text is what it is. A spreadsheet takes some of it for a formula, and what a link says of its
//! source is anybody's to choose: for spreadsheets such text begins with an apostrophe.

use std::borrow::Cow;
use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::output::{Format, Sink, TableWriter, cell_text, failed};

pub(super) const FORMAT: Format = Format {
    name: "csv",
    extensions: &["csv"],
    about: "for scripts, each text as it is",
    begin: |sink, schema| begin(csv::Writer::from_writer(sink), schema, false),
};

pub(super) const SPREADSHEET: Format = Format {
    name: "spreadsheet",
    extensions: &[],
    about: "CSV for Excel and the like, in which no text is a formula",
    begin: |mut sink, schema| {
        // A mark of the encoding, without which spreadsheets take letters for others.
        sink.write_all("\u{feff}".as_bytes()).map_err(|error| failed("spreadsheet")(&error))?;
        let ends = csv::Terminator::CRLF;
        let writer = csv::WriterBuilder::new().terminator(ends).from_writer(sink);
        begin(writer, schema, true)
    },
};

struct Csv {
    writer: csv::Writer<Sink>,
    /// Whether text that a spreadsheet would work out is kept from it.
    is_guarded: bool,
}

fn begin(
    mut writer: csv::Writer<Sink>,
    schema: &SchemaRef,
    is_guarded: bool,
) -> Result<Box<dyn TableWriter>> {
    let names = schema.fields().iter().map(|field| guarded(field.name(), is_guarded));
    writer
        .write_record(names.map(|name| name.into_owned()))
        .map_err(|error| failed("csv")(&error))?;
    Ok(Box::new(Csv { writer, is_guarded }))
}

/// Text that is no formula, where it must not be one.
fn guarded(text: &str, is_guarded: bool) -> Cow<'_, str> {
    if is_guarded && text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        Cow::Owned(format!("'{text}"))
    } else {
        Cow::Borrowed(text)
    }
}

impl TableWriter for Csv {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        for row in 0..rows.num_rows() {
            let cells = (0..rows.num_columns()).map(|at| {
                let text = cell_text(rows, at, row).unwrap_or_default();
                let is_number = rows.column(at).data_type().is_numeric();
                guarded(&text, self.is_guarded && !is_number).into_owned()
            });
            self.writer.write_record(cells).map_err(|error| failed("csv")(&error))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.writer.flush().map_err(|error| failed("csv")(&error))
    }
}
