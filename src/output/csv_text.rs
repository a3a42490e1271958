//! Comma-separated values, RFC 4180: a header, quotes where they are needed, empty for null.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::Result;
use crate::output::{Format, Sink, TableWriter, cell_text, failed};

pub(super) const FORMAT: Format =
    Format { name: "csv", extensions: &["csv"], about: "for spreadsheets and scripts", begin };

struct Csv(csv::Writer<Sink>);

fn begin(sink: Sink, schema: &SchemaRef) -> Result<Box<dyn TableWriter>> {
    let mut writer = csv::Writer::from_writer(sink);
    let names = schema.fields().iter().map(|field| field.name().as_str());
    writer.write_record(names).map_err(|error| failed("csv")(&error))?;
    Ok(Box::new(Csv(writer)))
}

impl TableWriter for Csv {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        for row in 0..rows.num_rows() {
            let cells =
                (0..rows.num_columns()).map(|at| cell_text(rows, at, row).unwrap_or_default());
            self.0.write_record(cells).map_err(|error| failed("csv")(&error))?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.0.flush().map_err(|error| failed("csv")(&error))
    }
}
