//! The Arrow IPC stream format, for notebooks and pipes.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;

use crate::error::Result;
use crate::output::{Format, Sink, TableWriter, failed};

pub(super) const FORMAT: Format = Format {
    name: "arrow",
    extensions: &["arrow", "arrows"],
    about: "an IPC stream, for notebooks and pipes",
    begin,
};

struct ArrowStream(StreamWriter<Sink>);

fn begin(sink: Sink, schema: &SchemaRef) -> Result<Box<dyn TableWriter>> {
    let writer = StreamWriter::try_new(sink, schema).map_err(|error| failed("arrow")(&error))?;
    Ok(Box::new(ArrowStream(writer)))
}

impl TableWriter for ArrowStream {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.0.write(rows).map_err(|error| failed("arrow")(&error))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.0.finish().map_err(|error| failed("arrow")(&error))?;
        self.0.flush().map_err(|error| failed("arrow")(&error))
    }
}
