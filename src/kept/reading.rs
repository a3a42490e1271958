//! Opens a kept run and reads its tables.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::kept::{Account, Frame, LAYOUT, RUN_FILE};

/// A run that was kept.
///
/// # Example
///
/// ```no_run
/// use std::path::Path;
///
/// use apportion::kept::{Frame, Kept};
///
/// let kept = Kept::open(Path::new("kept"))?;
/// let orders = kept.frame(Frame::Orders)?;
/// println!("{} orders, as of {}", orders.num_rows(), kept.account().as_of);
/// # Ok::<(), apportion::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Kept {
    folder: PathBuf,
    account: Account,
}

impl Kept {
    /// Opens the folder of a kept run.
    ///
    /// # Errors
    ///
    /// A folder that is none, one of another layout, one that lacks a table that it says it has.
    pub fn open(folder: &Path) -> Result<Self> {
        let wrong = |why: String| Error::NotKept { folder: folder.to_path_buf(), why };
        let path = folder.join(RUN_FILE);
        if !folder.is_dir() {
            return Err(wrong("there is no such folder".to_owned()));
        }
        if !path.is_file() {
            return Err(wrong(format!("it has no `{RUN_FILE}`")));
        }
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        let said: Value = serde_json::from_str(&text)
            .map_err(|error| wrong(format!("its `{RUN_FILE}` is not JSON: {error}")))?;
        let layout = said.get("layout").and_then(Value::as_u64);
        if layout != Some(u64::from(LAYOUT)) {
            let layout = layout.map_or_else(|| "none".to_owned(), |layout| layout.to_string());
            let version = said.get("version").and_then(Value::as_str).unwrap_or("another version");
            return Err(wrong(format!(
                "its layout is {layout} (by apportion {version}), and this version reads layout {LAYOUT}; keep the run again"
            )));
        }
        let account: Account = serde_json::from_value(said)
            .map_err(|error| wrong(format!("its `{RUN_FILE}` cannot be understood: {error}")))?;
        for kept in &account.frames {
            let file = Frame::from_name(&kept.name)?.file();
            if !folder.join(&file).is_file() {
                return Err(wrong(format!("its file `{file}` is missing")));
            }
        }
        Ok(Self { folder: folder.to_path_buf(), account })
    }

    /// Whether a folder is a kept run, of whatever layout.
    pub fn is_kept(folder: &Path) -> bool {
        let Ok(text) = fs::read_to_string(folder.join(RUN_FILE)) else { return false };
        let said: serde_json::Result<Value> = serde_json::from_str(&text);
        said.is_ok_and(|said| said.get("layout").is_some_and(Value::is_u64))
    }

    /// What the run says of itself.
    pub const fn account(&self) -> &Account {
        &self.account
    }

    /// Whether the run has a table.
    pub fn has(&self, frame: Frame) -> bool {
        self.account.frames.iter().any(|kept| kept.name == frame.name())
    }

    /// The columns of a table.
    pub fn schema(&self, frame: Frame) -> Result<SchemaRef> {
        Ok(SchemaRef::clone(self.reader(frame)?.schema()))
    }

    /// A table, whole.
    pub fn frame(&self, frame: Frame) -> Result<RecordBatch> {
        self.columns(frame, |_| true)
    }

    /// Those columns of a table whose name is wanted, in the table's order.
    ///
    /// # Errors
    ///
    /// A table that the run does not have, or that cannot be read.
    pub fn columns(&self, frame: Frame, wanted: impl Fn(&str) -> bool) -> Result<RecordBatch> {
        let reader = self.reader(frame)?;
        let fields = reader.schema().fields();
        let named = fields.iter().enumerate().filter(|(_, field)| wanted(field.name()));
        let mask = ProjectionMask::roots(reader.parquet_schema(), named.map(|(at, _)| at));
        let unreadable = |source| self.unreadable(frame, source);
        let reader = reader.with_projection(mask).build().map_err(unreadable)?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let batches = reader.collect::<Result<Vec<RecordBatch>, _>>()?;
        Ok(concat_batches(&schema, &batches)?)
    }

    fn reader(&self, frame: Frame) -> Result<ParquetRecordBatchReaderBuilder<File>> {
        if !self.has(frame) {
            let why = frame.needs().unwrap_or("it was not asked to keep it");
            let why = format!("it has no `{frame}`: {why}");
            return Err(Error::NotKept { folder: self.folder.clone(), why });
        }
        let path = self.folder.join(frame.file());
        let file = File::open(&path).map_err(Error::io("read", &path))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file);
        reader.map_err(|source| self.unreadable(frame, source))
    }

    fn unreadable(&self, frame: Frame, source: ParquetError) -> Error {
        Error::NotParquet {
            table: frame.name(),
            path: self.folder.join(frame.file()),
            why: "it is damaged, or not what the run wrote".to_owned(),
            source: Some(source),
        }
    }
}
