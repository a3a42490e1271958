//! Writes a run into a folder that appears whole.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use chrono_tz::Tz;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::kept::weekly::Weekly;
use crate::kept::{Frame, FrameFile, FrameRows, Keep, Kept, RUN_FILE, checksum};
use crate::output::{self, StagedFolder, TableWriter};

/// A kept run that is being written.
pub struct Writing {
    folder: StagedFolder,
    frames: BTreeSet<Frame>,
    /// The zone of weeks, where rows of orders are divided by them.
    by_week: Option<Tz>,
    writers: BTreeMap<Frame, (Box<dyn TableWriter>, u64)>,
    weekly: BTreeMap<Frame, Weekly>,
    /// Files that are whole: weeks that were written one by one, and tables in one piece.
    files: BTreeMap<Frame, Vec<(String, u64)>>,
    /// Files that were taken over from an earlier run.
    carried: BTreeMap<Frame, Vec<FrameFile>>,
}

impl Writing {
    /// Begins to keep a run.
    ///
    /// # Errors
    ///
    /// A place that cannot be written to, or where something stands that is no kept run.
    pub fn begin(keep: &Keep) -> Result<Self> {
        check_place(&keep.folder)?;
        Ok(Self {
            folder: StagedFolder::new(&keep.folder)?,
            frames: keep.frames.clone(),
            by_week: keep.by_week,
            writers: BTreeMap::new(),
            weekly: BTreeMap::new(),
            files: BTreeMap::new(),
            carried: BTreeMap::new(),
        })
    }

    /// The folder.
    pub(crate) const fn folder(&self) -> &StagedFolder {
        &self.folder
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
        if let Some(zone) = self.by_week.filter(|_| frame.is_of_orders()) {
            let begin = || Weekly::new(frame.name(), zone, rows.schema());
            return self.weekly.entry(frame).or_insert_with(begin).write(&self.folder, rows);
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

    /// Writes every table that is to be kept and is not yet begun, as far as there is one: all at once.
    pub fn write_each(
        &mut self,
        make: impl Fn(Frame) -> Result<Option<RecordBatch>> + Sync,
    ) -> Result<()> {
        let folder = &self.folder;
        let is_begun = |frame: &Frame| {
            self.writers.contains_key(frame)
                || self.weekly.contains_key(frame)
                || self.carried.contains_key(frame)
        };
        let frames: Vec<Frame> =
            self.frames.iter().copied().filter(|frame| !is_begun(frame)).collect();
        let write = |frame: Frame| -> Result<Option<(Frame, (String, u64))>> {
            let Some(rows) = make(frame)? else { return Ok(None) };
            output::write(output::format("parquet")?, folder.sink(&frame.file())?, &rows)?;
            Ok(Some((frame, (frame.file(), rows.num_rows() as u64))))
        };
        let written: Vec<_> = frames.into_par_iter().map(write).collect::<Result<_>>()?;
        for (frame, file) in written.into_iter().flatten() {
            self.files.entry(frame).or_default().push(file);
        }
        Ok(())
    }

    /// Takes a file over from the folder of an earlier run: the very file, where the file system can.
    pub(crate) fn carry(&mut self, frame: Frame, from: &Path, file: &FrameFile) -> Result<()> {
        self.folder.link(&from.join(&file.path), &file.path)?;
        self.carried.entry(frame).or_default().push(file.clone());
        Ok(())
    }

    /// Adds a week that was written [by itself](super::OneWeek) to its table.
    pub(crate) fn add_week(&mut self, frame: Frame, week: (String, u64)) {
        self.files.entry(frame).or_default().push(week);
    }

    /// Sees to it that a table that is divided by weeks is there, with rows or without.
    pub(crate) fn hold(&mut self, frame: Frame, schema: &SchemaRef) {
        if let Some(zone) = self.by_week {
            let begin = || Weekly::new(frame.name(), zone, SchemaRef::clone(schema));
            self.weekly.entry(frame).or_insert_with(begin);
        }
    }

    /// Ends every table, and gives the rows and files of each.
    pub fn end_tables(&mut self) -> Result<Vec<FrameRows>> {
        let mut files = std::mem::take(&mut self.files);
        for (frame, (writer, rows)) in std::mem::take(&mut self.writers) {
            writer.finish()?;
            files.insert(frame, vec![(frame.file(), rows)]);
        }
        for (frame, weekly) in std::mem::take(&mut self.weekly) {
            let weeks = files.entry(frame).or_default();
            let others = !weeks.is_empty() || self.carried.contains_key(&frame);
            weeks.extend(weekly.finish(&self.folder, others)?);
        }
        let mut frames: BTreeMap<Frame, Vec<FrameFile>> = std::mem::take(&mut self.carried);
        for (frame, written) in files {
            let written = written.into_par_iter().map(|(path, rows)| {
                let place = self.folder.path().join(&path);
                let bytes = fs::metadata(&place).map_err(Error::io("read", &place))?.len();
                Ok(FrameFile { rows, bytes, checksum: checksum(&place)?, path })
            });
            let written: Vec<FrameFile> = written.collect::<Result<_>>()?;
            frames.entry(frame).or_default().extend(written);
        }
        let in_order = frames.into_iter().map(|(frame, mut files)| {
            files.sort_by(|left, right| left.path.cmp(&right.path));
            let rows = files.iter().map(|file| file.rows).sum();
            FrameRows { name: frame.name().to_owned(), rows, files }
        });
        Ok(in_order.collect())
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
