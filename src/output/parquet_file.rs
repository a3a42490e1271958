//! Parquet, compressed with Zstandard.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::error::Result;
use crate::output::{Format, Sink, TableWriter, failed};

pub(super) const FORMAT: Format = Format {
    name: "parquet",
    extensions: &["parquet"],
    about: "for warehouses and data frames",
    begin,
};

struct Parquet(ArrowWriter<Sink>);

fn begin(sink: Sink, schema: &SchemaRef) -> Result<Box<dyn TableWriter>> {
    // Nothing of this machine or moment is written: the same rows are the same bytes.
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("apportion ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties))
        .map_err(|error| failed("parquet")(&error))?;
    Ok(Box::new(Parquet(writer)))
}

impl TableWriter for Parquet {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.0.write(rows).map_err(|error| failed("parquet")(&error))
    }

    fn finish(self: Box<Self>) -> Result<()> {
        let mut sink = self.0.into_inner().map_err(|error| failed("parquet")(&error))?;
        sink.flush().map_err(|error| failed("parquet")(&error))
    }
}
