//! Writes a run into a folder that appears whole.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;

use crate::error::{Error, Result};
use crate::kept::{Frame, Keep, Kept, RUN_FILE};
use crate::output::{self, StagedFolder, TableWriter};

/// A kept run that is being written.
pub struct Writing {
    folder: StagedFolder,
    frames: BTreeSet<Frame>,
    writers: BTreeMap<Frame, (Box<dyn TableWriter>, u64)>,
}

impl Writing {
    /// Begins to keep a run.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to, or where something stands that is no kept run.
    pub fn begin(keep: &Keep) -> Result<Self> {
        check_place(&keep.folder)?;
        let folder = StagedFolder::new(&keep.folder)?;
        Ok(Self { folder, frames: keep.frames.clone(), writers: BTreeMap::new() })
    }

    /// Whether a table is to be kept.
    pub fn keeps(&self, frame: Frame) -> bool {
        self.frames.contains(&frame)
    }

    /// Writes some more rows of a table that is to be kept; others are let go. The first rows bring
    /// the schema, and may be none.
    pub fn write(&mut self, frame: Frame, rows: &RecordBatch) -> Result<()> {
        if !self.keeps(frame) {
            return Ok(());
        }
        let (writer, written) = match self.writers.entry(frame) {
            Entry::Occupied(begun) => begun.into_mut(),
            Entry::Vacant(place) => {
                let sink = self.folder.sink(&frame.file())?;
                let writer = (output::format("parquet")?.begin)(sink, &rows.schema())?;
                place.insert((writer, 0))
            }
        };
        writer.write(rows)?;
        *written += rows.num_rows() as u64;
        Ok(())
    }

    /// Ends every table, and gives the rows of each.
    pub fn end_tables(&mut self) -> Result<BTreeMap<Frame, u64>> {
        let mut rows = BTreeMap::new();
        for (frame, (writer, written)) in std::mem::take(&mut self.writers) {
            writer.finish()?;
            rows.insert(frame, written);
        }
        Ok(rows)
    }

    /// Writes what the run says of itself; the folder can take its place then.
    pub fn finish(self, account: &super::Account) -> Result<StagedFolder> {
        let mut sink = self.folder.sink(RUN_FILE)?;
        let failed =
            |why: &dyn std::fmt::Display| Error::Output { format: "json", why: why.to_string() };
        serde_json::to_writer_pretty(&mut sink, account).map_err(|error| failed(&error))?;
        sink.write_all(b"\n").and_then(|()| sink.flush()).map_err(|error| failed(&error))?;
        Ok(self.folder)
    }
}

/// An error if something stands at a place that a kept run must not replace: a file, or a folder that
/// holds anything but a kept run.
pub fn check_place(folder: &Path) -> Result<()> {
    let refused = |why: &str| Error::setting("--keep", folder.display().to_string(), why);
    if !folder.exists() {
        return Ok(());
    }
    if !folder.is_dir() {
        return Err(refused("it is a file; name a folder"));
    }
    let mut entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    if entries.next().is_none() || Kept::is_kept(folder) {
        return Ok(());
    }
    Err(refused("it is a folder that holds something else than a kept run; name another one"))
}
