//! Parquet, compressed with Zstandard; the columns of a row group are encoded in parallel.

use std::mem;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowLeafColumn, ArrowRowGroupWriterFactory, compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;

use crate::error::Result;
use crate::output::{Format, Sink, TableWriter, failed};

pub(super) const FORMAT: Format = Format {
    name: "parquet",
    extensions: &["parquet"],
    about: "for warehouses and data frames",
    begin,
};

/// Rows that a row group has at least, unless it is the last.
const GROUP_ROWS: usize = 1 << 18;

struct Parquet {
    file: SerializedFileWriter<Sink>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    /// The rows of the next row group.
    waiting: Vec<RecordBatch>,
    groups: usize,
}

/// How files are written. Nothing of this machine or moment is: the same rows are the same bytes.
fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("apportion ", env!("CARGO_PKG_VERSION")).to_owned())
}

/// Begins a file whose row groups have `rows` rows, encoded as they come: many such files can be
/// written at once in little memory. The bytes depend on how rows are divided into batches.
pub(crate) fn begin_small(
    sink: Sink,
    schema: &SchemaRef,
    rows: usize,
) -> Result<ArrowWriter<Sink>> {
    let properties = properties()
        .set_max_row_group_row_count(Some(rows))
        // What repeats fits, and what does not is not hashed for long.
        .set_dictionary_page_size_limit(1 << 16)
        .build();
    let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties));
    writer.map_err(|error| failed("parquet")(&error))
}

fn begin(sink: Sink, schema: &SchemaRef) -> Result<Box<dyn TableWriter>> {
    let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties().build()));
    let (file, factory) = writer
        .and_then(ArrowWriter::into_serialized_writer)
        .map_err(|error| failed("parquet")(&error))?;
    let schema = Arc::clone(schema);
    Ok(Box::new(Parquet { file, factory, schema, waiting: Vec::new(), groups: 0 }))
}

impl Parquet {
    /// Writes the waiting rows as a row group.
    fn write_group(&mut self) -> Result<(), ParquetError> {
        let batches = mem::take(&mut self.waiting);
        let mut columns: Vec<Vec<ArrowLeafColumn>> = Vec::new();
        for (field, at) in self.schema.fields().iter().zip(0..) {
            let mut leaves: Vec<Vec<ArrowLeafColumn>> = Vec::new();
            for batch in &batches {
                for (leaf, column) in
                    compute_leaves(field, batch.column(at))?.into_iter().enumerate()
                {
                    if leaf == leaves.len() {
                        leaves.push(Vec::with_capacity(batches.len()));
                    }
                    leaves[leaf].push(column);
                }
            }
            columns.extend(leaves);
        }
        let writers = self.factory.create_column_writers(self.groups)?;
        let chunks: Vec<ArrowColumnChunk> = writers
            .into_par_iter()
            .zip(columns)
            .map(|(mut writer, column)| {
                column.iter().try_for_each(|leaf| writer.write(leaf))?;
                writer.close()
            })
            .collect::<Result<_, ParquetError>>()?;
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        self.groups += 1;
        Ok(())
    }
}

impl TableWriter for Parquet {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        if rows.num_rows() > 0 {
            self.waiting.push(rows.clone());
        }
        let waiting: usize = self.waiting.iter().map(RecordBatch::num_rows).sum();
        if waiting < GROUP_ROWS {
            return Ok(());
        }
        self.write_group().map_err(|error| failed("parquet")(&error))
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        if !self.waiting.is_empty() {
            self.write_group().map_err(|error| failed("parquet")(&error))?;
        }
        let mut sink = self.file.into_inner().map_err(|error| failed("parquet")(&error))?;
        sink.flush().map_err(|error| failed("parquet")(&error))
    }
}
