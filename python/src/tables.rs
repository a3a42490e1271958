//! Tables as they are given: paths, or what speaks the `PyCapsule` interface of Arrow.
//!
//! A stream can be read once, and a run reads several times: its batches are kept as they are, and those
//! of a stream that is larger than its limit wait on disk. What can tell its size lies in memory anyway.

use apportion::Error;
use apportion::input::MemoryTable;
use apportion::schema::Table;
use arrow::array::{RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow::ffi_stream::RecordBatchStreamReader;
use arrow_pyarrow::FromPyArrow;
use bytesize::ByteSize;
use pyo3::prelude::{Bound, PyAny, PyAnyMethods, PyResult, Python};
use pyo3::types::{PyDict, PyDictMethods, PyList, PyString, PyTuple, PyTypeMethods};

use crate::errors::{Failure, exception};
use crate::working::work;

/// What is given for one table.
pub(crate) struct Given<'py> {
    pub(crate) table: Table,
    pub(crate) paths: Vec<String>,
    /// What exports Arrow.
    exporters: Vec<Bound<'py, PyAny>>,
}

/// A table that is being read.
struct Stream {
    reader: Box<dyn RecordBatchReader + Send>,
    /// Whether it is in memory anyway.
    is_held: bool,
}

/// What a table in memory can tell of its size, in pyarrow, Polars and pandas.
const SIZES: [&str; 3] = ["nbytes", "estimated_size", "memory_usage"];

/// The tables that a dictionary names as settings do.
pub(crate) fn given<'py>(tables: &Bound<'py, PyDict>) -> Result<Vec<Given<'py>>, Failure> {
    let mut all = Vec::new();
    for (name, value) in tables.iter() {
        let name: String = name.extract()?;
        let table = if name == "items" { Table::Items } else { Table::from_name(&name)? };
        let mut given = Given { table, paths: Vec::new(), exporters: Vec::new() };
        if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
            for value in value.try_iter()? {
                take(&mut given, &value?)?;
            }
        } else if !value.is_none() {
            take(&mut given, &value)?;
        }
        if !given.paths.is_empty() || !given.exporters.is_empty() {
            all.push(given);
        }
    }
    Ok(all)
}

fn take<'py>(given: &mut Given<'py>, value: &Bound<'py, PyAny>) -> Result<(), Failure> {
    if value.is_instance_of::<PyString>() {
        given.paths.push(value.extract()?);
    } else if let Some(path) = value.getattr_opt("__fspath__")? {
        given.paths.push(path.call0()?.extract()?);
    } else if value.hasattr("__arrow_c_stream__")? || value.hasattr("__arrow_c_array__")? {
        given.exporters.push(value.clone());
    } else {
        let kind = value.get_type().fully_qualified_name()?;
        let text = format!(
            "`{}` cannot be read from a `{kind}`: give a path, or a table that speaks the Arrow PyCapsule interface, such as a pyarrow table, a data frame of Polars (a lazy one once it is collected) or pandas, or a DuckDB relation",
            given.table
        );
        return Err(exception("TableTypeError", text).into());
    }
    Ok(())
}

/// The batches of a table, as they come.
pub(crate) fn reader(value: &Bound<'_, PyAny>) -> PyResult<Box<dyn RecordBatchReader + Send>> {
    Ok(stream(value)?.reader)
}

/// The stream of a table.
fn stream(value: &Bound<'_, PyAny>) -> PyResult<Stream> {
    if value.hasattr("__arrow_c_stream__")? {
        let reader = RecordBatchStreamReader::from_pyarrow_bound(value)?;
        let mut is_held = false;
        for size in SIZES {
            is_held |= value.hasattr(size)?;
        }
        return Ok(Stream { reader: Box::new(reader), is_held });
    }
    let batch = RecordBatch::from_pyarrow_bound(value)?;
    let schema = batch.schema();
    Ok(Stream { reader: Box::new(RecordBatchIterator::new([Ok(batch)], schema)), is_held: true })
}

/// How much of a stream is held in memory.
pub(crate) fn limit(text: &str) -> Result<u64, Error> {
    let size: Result<ByteSize, _> = text.parse();
    let why = "write a size such as `2GiB` or `500MB`";
    size.map(|size| size.as_u64()).map_err(|_| Error::setting("stream_memory", text, why))
}

/// Reads every stream, one after the other: a connection to a database may have one result at a time.
pub(crate) fn gather(
    py: Python<'_>,
    given: &[Given<'_>],
    most: u64,
    told: Option<&Bound<'_, PyAny>>,
) -> PyResult<Vec<(Table, MemoryTable)>> {
    let mut gathered = Vec::new();
    for Given { table, exporters, .. } in given {
        for (number, exporter) in (1..).zip(exporters) {
            let Stream { reader, is_held } = stream(exporter)?;
            let schema = reader.schema();
            let most = (!is_held).then_some(most);
            let taken = work(py, told, |progress| {
                progress.stage(&format!("taking over {table}"));
                MemoryTable::gather(*table, number, schema, reader, most)
            })?;
            gathered.push((*table, taken));
        }
    }
    Ok(gathered)
}
