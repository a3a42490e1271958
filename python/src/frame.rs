//! A table of a run, as an Arrow stream that can be read as often as somebody asks.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apportion::output::{self, Staged, cell_text};
use apportion::{Error, stop};
use arrow::array::{RecordBatch, RecordBatchIterator, RecordBatchReader};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ffi::FFI_ArrowSchema;
use arrow::ffi_stream::FFI_ArrowArrayStream;
use arrow::ipc::reader::StreamReader;
use pyo3::prelude::{Bound, PyAny, PyResult, Python, pyclass, pymethods};
use pyo3::types::PyCapsule;
use tempfile::TempDir;

use crate::errors::{Failure, raised};

/// A table.
#[pyclass(frozen, module = "apportion._native")]
pub(crate) struct Frame(Rows);

/// Where its rows are.
enum Rows {
    Here(RecordBatch),
    /// In an Arrow stream, in a folder that is gone when nobody needs it.
    File {
        path: PathBuf,
        folder: Arc<TempDir>,
    },
}

impl Frame {
    pub(crate) const fn new(rows: RecordBatch) -> Self {
        Self(Rows::Here(rows))
    }

    pub(crate) const fn of_file(path: PathBuf, folder: Arc<TempDir>) -> Self {
        Self(Rows::File { path, folder })
    }

    /// Its batches, from the first.
    fn open(&self) -> Result<Box<dyn RecordBatchReader + Send>, Error> {
        match &self.0 {
            Rows::Here(rows) => {
                let batches = RecordBatchIterator::new([Ok(rows.clone())], rows.schema());
                Ok(Box::new(batches))
            }
            Rows::File { path, folder } => {
                let file = File::open(path).map_err(Error::io("read", path))?;
                if file.metadata().map_err(Error::io("read", path))?.len() == 0 {
                    // A table without rows was never begun.
                    let none = RecordBatchIterator::new([], Arc::new(Schema::empty()));
                    return Ok(Box::new(none));
                }
                let reader = StreamReader::try_new(BufReader::new(file), None)?;
                Ok(Box::new(OfFolder { reader, _folder: Arc::clone(folder) }))
            }
        }
    }

    fn count(&self) -> Result<usize, Error> {
        self.open()?.try_fold(0, |rows, batch| Ok(rows + batch?.num_rows()))
    }

    fn copy_to(&self, path: &Path, format: Option<&str>) -> Result<(), Error> {
        let format = output::chosen(format, Some(path))?;
        let staged = Staged::new(path)?;
        let reader = self.open()?;
        let mut writer = (format.begin)(staged.sink()?, &reader.schema())?;
        for batch in reader {
            stop::check()?;
            writer.write(&batch?)?;
        }
        writer.finish()?;
        staged.commit()
    }

    fn first(&self, most: usize) -> Result<Vec<Vec<Option<String>>>, Error> {
        let mut found = Vec::new();
        for batch in self.open()? {
            let batch = batch?;
            for row in 0..batch.num_rows().min(most - found.len()) {
                let cells = 0..batch.num_columns();
                found.push(cells.map(|column| cell_text(&batch, column, row)).collect());
            }
            if found.len() == most {
                break;
            }
        }
        Ok(found)
    }
}

#[pymethods]
impl Frame {
    /// The Arrow C stream of the table; types are those of the table, whatever is asked for.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // Whoever asks for other types may cast: the interface leaves that to both sides.
        drop(requested_schema);
        let reader = self.open().map_err(|error| raised(&error))?;
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(reader), c"arrow_array_stream")
    }

    /// The Arrow C schema of the table.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = self.open().map_err(|error| raised(&error))?.schema();
        let schema = FFI_ArrowSchema::try_from(&*schema);
        let schema = schema.map_err(|error| raised(&Error::from(error)))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    /// The names of the columns, and their types.
    fn columns(&self) -> Result<Vec<(String, String)>, Failure> {
        let schema = self.open()?.schema();
        let fields = schema.fields().iter();
        Ok(fields.map(|field| (field.name().clone(), field.data_type().to_string())).collect())
    }

    /// How many rows there are.
    fn rows(&self, py: Python<'_>) -> Result<usize, Failure> {
        Ok(py.detach(|| self.count())?)
    }

    /// At most so many of the first rows: the text of each cell, as the formats of text have it.
    fn head(&self, py: Python<'_>, most: usize) -> Result<Vec<Vec<Option<String>>>, Failure> {
        Ok(py.detach(|| self.first(most))?)
    }

    /// Writes the table to a file that appears whole, in the format that is named or its ending names.
    #[pyo3(signature = (path, format=None))]
    #[expect(clippy::needless_pass_by_value, reason = "Python has no borrowed paths")]
    fn write(&self, py: Python<'_>, path: PathBuf, format: Option<&str>) -> Result<(), Failure> {
        Ok(py.detach(|| self.copy_to(&path, format))?)
    }
}

/// A stream whose folder stays as long as it is read.
struct OfFolder {
    reader: StreamReader<BufReader<File>>,
    _folder: Arc<TempDir>,
}

impl Iterator for OfFolder {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.reader.next()
    }
}

impl RecordBatchReader for OfFolder {
    fn schema(&self) -> SchemaRef {
        self.reader.schema()
    }
}
