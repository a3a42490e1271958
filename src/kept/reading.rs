//! Opens a kept run and reads its tables.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use rayon::prelude::*;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::input::Guarded;
use crate::kept::{Account, Frame, FrameFile, FrameRows, LAYOUT, RUN_FILE, checksum};
use crate::store::Store;

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
        // A store stands for its current run.
        if Store::is_store(folder) {
            let store = Store::open(folder)?;
            let none = || Error::NotKept {
                folder: folder.to_path_buf(),
                why: "it is a store without a run yet".to_owned(),
            };
            return Self::open(&store.place(&store.current().ok_or_else(none)?));
        }
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
            Frame::from_name(&kept.name)?;
            let missing = |file: &&FrameFile| !folder.join(&file.path).is_file();
            if let Some(file) = kept.files.iter().find(missing) {
                return Err(wrong(format!("its file `{}` is missing", file.path)));
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

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether the run has a table.
    pub fn has(&self, frame: Frame) -> bool {
        self.of(frame).is_some()
    }

    fn of(&self, frame: Frame) -> Option<&FrameRows> {
        self.account.frames.iter().find(|kept| kept.name == frame.name())
    }

    /// The files of a table, in the order of its rows; none of one that the run does not have.
    pub fn files(&self, frame: Frame) -> &[FrameFile] {
        self.of(frame).map_or(&[], |kept| &kept.files)
    }

    /// The columns of a table.
    pub fn schema(&self, frame: Frame) -> Result<SchemaRef> {
        let Some(file) = self.files_of(frame)?.next() else { return Err(self.lacks(frame)) };
        Ok(SchemaRef::clone(Groups::open(frame, &self.folder.join(&file.path))?.schema()))
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
    pub fn columns(
        &self,
        frame: Frame,
        wanted: impl Fn(&str) -> bool + Sync,
    ) -> Result<RecordBatch> {
        let files = self.files_of(frame)?;
        let batches = files.map(|file| read_file(frame, &self.folder.join(&file.path), &wanted));
        let batches: Vec<RecordBatch> = batches.collect::<Result<_>>()?;
        let [first, ..] = batches.as_slice() else { return Err(self.lacks(frame)) };
        Ok(concat_batches(&first.schema(), &batches)?)
    }

    /// An error if a file of the run is not what was written.
    ///
    /// # Errors
    ///
    /// The first file that is missing, has another size or other bytes.
    pub fn verify(&self) -> Result<()> {
        let files = self.account.frames.iter().flat_map(|kept| &kept.files);
        files.collect::<Vec<_>>().into_par_iter().try_for_each(|file| self.verify_file(file))
    }

    fn verify_file(&self, file: &FrameFile) -> Result<()> {
        let path = self.folder.join(&file.path);
        if checksum(&path)? == file.checksum {
            return Ok(());
        }
        let why = format!("its file `{}` is not what the run wrote", file.path);
        Err(Error::NotKept { folder: self.folder.clone(), why })
    }

    fn files_of(&self, frame: Frame) -> Result<impl Iterator<Item = &FrameFile>> {
        let files = self.files(frame);
        if files.is_empty() { Err(self.lacks(frame)) } else { Ok(files.iter()) }
    }

    /// Why a table that the run does not have cannot be read.
    fn lacks(&self, frame: Frame) -> Error {
        let why = frame.needs().unwrap_or("it was not asked to keep it");
        let why = format!("it has no `{frame}`: {why}");
        Error::NotKept { folder: self.folder.clone(), why }
    }
}

/// Those columns of a file of a kept table whose name is wanted.
///
/// # Errors
///
/// A file that cannot be read.
pub(crate) fn read_file(
    frame: Frame,
    path: &Path,
    wanted: impl Fn(&str) -> bool + Sync,
) -> Result<RecordBatch> {
    let groups = Groups::open(frame, path)?;
    let read = |group: usize| groups.read(group, &wanted);
    let mut batches: Vec<RecordBatch> =
        (0..groups.count()).into_par_iter().map(read).collect::<Result<_>>()?;
    if batches.is_empty() {
        batches.push(groups.rows(Vec::new(), &wanted)?);
    }
    Ok(concat_batches(&batches[0].schema(), &batches)?)
}

/// Rows that are decoded at a time, whatever a damaged file says that it has.
const MOST_ROWS: usize = 1 << 20;

/// The row groups of a file of a kept table, each read by itself.
pub(crate) struct Groups {
    frame: Frame,
    path: PathBuf,
    metadata: ArrowReaderMetadata,
}

impl Groups {
    /// Opens a file of a table.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub(crate) fn open(frame: Frame, path: &Path) -> Result<Self> {
        let metadata = ArrowReaderMetadata::load(&open(path)?, ArrowReaderOptions::new());
        let metadata = metadata.map_err(|source| unreadable(frame, path, source))?;
        Ok(Self { frame, path: path.to_path_buf(), metadata })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The columns of the table.
    pub(crate) fn schema(&self) -> &SchemaRef {
        self.metadata.schema()
    }

    /// Those columns of a row group whose name is wanted.
    pub(crate) fn read(&self, group: usize, wanted: impl Fn(&str) -> bool) -> Result<RecordBatch> {
        self.rows(vec![group], wanted)
    }

    fn rows(&self, groups: Vec<usize>, wanted: impl Fn(&str) -> bool) -> Result<RecordBatch> {
        let unreadable = |source| unreadable(self.frame, &self.path, source);
        let rows = |group: &usize| self.metadata.metadata().row_group(*group).num_rows();
        let count = usize::try_from(groups.iter().map(rows).sum::<i64>()).unwrap_or_default();
        let fields = self.schema().fields().iter().enumerate();
        let named = fields.filter(|(_, field)| wanted(field.name())).map(|(at, _)| at);
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), named);
        let input = open(&self.path)?;
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(input, self.metadata.clone())
                .with_row_groups(groups)
                .with_projection(mask)
                .with_batch_size(count.clamp(1, MOST_ROWS))
                .build()
                .map_err(unreadable)?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let batches = Guarded::new(reader).collect::<Result<Vec<RecordBatch>, _>>();
        let batches = batches.map_err(|error| unreadable(error.into()))?;
        Ok(concat_batches(&schema, &batches)?)
    }
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(Error::io("read", path))
}

fn unreadable(frame: Frame, path: &Path, source: ParquetError) -> Error {
    Error::NotParquet {
        table: frame.name(),
        path: path.to_path_buf(),
        why: "it is damaged, or not what the run wrote".to_owned(),
        source: Some(source),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;
    use parquet::arrow::ArrowWriter;

    use super::*;

    #[test]
    fn a_table_with_a_byte_that_changed_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("orders.parquet");
        // Some missing and some repeated, so that pages have levels, a dictionary and runs.
        let texts = (0..900).map(|row| (row % 7 > 0).then(|| format!("text {}", row / 9)));
        let rows = RecordBatch::try_from_iter_with_nullable([(
            "external_id",
            Arc::new(texts.collect::<StringArray>()) as _,
            true,
        )]);
        let rows = rows.unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), None).unwrap();
        writer.write(&rows).unwrap();
        let whole = writer.into_inner().unwrap();
        let mut refused = 0;
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            fs::write(&path, damaged).unwrap();
            // Most bytes of a text may be others; none of them may end the process.
            if let Err(error) = read_file(Frame::Orders, &path, |_| true) {
                let said = error.to_string();
                assert!(said.contains("orders.parquet` is not readable as Parquet"), "{said}");
                refused += 1;
            }
        }
        assert!(refused > 50, "only {refused} of {} were noticed", whole.len());
    }
}
