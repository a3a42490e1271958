//! Parquet, compressed with Zstandard; the columns of a row group are encoded in parallel, values that repeat by
//! their codes (`coded`).

use std::mem;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowLeafColumn, ArrowRowGroupWriterFactory,
    compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnDescPtr;
use rayon::prelude::*;

use crate::error::Result;
use crate::output::coded::{self, Chunk};
use crate::output::plain::plain_column;
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
    encoder: Encoder,
    /// The rows of the next row group.
    waiting: Vec<RecordBatch>,
}

/// How files are written. Nothing of this machine or moment is: the same rows are the same bytes.
fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(concat!("apportion ", env!("CARGO_PKG_VERSION")).to_owned())
}

/// A file of small row groups, encoded as rows come: many such files can be written at once in little
/// memory. The bytes depend on how rows are divided into batches.
pub(crate) struct SmallGroups {
    encoder: Encoder,
    /// Rows of a row group.
    most: usize,
    /// The columns of the row group that is being written, and its rows.
    columns: Vec<ArrowColumnWriter>,
    rows: usize,
}

impl SmallGroups {
    /// Begins a file whose row groups have `rows` rows, which batches divide.
    pub(crate) fn begin(sink: Sink, schema: &SchemaRef, rows: usize) -> Result<Self> {
        // What repeats fits, and what does not is not hashed for long.
        let properties = properties().set_dictionary_page_size_limit(1 << 16);
        let encoder = Encoder::begin(sink, schema, properties)?;
        Ok(Self { encoder, most: rows, columns: Vec::new(), rows: 0 })
    }

    /// Encodes some rows.
    pub(crate) fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.encode(rows).map_err(|error| failed("parquet")(&error))
    }

    fn encode(&mut self, rows: &RecordBatch) -> Result<(), ParquetError> {
        if self.columns.is_empty() {
            self.columns = self.encoder.columns()?;
        }
        let mut leaves = Vec::new();
        for at in 0..self.encoder.schema.fields().len() {
            leaves.extend(leaves_of(&self.encoder.schema, at, std::slice::from_ref(rows))?);
        }
        let written = self.columns.par_iter_mut().zip(leaves);
        written.try_for_each(|(writer, column)| {
            column.iter().try_for_each(|leaf| writer.write(leaf))
        })?;
        self.rows += rows.num_rows();
        if self.rows < self.most {
            return Ok(());
        }
        self.end_group()
    }

    fn end_group(&mut self) -> Result<(), ParquetError> {
        self.rows = 0;
        let columns = mem::take(&mut self.columns);
        let chunks = columns.into_par_iter().map(|column| Ok(Encoded::General(column.close()?)));
        self.encoder.append(chunks.collect::<Result<_, ParquetError>>()?)
    }

    /// Ends the file.
    pub(crate) fn finish(mut self) -> Result<()> {
        if self.rows > 0 {
            self.end_group().map_err(|error| failed("parquet")(&error))?;
        }
        self.encoder.finish()
    }
}

/// A column of a row group that is encoded.
enum Encoded {
    General(ArrowColumnChunk),
    Coded(Chunk),
}

/// A file and what encodes its row groups, one after the other.
struct Encoder {
    file: SerializedFileWriter<Sink>,
    factory: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
    groups: usize,
}

impl Encoder {
    fn begin(sink: Sink, schema: &SchemaRef, properties: WriterPropertiesBuilder) -> Result<Self> {
        let writer = ArrowWriter::try_new(sink, Arc::clone(schema), Some(properties.build()));
        let (file, factory) = writer
            .and_then(ArrowWriter::into_serialized_writer)
            .map_err(|error| failed("parquet")(&error))?;
        Ok(Self { file, factory, schema: Arc::clone(schema), groups: 0 })
    }

    /// What encodes the columns of the next row group.
    fn columns(&self) -> Result<Vec<ArrowColumnWriter>, ParquetError> {
        self.factory.create_column_writers(self.groups)
    }

    /// Writes a row group that was encoded.
    fn append(&mut self, chunks: Vec<Encoded>) -> Result<(), ParquetError> {
        let mut group = self.file.next_row_group()?;
        for chunk in chunks {
            match chunk {
                Encoded::General(chunk) => chunk.append_to_row_group(&mut group)?,
                Encoded::Coded(Chunk { bytes, close }) => group.append_column(&bytes, close)?,
            }
        }
        group.close()?;
        self.groups += 1;
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let mut sink = self.file.into_inner().map_err(|error| failed("parquet")(&error))?;
        sink.flush().map_err(|error| failed("parquet")(&error))
    }
}

fn begin(sink: Sink, schema: &SchemaRef) -> Result<Box<dyn TableWriter>> {
    let encoder = Encoder::begin(sink, schema, properties())?;
    Ok(Box::new(Parquet { encoder, waiting: Vec::new() }))
}

impl Parquet {
    /// Writes the waiting rows as a row group.
    fn write_group(&mut self) -> Result<(), ParquetError> {
        let batches = mem::take(&mut self.waiting);
        let Encoder { file, schema, .. } = &self.encoder;
        let descriptions = file.schema_descr();
        // Of each column what lies within it.
        let mut columns: Vec<Vec<(ArrowColumnWriter, ColumnDescPtr)>> = Vec::new();
        columns.resize_with(schema.fields().len(), Vec::new);
        for (leaf, writer) in self.encoder.columns()?.into_iter().enumerate() {
            let column = &mut columns[descriptions.get_column_root_idx(leaf)];
            column.push((writer, descriptions.column(leaf)));
        }
        // One by one: they take very different times.
        let columns = columns.into_par_iter().with_max_len(1).enumerate();
        let encoded = columns.map(|(at, leaves)| {
            let parts: Vec<&ArrayRef> = batches.iter().map(|batch| batch.column(at)).collect();
            if let [(_, description)] = &leaves[..]
                && let Some(chunk) = coded::encode(&parts, description)?
            {
                return Ok(vec![Encoded::Coded(chunk)]);
            }
            let leaves = leaves.into_iter().zip(leaves_of(schema, at, &batches)?);
            let general = leaves.map(|((mut writer, _), parts)| {
                parts.iter().try_for_each(|part| writer.write(part))?;
                Ok(Encoded::General(writer.close()?))
            });
            general.collect()
        });
        let encoded = encoded.collect::<Result<Vec<Vec<_>>, ParquetError>>()?;
        self.encoder.append(encoded.into_iter().flatten().collect())
    }
}

/// A column, and what lies within it: of each the parts that batches have.
fn leaves_of(
    schema: &SchemaRef,
    at: usize,
    batches: &[RecordBatch],
) -> Result<Vec<Vec<ArrowLeafColumn>>, ParquetError> {
    let mut leaves: Vec<Vec<ArrowLeafColumn>> = Vec::new();
    for batch in batches {
        let of_batch = compute_leaves(schema.field(at), &plain_column(batch.column(at))?)?;
        leaves.resize_with(of_batch.len(), || Vec::with_capacity(batches.len()));
        for (leaf, part) in leaves.iter_mut().zip(of_batch) {
            leaf.push(part);
        }
    }
    Ok(leaves)
}

impl TableWriter for Parquet {
    fn write(&mut self, rows: &RecordBatch) -> Result<()> {
        self.write_listed(rows)
    }

    fn write_listed(&mut self, rows: &RecordBatch) -> Result<()> {
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
        self.encoder.finish()
    }
}
