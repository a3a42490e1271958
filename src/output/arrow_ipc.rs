//! The Arrow IPC stream format, for notebooks and pipes.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;

use crate::error::Result;
use crate::output::compact::compact;
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
        // A stream has texts where they lie in memory.
        self.0.write(&compact(rows)?).map_err(|error| failed("arrow")(&error))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.0.finish().map_err(|error| failed("arrow")(&error))?;
        self.0.flush().map_err(|error| failed("arrow")(&error))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringViewArray, UInt32Array};
    use arrow::compute::{concat_batches, take_record_batch};

    use super::*;

    #[test]
    fn the_same_rows_are_the_same_bytes_wherever_they_were() {
        let table = |texts: &[Option<&str>]| {
            let texts: ArrayRef = Arc::new(texts.iter().copied().collect::<StringViewArray>());
            RecordBatch::try_from_iter_with_nullable([("text", texts, true)]).unwrap()
        };
        let long = ["a text that is not short", "another one that is not", "and one more of them"];
        let rows = table(&long.map(Some));
        let others = table(&[None, Some("what else there was in memory")]);
        let all = concat_batches(&rows.schema(), [&others, &rows]).unwrap();
        let taken = take_record_batch(&all, &UInt32Array::from(vec![2, 3, 4])).unwrap();
        let written = |rows: &RecordBatch| {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("rows.arrow");
            let sink = Box::new(std::fs::File::create(&path).unwrap());
            crate::output::write(&FORMAT, sink, rows).unwrap();
            std::fs::read(path).unwrap()
        };
        assert_eq!(written(&rows), written(&taken));
        assert_eq!(written(&rows), written(&all.slice(2, 3)));
    }
}
