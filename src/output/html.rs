//! A table as a page for a browser, that can be sorted, filtered and taken along.
//!
//! A run has a page of its own; this is for every other table. A page of more rows than anybody reads
//! would only be slow: it has the first of them and says so.

use std::io::Write;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::output::{Format, Sink, TableWriter, failed};
use crate::page::single_table;

pub(super) const FORMAT: Format = Format {
    name: "html",
    extensions: &["html", "htm"],
    about: "for a browser",
    begin: |sink, schema| {
        Ok(Box::new(Page { sink, schema: Arc::clone(schema), batches: Vec::new(), rows: 0 }))
    },
};

/// Rows that a page has at most.
const ROWS: usize = 10_000;

struct Page {
    sink: Sink,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    /// The rows that came, shown or not.
    rows: usize,
}

impl TableWriter for Page {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        let room = ROWS.saturating_sub(self.rows).min(rows.num_rows());
        self.rows += rows.num_rows();
        if room > 0 || self.batches.is_empty() {
            self.batches.push(rows.slice(0, room));
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        let shown = concat_batches(&self.schema, &self.batches)?;
        let text = single_table(&shown, self.rows - shown.num_rows());
        let written = self.sink.write_all(text.as_bytes()).and_then(|()| self.sink.flush());
        written.map_err(|error| failed("html")(&error))
    }
}
